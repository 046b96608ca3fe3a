"""The top of a board: pins, PLL, shell and accelerator."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockDomain, Elaboratable, Module
from amaranth.lib import io

from boards.pll import ClockReset, Pll
from boards.shell import Shell
from boards.targets import Target


class Top(Elaboratable):
    """All that a bitstream holds.

    Parameters
    ----------
    target : Target
    pll : Pll
    shell : Shell
    """

    def __init__(self, target: Target, pll: Pll, shell: Shell):
        self.target, self.pll, self.shell = target, pll, shell

    def elaborate(self, platform):
        m = Module()
        target = self.target

        def buffer(direction, port, name):
            m.submodules[name] = pin = io.Buffer(direction, port)
            return pin

        m.domains.sync = ClockDomain()
        m.submodules.clocks = clocks = ClockReset(self.pll)
        m.submodules.shell = shell = self.shell
        oscillator = buffer("i", platform.request(target.oscillator, dir="-"), "oscillator")
        m.d.comb += clocks.clock.eq(oscillator.i)
        if target.reset is not None:
            button = buffer("i", platform.request(target.reset, dir="-"), "button")
            m.d.comb += clocks.reset.eq(button.i)
        uart = platform.request(target.uart, dir="-")
        rx, tx = buffer("i", uart.rx, "rx"), buffer("o", uart.tx, "tx")
        m.d.comb += [shell.rx.eq(rx.i), tx.o.eq(shell.tx)]
        leds = [buffer("o", platform.request("led", i, dir="-"), f"led{i}") for i in range(target.leds)]
        m.d.comb += Cat(led.o for led in leds).eq(shell.leds)
        return m
