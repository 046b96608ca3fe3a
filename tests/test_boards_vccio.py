"""The ButterStick's supplies: the circuit solved the other way round, and the pulses counted."""

import pytest
from amaranth.sim import Simulator

from boards.catalogue.vccio import BITS, VOLTS, Supply, density

CYCLES = 1 << BITS


@pytest.mark.parametrize("volts", [1.2, 1.8, 2.5, 3.3])
def test_the_circuit_gives_the_voltage(volts):
    """Kirchhoff's law at the regulator's feedback node, which is kept at 0.6 V."""
    pulses = 3.3 * density(volts) / CYCLES
    to_ground = 0.6 / 13e3
    from_pulses = (pulses - 0.6) / 68e3
    output = 0.6 + (to_ground - from_pulses) * 53.6e3
    assert output == pytest.approx(volts, abs=0.003)


def test_pulses_are_dense_as_asked_and_the_regulators_wait():
    supply = Supply(clock_hz=1e5)
    ones, on = [], []

    async def bench(ctx):
        for _ in range(supply.wait + CYCLES + 10):
            ones.append(ctx.get(supply.pulses))
            on.append(ctx.get(supply.on))
            await ctx.tick()

    simulator = Simulator(supply)
    simulator.add_clock(1e-5)
    simulator.add_testbench(bench)
    simulator.run()
    for index, volts in enumerate(VOLTS):
        track = [value >> index & 1 for value in ones]
        for start in (5, 17):
            assert sum(track[start : start + CYCLES]) == density(volts)
        # evenly: no stretch of 64 cycles has more than one pulse more or less than its share
        share = 64 * density(volts) / CYCLES
        windows = [sum(track[start : start + 64]) for start in range(5, CYCLES)]
        assert share - 1 <= min(windows) <= max(windows) <= share + 1
    # 68 kOhm and 100 nF have a time constant of 6.8 ms
    first = on.index(1)
    assert first * 1e-5 >= 8 * 6.8e-3 and all(on[first:])
