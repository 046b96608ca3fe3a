"""Rounding: the hardware of `model.arithmetic.qformat.Requant`, and division by a reciprocal."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal

from hdl.parts.pipe import Pipe, delayed, lanes_of
from model.arithmetic.qformat import QFormat, Requant
from model.layers.pool import PoolSpec
from model.net.prepare import PrepareSpec


class RequantPipe(Pipe):
    """Changes the format of every lane.

    Latency: rounding 1 (if there is any to do) and saturation 2 cycles.

    Parameters
    ----------
    src, dst : QFormat
    lanes : int
    rounded : bool
        The rounding half was added before: `src` then is the format of that sum.
    """

    def __init__(self, src: QFormat, dst: QFormat, lanes: int, *, rounded: bool = False):
        self.requant, self.lanes = Requant(src, dst), lanes
        self.half = 0 if rounded else self.requant.half
        super().__init__(lanes_of(src, lanes), lanes_of(dst, lanes), 2 + (self.half > 0))

    def elaborate(self, platform):
        m = Module()
        dst = self.requant.dst
        for lane in range(self.lanes):
            value = self.i.payload[lane]
            if self.half:
                rounded = Signal((value + Const(self.half)).shape(), name=f"rounded{lane}", reset_less=True)
                m.d.sync += rounded.eq(value + self.half)
                value = rounded
            shift = self.requant.shift
            value = value >> shift if shift > 0 else value.shift_left(-shift)
            m.d.sync += self.o.payload[lane].eq(clamped(m, value, dst.min, dst.max, f"lane{lane}"))
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m


def clamped(m: Module, value, low: int, high: int, name: str):
    """A value brought to ``low .. high``, one cycle later.

    The flags are registered before they choose: compare and choose in one cycle is the slowest path of a
    stage.
    """
    held = Signal(value.shape(), name=f"{name}_held", reset_less=True)
    over, under = Signal(name=f"{name}_over", reset_less=True), Signal(name=f"{name}_under", reset_less=True)
    m.d.sync += [held.eq(value), over.eq(value > high), under.eq(value < low)]
    return Mux(over, high, Mux(under, low, held))


class AveragePipe(Pipe):
    """Divides sums exactly by a constant: the multiplication of the spec's `reciprocal`, then saturation.

    Latency: 4 cycles.

    Parameters
    ----------
    spec : PoolSpec or PrepareSpec
        With `sum_format` and `reciprocal`.
    lanes : int
    """

    def __init__(self, spec: PoolSpec | PrepareSpec, lanes: int):
        self.spec, self.lanes = spec, lanes
        super().__init__(lanes_of(spec.sum_format, lanes), lanes_of(spec.dst, lanes), 4)

    def elaborate(self, platform):
        m = Module()
        (factor, addend, shift), dst = self.spec.reciprocal, self.spec.dst
        for lane in range(self.lanes):
            value = self.i.payload[lane] * factor
            product = Signal(value.shape(), name=f"product{lane}", reset_less=True)
            moved = Signal((product + addend).shape(), name=f"moved{lane}", reset_less=True)
            m.d.sync += [
                product.eq(value),
                moved.eq(product + addend),
                self.o.payload[lane].eq(clamped(m, moved >> shift, dst.min, dst.max, f"lane{lane}")),
            ]
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m
