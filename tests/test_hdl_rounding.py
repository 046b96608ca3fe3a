"""The change of format in hardware, for every input at small widths."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.parts import rounding
from hdl.parts.chain import Chain
from hdl.parts.pipe import delayed
from hdl.parts.rounding import RequantPipe
from model.arithmetic.qformat import QFormat, Requant

FORMATS = [(width, signed) for width in (1, 2, 4) for signed in (False, True)]


def half_up(x: int, src: QFormat, dst: QFormat) -> int:
    """The real number that `x` stands for, in steps of `dst`: rounded half up, then clamped."""
    steps = Fraction(x) * Fraction(2) ** (dst.frac - src.frac)
    return min(max(floor(steps + Fraction(1, 2)), dst.min), dst.max)


class Bank(wiring.Component):
    """Many pipes of one input format side by side, all with the same input and a latency of their own."""

    def __init__(self, pipes):
        self.pipes = pipes
        super().__init__({"i": pipes[0].signature.members["i"]})

    def elaborate(self, platform):
        m = Module()
        for index, pipe in enumerate(self.pipes):
            m.submodules[f"pipe{index}"] = pipe
            m.d.comb += [pipe.i.payload.eq(self.i.payload), pipe.i.valid.eq(self.i.valid)]
        m.d.sync += Signal().eq(1)
        return m


def outputs(pipes, values) -> list[list[int]]:
    """What each pipe makes of the values, one a cycle with a bubble after every third."""
    bank = Bank(pipes)
    simulator = stream_sim.simulator_of(bank)
    got = [[] for _ in pipes]

    async def bench(ctx):
        for value in [*values, None, None, None]:
            ctx.set(bank.i.valid, value is not None)
            ctx.set(bank.i.payload, [0 if value is None else value])
            for _ in range(2 if value is None or value % 3 == 0 else 1):
                await ctx.tick()
                ctx.set(bank.i.valid, 0)
                for pipe, beats in zip(pipes, got):
                    if ctx.get(pipe.o.valid):
                        beats.append(ctx.get(pipe.o.payload[0]))

    simulator.add_testbench(bench)
    simulator.run()
    return got


def check(src: QFormat, component=RequantPipe, rounded=False):
    """All inputs of `src`, to all small formats by all small shifts."""
    values = list(range(src.min, src.max + 1))
    targets = [QFormat(w, src.frac - shift, s) for w, s in FORMATS for shift in range(-3, src.width + 4)]
    if rounded:
        # the sum comes with its half; one source format is wide enough for all of them
        wide = QFormat(16, src.frac)
        inputs = sorted({x + Requant(src, dst).half for x in values for dst in targets})
        got = outputs([component(wide, dst, 1, rounded=True) for dst in targets], inputs)
        got = [
            [dict(zip(inputs, beats))[x + Requant(src, dst).half] for x in values]
            for dst, beats in zip(targets, got)
        ]
    else:
        got = outputs([component(src, dst, 1) for dst in targets], values)
    for dst, beats in zip(targets, got):
        expected = [half_up(x, src, dst) for x in values]
        assert beats == expected, (src, dst)
        np.testing.assert_array_equal(Requant(src, dst)(values), expected)


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("width", [1, 2, 6])
def test_every_input_to_every_small_format(width, signed, rounded):
    check(QFormat(width, 2, signed), rounded=rounded)


@pytest.mark.parametrize("seed", range(4))
def test_wide_formats_and_lanes_under_stalls(seed):
    rng = np.random.default_rng(seed)
    src = QFormat(int(rng.integers(20, 40)), 15, bool(seed % 2))
    dst = QFormat(int(rng.integers(1, 20)), int(rng.integers(0, 17)), bool(seed & 2))
    lanes = 3
    values = rng.integers(src.min, src.max + 1, (150, lanes)) >> rng.integers(0, 30, (150, 1))
    values[0], values[1] = src.min, src.max
    parts = Chain([("x", RequantPipe(src, dst, lanes))], PORTABLE)
    got, _ = stream_sim.run(parts, values.tolist(), len(values), (0.2, 0.3), seed, longest=20)
    assert stream_sim.values(got) == [[half_up(int(x), src, dst) for x in beat] for beat in values]


class HalfDown(RequantPipe):
    """A half is rounded down."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.half = max(self.half - 1, 0)


class HalfForgotten(RequantPipe):
    """Half is added, though it was added before."""

    def __init__(self, src, dst, lanes, *, rounded):
        super().__init__(src, dst, lanes)


def wraps(m, value, low, high, name):
    """No saturation."""
    return delayed(m, value, 1, name)


def test_mutants_fail(monkeypatch):
    with pytest.raises(AssertionError):
        check(QFormat(5, 2), HalfDown)
    with pytest.raises(AssertionError):
        check(QFormat(5, 2), HalfForgotten, rounded=True)
    monkeypatch.setattr(rounding, "clamped", wraps)
    with pytest.raises(AssertionError):
        check(QFormat(5, 2))
