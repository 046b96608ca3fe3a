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
    """``input_lanes * output_lanes * pixel_lanes`` multipliers, and an adder tree for each sum.

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
    pixel_lanes : int
        Inputs side by side that meet the same weights.

    Members
    -------
    x : in, `input_lanes` values for each pixel lane
    index : in, number of the step
    dots : out, `output_lanes` sums for each pixel lane
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
        pixel_lanes: int = 1,
    ):
        self.src, self.weight_format, self.device = src, weight_format, device
        self.input_lanes, self.output_lanes, self.words = input_lanes, output_lanes, words
        self.name, self.loads, self.pixel_lanes = name, loads, pixel_lanes
        super().__init__(
            {
                "x": In(lanes_of(src, input_lanes * pixel_lanes)),
                "index": In(range(len(words))),
                "dots": Out(data.ArrayLayout(signed(self.width), output_lanes * pixel_lanes)),
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
        word = width * self.input_lanes * self.output_lanes
        weights = memory(m, self.name, word, self.words, self.index, self.device, self.loads)
        inputs = delayed(m, self.x, Rom.latency, "x")
        for lane in range(self.output_lanes * self.pixel_lanes):
            products = []
            pixel, kernel = divmod(lane, self.output_lanes)
            for tap in range(self.input_lanes):
                factor = weights.word_select(kernel * self.input_lanes + tap, width)
                factor = factor.as_signed() if self.weight_format.signed else factor
                value = inputs[pixel * self.input_lanes + tap]
                products.append(self.device.multiply(m, value, factor, f"product_{lane}_{tap}"))
            dot, _ = tree(m, products, lambda a, b: a + b, f"tree{lane}")
            m.d.comb += self.dots[lane].eq(dot)
        return m
