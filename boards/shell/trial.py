"""A trial of a board's pins and clock, before anything is made for it."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.catalogue.board import Target
from boards.shell.top import Top
from sim.simulators.verilog import amaranths


class Echo(wiring.Component):
    """What stands in for the shell where only the pins matter: it sends what it receives."""

    def __init__(self, leds: int):
        super().__init__({"rx": In(1), "tx": Out(1), "leds": Out(leds)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.tx.eq(self.rx), self.leds.eq(self.leds + self.rx)]
        return m


def trial(target: Target) -> None:
    """See that Amaranth makes input for the tools from a board.

    Raises
    ------
    Exception
        If it does not, of the kind that Amaranth or the platform's own code raises.
    """
    pll = target.tools.solve(target.base, target.oscillator_mhz, target.clock_mhz, target.pll_pin)
    with amaranths():
        target.platform().prepare(Top(target, pll, Echo(target.leds)), "top")
