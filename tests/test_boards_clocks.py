"""The core's reset: until the PLL has been locked for long enough, and whenever it is not."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
from amaranth.hdl import ClockDomain, ClockSignal, Module, Signal
from amaranth.lib import io
from amaranth.sim import Simulator

from boards.pll.base import Pll
from boards.shell.clocks import ClockReset


@dataclass(frozen=True)
class Stub(Pll):
    """A PLL of 1 MHz whose lock the test drives; the core's clock is the domain ``fast``."""

    locked: Signal
    input_mhz: Fraction = Fraction(1)
    vco_mhz: Fraction = Fraction(1)
    output_mhz: Fraction = Fraction(1)

    def place(self, m, port, core):
        m.d.comb += core.eq(ClockSignal("fast"))
        return self.locked


def reset_after(settle: float, drive: dict[int, tuple[str, int]], cycles: int) -> list[int]:
    """The reset of ``sync`` in each cycle; `drive` sets ``locked`` or ``reset`` at a cycle."""
    m, locked = Module(), Signal()
    m.domains.fast = ClockDomain(reset_less=True)
    m.domains.sync = sync = ClockDomain()
    m.submodules.clocks = clocks = ClockReset(Stub(locked), io.SimulationPort("i", 1), settle)
    seen = Signal()
    m.d.comb += seen.eq(sync.rst)
    found = []

    async def bench(ctx):
        for cycle in range(cycles):
            if cycle in drive:
                name, value = drive[cycle]
                ctx.set({"locked": locked, "reset": clocks.reset}[name], value)
            found.append(ctx.get(seen))
            await ctx.tick("fast")

    simulator = Simulator(m)
    simulator.add_clock(1e-6, domain="fast")
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize("settle", [0, 5e-6, 16e-6])
def test_reset_lasts_from_the_start_until_the_lock_has_settled(settle):
    found = reset_after(settle, {3: ("locked", 1)}, 40)
    end = found.index(0)
    assert found == [1] * end + [0] * (40 - end)
    # what synchronisers take may come on top, never off
    assert 3 + settle * 1e6 <= end <= 3 + settle * 1e6 + 6


@pytest.mark.parametrize("settle", [0, 5e-6])
def test_a_lost_lock_resets_at_once_and_settles_anew(settle):
    found = reset_after(settle, {0: ("locked", 1), 20: ("locked", 0), 21: ("locked", 1)}, 50)
    assert found[19:21] == [0, 1]
    again = found.index(0, 20)
    assert 21 + settle * 1e6 <= again and all(found[20:again]) and not any(found[again:])


def test_the_button_resets_without_another_wait():
    found = reset_after(5e-6, {0: ("locked", 1), 20: ("reset", 1), 25: ("reset", 0)}, 40)
    assert found[19:26] == [0, 1, 1, 1, 1, 1, 1]
    assert not any(found[28:])
