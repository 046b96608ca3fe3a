"""The core's clock domain: clocked by the PLL, reset until that runs."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from boards.pll.base import Pll


class ClockReset(Elaboratable):
    """Clock and reset of the domain ``sync``, which is the parent's: from an oscillator, by a PLL.

    The reset lasts until the PLL has been locked for as long as `settle`. It begins at once when the lock is
    lost or `reset` rises, and ends with an edge of the new clock. So no register of the core ever sees
    another clock, and the one signal that crosses into the domain, the reset, does so in a synchroniser.

    Parameters
    ----------
    pll : Pll
    port : PortLike
        Pin of the oscillator.
    settle : float
        Seconds; 0 where nothing needs to settle.

    Attributes
    ----------
    reset : Signal, in
        Asynchronous, from a button. It leaves the PLL running.
    """

    def __init__(self, pll: Pll, port: io.PortLike, settle: float = 0.0):
        self.pll, self.port = pll, port
        self.cycles = round(settle * pll.output_hz)
        self.reset = Signal()

    def elaborate(self, platform):
        m = Module()
        core = Signal()
        locked = self.pll.place(m, self.port, core)
        m.d.comb += ClockSignal("sync").eq(core)
        unready = ~locked
        if self.cycles:
            m.domains.settle = settle = ClockDomain(local=True)
            m.d.comb += settle.clk.eq(core)
            m.submodules.lock = ResetSynchronizer(~locked, domain="settle")
            count, settled = Signal(range(self.cycles)), Signal()
            with m.If(count == self.cycles - 1):
                m.d.settle += settled.eq(1)
            with m.Else():
                m.d.settle += count.eq(count + 1)
            unready = ~locked | ~settled
        m.submodules.reset = ResetSynchronizer(unready | self.reset, domain="sync")
        return m
