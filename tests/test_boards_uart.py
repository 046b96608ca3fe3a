"""Receiver and transmitter against a line that the test draws by itself."""

from itertools import pairwise

import pytest
from amaranth.sim import Simulator

from boards.shell.uart import Baud, Receiver, Transmitter

MESSAGE = bytes([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x5A, 0xC3] * 3)


def frame(byte: int, stop: int = 1) -> list[int]:
    """The bits of a byte on the line."""
    return [0, *((byte >> bit) & 1 for bit in range(8)), stop]


def receive(bits, cycles_a_bit: float, baud: Baud) -> list[tuple[int, int]]:
    """What a receiver makes of bits that last so many of its clock cycles each."""
    dut, found = Receiver(baud), []

    async def send(ctx):
        await ctx.tick().repeat(5)
        for bit in [*bits, *[1] * 12]:
            ctx.set(dut.line, bit)
            # in half cycles off the clock's edges, so that no bit changes with an edge
            await ctx.delay(cycles_a_bit * 1e-6)

    async def take(ctx):
        async for *_, valid, data, error in ctx.tick().sample(
            dut.o.valid, dut.o.payload.data, dut.o.payload.error
        ):
            if valid:
                found.append((data, error))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(take, background=True)
    simulator.run()
    return found


@pytest.mark.parametrize("error", [-0.02, -0.01, 0, 0.01, 0.02])
@pytest.mark.parametrize("cycles", [8, 8.68, 33.3])
def test_receiver_bears_two_per_cent(cycles, error):
    bits = [bit for byte in MESSAGE for bit in frame(byte)]
    baud = Baud(1e6, round(1e6 / cycles))
    assert receive(bits, cycles * (1 + error), baud) == [(byte, 0) for byte in MESSAGE]


def test_receiver_at_another_rate_fails():
    """The mutant of the test above: what it measures can go wrong."""
    bits = [bit for byte in MESSAGE for bit in frame(byte)]
    assert receive(bits, 8 * 1.12, Baud(1e6, 125_000)) != [(byte, 0) for byte in MESSAGE]


def test_missing_stop_bit_is_marked_and_the_next_byte_right():
    bits = [*frame(0x12), *frame(0x34, stop=0), 0, 0, 1, 1, *frame(0x56)]
    assert receive(bits, 10, Baud(1e6, 100_000)) == [(0x12, 0), (0x34, 1), (0x56, 0)]


def test_long_break_is_one_bad_byte():
    bits = [*[0] * 40, 1, *frame(0x77)]
    assert receive(bits, 10, Baud(1e6, 100_000)) == [(0, 1), (0x77, 0)]


def test_glitch_is_no_start_bit():
    baud = Baud(1e6, 25_000)
    glitch = [0] * 3 + [1] * 60
    bits = [*glitch, *(bit for bit in frame(0x3C) for _ in range(10))]
    assert receive(bits, 4, baud) == [(0x3C, 0)]


@pytest.mark.parametrize(("clock", "rate"), [(1e6, 125_000), (1e6, 115_200), (1e6, 9600)])
def test_transmitter_keeps_the_rate(clock, rate):
    dut = Transmitter(Baud(clock, rate))
    message = MESSAGE[: 24 if rate > 50_000 else 4]
    trace = []

    async def give(ctx):
        for byte in message:
            ctx.set(dut.i.payload, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(round(12 * clock / rate))

    async def watch(ctx):
        async for *_, line in ctx.tick().sample(dut.line):
            trace.append(line)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(give)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    cycles, position, found, starts = clock / rate, 0, [], []
    while 0 in trace[position:]:
        start = trace.index(0, position)
        bits = [trace[round(start + cycles * (0.5 + bit))] for bit in range(10)]
        assert (bits[0], bits[9]) == (0, 1)
        found.append(sum(bit << place for place, bit in enumerate(bits[1:9])))
        starts.append(start)
        position = round(start + 9.5 * cycles)
    assert bytes(found) == message
    assert max(b - a for a, b in pairwise(starts)) <= 10 * cycles + 3  # back to back


@pytest.mark.parametrize(
    ("clock", "rate", "what"),
    [
        (25e6, 4_000_000, "25 MHz is too slow for 4000000 baud.*3125000 baud or less"),
        (100e6, 0, "positive"),
        (400e6, 300, "too slow for a clock of 400 MHz"),
    ],
)
def test_rates_that_the_clock_cannot_make_are_refused(clock, rate, what):
    with pytest.raises(ValueError, match=what):
        Baud(clock, rate)


@pytest.mark.parametrize("rate", [9600, 115_200, 921_600, 1_000_000, 3_000_000, 12_000_000])
def test_rates_are_near(rate):
    baud = Baud(100e6, rate)
    assert abs(baud.actual / rate - 1) < 0.005
