"""A shell that is next to nothing, so that the top of any board is quickly made."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.design import Design
from boards.top import Top


class StubShell(wiring.Component):
    """Sends what it receives a cycle later, and counts it on the LEDs."""

    def __init__(self, leds: int):
        super().__init__({"rx": In(1), "tx": Out(1), "leds": Out(leds)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(16)
        m.d.sync += [self.tx.eq(self.rx), count.eq(count + self.rx)]
        m.d.comb += self.leds.eq(count)
        return m


def prepare(design: Design, **options):
    """Amaranth's build plan of a design's top, with the stub in place of its shell."""
    target, pll = design.target, design.pll
    top = Top(target, pll, StubShell(target.leds))
    return target.platform().prepare(top, "top", emit_src=False, **options)
