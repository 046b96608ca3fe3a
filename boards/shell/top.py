"""The top of a board: pins, PLL, shell and accelerator."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, Elaboratable, Module
from amaranth.lib import io

from boards.catalogue.board import Pin, Target, request
from boards.pll.base import Pll
from boards.shell.clocks import ClockReset
from boards.shell.shell import Shell


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
        target, ports = self.target, {}

        def port(pin: Pin):
            """The port of a pin; a resource with parts is requested once for all of them."""
            key = pin.resource, pin.number
            if key not in ports:
                ports[key] = request(platform, *key)
            return ports[key] if pin.part is None else getattr(ports[key], pin.part)

        def drive(pin: Pin, value, name):
            m.submodules[name] = buffer = io.Buffer("o", port(pin))
            m.d.comb += buffer.o.eq(value)

        def sense(pin: Pin, name):
            m.submodules[name] = buffer = io.Buffer("i", port(pin))
            return buffer.i

        m.domains.sync = ClockDomain()
        oscillator = port(Pin(target.oscillator))
        m.submodules.clocks = clocks = ClockReset(self.pll, oscillator, target.tools.settle)
        m.submodules.shell = shell = self.shell
        if target.reset is not None:
            m.d.comb += clocks.reset.eq(sense(target.reset, "button"))
        if target.support is not None:
            m.submodules.support = target.support(self.pll.output_hz)
        m.d.comb += shell.rx.eq(sense(target.uart._replace(part="rx"), "rx"))
        drive(target.uart._replace(part="tx"), shell.tx, "tx")
        for index, light in enumerate(target.lights):
            drive(light, shell.leds[index], f"led{index}")
        for index, pin in enumerate(target.high):
            drive(pin, 1, f"high{index}")
        return m
