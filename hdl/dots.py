"""Dot products of inputs with weights: a ROM, multipliers and adder trees."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.device import Device
from hdl.loading import Loads, memory
from hdl.memory import Rom
from hdl.pipe import delayed, lanes_of, tree, tree_latency
from model.qformat import QFormat


class Dots(wiring.Component):
    """``input_lanes * output_lanes`` multipliers, and an adder tree for each output lane.

    Latency: 4 + ceil(log2(input_lanes)) cycles: weights 2, products 2, tree. Throughput: one step a cycle.

    Parameters
    ----------
    src : QFormat
        Of the inputs.
    weight_format : QFormat
    input_lanes, output_lanes : int
    words : sequence of int
        The weights of each step as one number, output lane by output lane.
    device : Device
    name : str
        Of the weights' memory.
    loads : Loads, optional
        Memories that are written at run time, that of the weights among them.

    Members
    -------
    x : in, `input_lanes` values
    index : in, number of the step
    dots : out, `output_lanes` sums
    """

    def __init__(
        self,
        src: QFormat,
        weight_format: QFormat,
        input_lanes: int,
        output_lanes: int,
        words: Sequence[int],
        device: Device,
        name: str = "weights",
        loads: Loads | None = None,
    ):
        self.src, self.weight_format, self.device = src, weight_format, device
        self.input_lanes, self.output_lanes, self.words = input_lanes, output_lanes, words
        self.name, self.loads = name, loads
        super().__init__(
            {
                "x": In(lanes_of(src, input_lanes)),
                "index": In(range(len(words))),
                "dots": Out(data.ArrayLayout(signed(self.width), output_lanes)),
            }
        )

    @property
    def width(self) -> int:
        """Bits of a sum, its sign included."""
        return self.src.width + self.weight_format.width + 1 + tree_latency(self.input_lanes)

    @property
    def latency(self) -> int:
        """Cycles from a step to its sums."""
        return Rom.latency + 2 + tree_latency(self.input_lanes)

    def elaborate(self, platform):
        m = Module()
        width = self.weight_format.width
        lanes = self.input_lanes * self.output_lanes
        weights = memory(m, self.name, width * lanes, self.words, self.index, self.device, self.loads)
        inputs = delayed(m, self.x, Rom.latency, "x")
        factors = [weights.word_select(number, width) for number in range(lanes)]
        if self.weight_format.signed:
            factors = [factor.as_signed() for factor in factors]
        pairs = [(inputs[number % self.input_lanes], factor) for number, factor in enumerate(factors)]
        products = self.device.products(m, pairs, "product")
        for lane in range(self.output_lanes):
            own = products[lane * self.input_lanes :][: self.input_lanes]
            dot, _ = tree(m, own, lambda a, b: a + b, f"tree{lane}")
            m.d.comb += self.dots[lane].eq(dot)
        return m
