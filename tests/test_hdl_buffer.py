"""The FIFO between two streams."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, unsigned
from amaranth.sim import Simulator

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.parts.buffer import Buffer
from hdl.parts.counting import counted_down, counted_up
from hdl.parts.memory import Ram
from mutants import Deaf, Fickle, Rotated


def check(depth, stalls=(0.1, 0.15), seed=0, wrap=lambda part: part, count=150):
    """What goes in comes out; gives the cycles."""
    values = np.random.default_rng(seed).integers(0, 1 << 9, count).tolist()
    buffer = wrap(Buffer(unsigned(9), depth, PORTABLE))
    got, cycles = stream_sim.run(buffer, values, count, stalls, seed, longest=2 * depth + 3, limit=500)
    assert got == values
    return cycles


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("stalls", [(0.1, 0.15), (0.0, 0.3), (0.3, 0.0)])
def test_order_under_stalls(depth, stalls):
    check(depth, stalls, depth)


@pytest.mark.parametrize("depth", [2, 3, 8])
def test_two_cycles_and_then_a_beat_each(depth):
    assert check(depth, 0.0) == list(range(Buffer.latency, Buffer.latency + 150))


@pytest.mark.parametrize("depth", [2, 3, 8])
def test_it_holds_its_depth_and_one_more(depth):
    buffer = Buffer(unsigned(9), depth, PORTABLE)
    simulator = stream_sim.simulator_of(buffer)

    async def bench(ctx):
        ctx.set(buffer.i.valid, 1)
        taken = 0
        for _ in range(depth + 10):
            _, _, ready = await ctx.tick().sample(buffer.i.ready)
            taken += ready
        assert taken == depth + 1

    simulator.add_testbench(bench)
    simulator.run()


class Wrapped(Ram):
    """One word fewer than its addresses reach."""

    def elaborate(self, platform):
        self.write_addr = self.write_addr & 1
        return super().elaborate(platform)


@pytest.mark.parametrize("mutant", [Deaf, Fickle, Rotated])
def test_faults_around_it_fail(mutant):
    with pytest.raises(AssertionError):
        check(3, wrap=mutant)


def test_mutants_fail(monkeypatch):
    monkeypatch.setattr("hdl.parts.buffer.Ram", Wrapped)
    with pytest.raises(AssertionError):
        check(3)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_short_counters(width):
    value = Signal(width)
    simulator = Simulator(Module())
    found = []

    async def bench(ctx):
        for number in range(1 << width):
            ctx.set(value, number)
            found.append((ctx.get(counted_up(value)), ctx.get(counted_down(value))))

    simulator.add_testbench(bench)
    simulator.run()
    size = 1 << width
    assert found == [((number + 1) % size, (number - 1) % size) for number in range(size)]
