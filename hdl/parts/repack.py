"""Changing the number of values in a beat."""

from __future__ import annotations

from math import lcm

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.parts.counting import counter
from hdl.parts.pipe import lanes_of
from model.arithmetic.qformat import QFormat


class Widen(wiring.Component):
    """Collects `factor` beats into one, the earliest in the lowest lanes.

    Latency: one cycle behind the last beat. Throughput: one input beat a cycle.

    Parameters
    ----------
    fmt : QFormat
    lanes : int
        Values of an input beat.
    factor : int
        Input beats of an output beat.
    """

    def __init__(self, fmt: QFormat, lanes: int, factor: int):
        self.lanes, self.factor = lanes, factor
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, lanes))),
                "o": Out(stream.Signature(lanes_of(fmt, lanes * factor))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = len(Value.cast(self.i.payload))
        held = Signal(word * self.factor, reset_less=True)
        count = Signal(range(self.factor))
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            Value.cast(self.o.payload).eq(held),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & (count == self.factor - 1))
            with m.If(self.i.valid):
                m.d.sync += [
                    held.eq(Cat(held[word:], Value.cast(self.i.payload))),
                    count.eq(Mux(count == self.factor - 1, 0, count + 1)),
                ]
        return m


class Narrow(wiring.Component):
    """Hands a beat out in `factor` pieces, the lowest lanes first.

    Latency: one cycle. Throughput: one output beat a cycle.

    Parameters
    ----------
    fmt : QFormat
    lanes : int
        Values of an output beat.
    factor : int
        Output beats of an input beat.
    """

    def __init__(self, fmt: QFormat, lanes: int, factor: int):
        self.lanes, self.factor = lanes, factor
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, lanes * factor))),
                "o": Out(stream.Signature(lanes_of(fmt, lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = len(Value.cast(self.o.payload))
        held = Signal(word * self.factor, reset_less=True)
        holds, gives = Signal(), Signal()
        _, last = counter(m, "beat", self.factor, gives)
        m.d.comb += [
            self.o.valid.eq(holds),
            gives.eq(holds & self.o.ready),
            self.i.ready.eq(~holds | (self.o.ready & last)),
            Value.cast(self.o.payload).eq(held[:word]),
        ]
        # Not under the conditions of the word, whose many registers stand elsewhere.
        m.d.sync += holds.eq(self.i.valid | (holds & ~(self.o.ready & last)))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += held.eq(Value.cast(self.i.payload))
        with m.Elif(gives):
            m.d.sync += held.eq(held >> word)
        return m


def repack(fmt: QFormat, have: int, want: int) -> list[wiring.Component]:
    """The components, if any, between beats of `have` and of `want` values.

    Both must divide the number of values in a frame; where neither divides the other, the beats meet in
    their least common multiple.
    """
    common = lcm(have, want)
    parts = []
    if common > have:
        parts.append(Widen(fmt, have, common // have))
    if common > want:
        parts.append(Narrow(fmt, want, common // want))
    return parts
