"""Dot products of inputs with weights: a ROM, multipliers and adder trees.

Weights of one or two bits need no multiplier. A product is 0, the input, its double, or one of these with
all bits inverted, which is the negative but for 1: each of its bits is a function of four, a single LUT. The
1 that is missing enters at the carry of an adder. A sum has one adder less than products, and the first
product is exact.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.loadable.loading import Loads, memory
from hdl.parts.memory import Rom
from hdl.parts.pipe import Lanes, delayed, lanes_of, tree, tree_latency
from model.arithmetic.qformat import QFormat


def needs_no_multiplier(weight_format: QFormat) -> bool:
    """Whether products with such weights are selections: of a bit, or of two with a sign."""
    return weight_format.width <= 1 + weight_format.signed


class Dots(wiring.Component):
    """``input_lanes * output_lanes * pixel_lanes`` multipliers, and an adder tree for each sum.

    Latency: weights 2 cycles, products the device's `product_latency` (1 without multipliers), then the tree,
    ceil(log2(input_lanes)).
    Throughput: one step a cycle.

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
                "dots": Out(Lanes(signed(self.width), output_lanes * pixel_lanes)),
            }
        )

    @property
    def width(self) -> int:
        """Bits of a sum, its sign included."""
        return self.src.width + self.weight_format.width + 1 + tree_latency(self.input_lanes)

    @property
    def latency(self) -> int:
        """Cycles from a step to its sums."""
        products = 1 if self.selects else self.device.product_latency
        return Rom.latency + products + tree_latency(self.input_lanes)

    @property
    def selects(self) -> bool:
        """Whether there is no multiplier."""
        return needs_no_multiplier(self.weight_format)

    @property
    def doubles(self) -> bool:
        """Whether a weight without a multiplier may be -2; trained ones are from -1 to 1."""
        count = self.input_lanes * self.output_lanes
        return self.weight_format.width == 2 and (
            self.loads is not None
            or any(word >> 2 * lane & 3 == 2 for word in self.words for lane in range(count))
        )

    def elaborate(self, platform):
        m = Module()
        width = self.weight_format.width
        lanes = self.input_lanes * self.output_lanes
        weights = memory(m, self.name, width * lanes, self.words, self.index, self.device, self.loads)
        inputs = delayed(m, self.x, Rom.latency, "x")
        factors = [weights.word_select(number, width) for number in range(lanes)]
        if self.weight_format.signed:
            factors = [factor.as_signed() for factor in factors]
        # Pixel by pixel, each with the same weights.
        pairs = [
            (inputs[pixel * self.input_lanes + number % self.input_lanes], factor)
            for pixel in range(self.pixel_lanes)
            for number, factor in enumerate(factors)
        ]
        if self.selects:
            products = [
                self.selected(m, x, factor, f"product{number}", exact=not number % self.input_lanes)
                for number, (x, factor) in enumerate(pairs)
            ]
        else:
            products = self.device.products(m, pairs, "product")
        for lane in range(self.output_lanes * self.pixel_lanes):
            own = products[lane * self.input_lanes :][: self.input_lanes]
            dot, _ = tree(m, own, carried if self.selects else operator.add, f"tree{lane}")
            m.d.comb += self.dots[lane].eq(dot >> self.selects)
        return m

    def selected(self, m: Module, value: Value, weight: Value, name: str, *, exact: bool) -> Value:
        """A product without a multiplier, a cycle later; its lowest bit tells whether 1 is to be added."""
        value = Cat(value, Const(0, not self.src.signed)).as_signed()
        product = Mux(weight[0], value, 0)
        if self.doubles:
            product = Mux(weight[0], value, Mux(weight[1], value.shift_left(1), 0))
        missing = weight[-1] if self.weight_format.signed else Const(0)
        product = Mux(missing, ~product, product)
        product = Cat(Const(0), product + missing) if exact else Cat(missing, product)
        register = Signal(signed(len(product)), name=name, reset_less=True)
        m.d.sync += register.eq(product)
        return register


def carried(a: Value, b: Value) -> Value:
    """The sum of two values whose lowest bits tell whether 1 is to be added; the second's is, as a carry."""
    total = Cat(b[0], a[1:]).as_signed() + b
    return Cat(a[0], total[1:]).as_signed()
