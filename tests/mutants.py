"""Faults put around a component, for checks that must notice them."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Around(wiring.Component):
    """A component with streams ``i`` and ``o``, and nothing changed."""

    def __init__(self, inner):
        self.inner = inner
        super().__init__({"i": In(inner.i.signature.flip()), "o": Out(inner.o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = self.inner
        m.d.comb += [
            inner.i.payload.eq(self.i.payload),
            inner.i.valid.eq(self.i.valid),
            self.i.ready.eq(self.ready(inner.i.ready)),
            Value.cast(self.o.payload).eq(self.payload(Value.cast(inner.o.payload))),
            self.o.valid.eq(self.valid(m, inner.o.valid)),
            inner.o.ready.eq(self.o.ready),
        ]
        return m

    def ready(self, ready):
        return ready

    def valid(self, m, valid):
        return valid

    def payload(self, bits):
        return bits


class Deaf(Around):
    """Takes beats that it has no room for."""

    def ready(self, ready):
        return 1


class Fickle(Around):
    """Takes back what it offered, if nobody wanted it at once."""

    def valid(self, m, valid):
        before = Signal()
        m.d.sync += before.eq(valid & ~self.o.ready & ~before)
        return valid & ~before


class Rotated(Around):
    """The payload's upper half comes first."""

    def payload(self, bits):
        return bits.rotate_left(len(bits) // 2)
