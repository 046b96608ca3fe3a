"""The supplies of the ButterStick's pins: regulators that the design on the chip sets and switches on."""

from __future__ import annotations

import math

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import io

VOLTS = (3.3, 1.8, 1.8)
"""Of SYZYGY port 0, where the serial adapter is; of port 1 and the third the least that ports and USB take,
so that no pod there gets more than it bears."""
FEEDBACK_VOLTS = 0.6
SUPPLY_VOLTS = 3.3
INJECTION_OHM, FEEDBACK_OHM, GROUND_OHM = 68_000, 53_600, 13_000
FILTER_FARAD = 0.1e-6
# The parts round each regulator, from the board's schematic: what amaranth_boards.butterstick tells of it.
BITS = 10
"""Resolution of the density of pulses: 3 mV at its filter."""
CONSTANTS = 8
"""Time constants of the filter after which its voltage is there, within 0.04 %."""


def density(volts: float) -> int:
    """Pulses of 2**`BITS` cycles that make a regulator give a voltage.

    The regulator keeps its feedback node at 0.6 V. There the resistor to ground takes 0.6 V / 13 kOhm, and
    what it gets comes from the output by one resistor and from the filtered pulses by another.
    """
    ground = FEEDBACK_VOLTS / GROUND_OHM
    injected = ground - (volts - FEEDBACK_VOLTS) / FEEDBACK_OHM
    return round((FEEDBACK_VOLTS + injected * INJECTION_OHM) / SUPPLY_VOLTS * (1 << BITS))


class Supply(Elaboratable):
    """Sets the voltages, waits until the filters have them, and switches the regulators on.

    The domain ``sync`` is the core's; its frequency only decides how long `clock_hz` makes the wait.

    Parameters
    ----------
    clock_hz : float
    volts : tuple of float
    """

    def __init__(self, clock_hz: float, volts: tuple[float, ...] = VOLTS):
        self.densities = [density(value) for value in volts]
        self.wait = math.ceil(CONSTANTS * INJECTION_OHM * FILTER_FARAD * clock_hz)
        self.pulses, self.on = Signal(len(volts)), Signal()

    def elaborate(self, platform):
        m = Module()
        for index, value in enumerate(self.densities):
            # the carry of an accumulator: as many pulses, as evenly spread as can be
            total = Signal(BITS, name=f"total{index}")
            following = Signal(BITS + 1, name=f"following{index}")
            m.d.comb += following.eq(total + value)
            m.d.sync += [total.eq(following), self.pulses[index].eq(following[BITS])]
        waited = Signal(range(self.wait + 1))
        with m.If(waited == self.wait):
            m.d.sync += self.on.eq(1)
        with m.Else():
            m.d.sync += waited.eq(waited + 1)
        if platform is not None:
            pins = platform.request("vccio_ctrl", dir="-")
            for name, port, value in (("pdm", pins.pdm, self.pulses), ("en", pins.en, self.on)):
                m.submodules[name] = buffer = io.Buffer("o", port)
                m.d.comb += buffer.o.eq(value)
        return m
