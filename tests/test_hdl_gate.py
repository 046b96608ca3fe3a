"""Broken frames: what the gate makes of them, and that the next good one is right."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.network import Accelerator
from hdl.parts.buffer import Buffer
from hdl.parts.gate import VERDICTS, FrameVerdict, Gate, Verdict, frame_layout
from model.arithmetic.qformat import QFormat
from random_nets import NetDrawer

U5 = QFormat(5, 0, False)


def rule(beats, length):
    """The rule of the gate's docstring: beats that leave it, verdicts and broken frames.

    A beat of the input is (value, first, last).
    """
    out, verdicts, dropped, place, skipping = [], [], 0, 0, False

    def close(good):
        nonlocal place
        out.extend([0] * (length - place))
        verdicts.append(int(good))
        place = 0

    for value, first, last in beats:
        if place and first:
            dropped += 1
            close(False)
        if not place and not first:
            dropped += not skipping
            skipping = not last
            continue
        out.append(value)
        place, skipping = place + 1, False
        if last or place == length:
            good = last and place == length
            skipping = not last
            dropped += not good
            close(good)
    return out, verdicts, dropped


class Judged(wiring.Component):
    """A gate and a verdict, and between them a stage that adds a frame up."""

    def __init__(self, length, gate=Gate, verdict=Verdict):
        self.length = length
        self.gate, self.verdict = gate(U5, 1, length, PORTABLE), verdict(unsigned(8))
        super().__init__(
            {
                "i": In(stream.Signature(frame_layout(U5, 1))),
                "o": Out(stream.Signature(unsigned(8))),
                "dropped": Out(16),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate, m.submodules.verdict = gate, verdict = self.gate, self.verdict
        m.submodules.answers = answers = Buffer(unsigned(8), 4, PORTABLE)
        wiring.connect(m, wiring.flipped(self.i), gate.i)
        wiring.connect(m, gate.verdict, verdict.verdict)
        wiring.connect(m, answers.o, verdict.i)
        wiring.connect(m, verdict.o, wiring.flipped(self.o))
        place, total = Signal(range(self.length)), Signal(8)
        ends = place == self.length - 1
        m.d.comb += [
            answers.i.payload.eq(total + gate.o.payload[0]),
            answers.i.valid.eq(gate.o.valid & ends),
            gate.o.ready.eq(answers.i.ready | ~ends),
            self.dropped.eq(gate.dropped),
        ]
        with m.If(gate.o.valid & gate.o.ready):
            m.d.sync += [place.eq(place + 1), total.eq(answers.i.payload)]
            with m.If(ends):
                m.d.sync += [place.eq(0), total.eq(0)]
        return m


def payloads(beats):
    return [{"data": [value], "first": first, "last": last} for value, first, last in beats]


def check(beats, length, stalls=(0.1, 0.2), seed=0, **parts):
    """Sums of the good frames come out, in order, and the broken ones are counted."""
    out, verdicts, dropped = rule(beats, length)
    sums = [sum(out[n * length : (n + 1) * length]) for n in range(len(verdicts))]
    expected = [total for total, good in zip(sums, verdicts) if good]
    judged, counted = Judged(length, **parts), []
    got, _ = stream_sim.run(
        judged, payloads(beats), len(expected), stalls, seed, limit=400, longest=5,
        done=lambda ctx: counted.append(ctx.get(judged.dropped)),
    )  # fmt: skip
    assert got == expected
    assert counted == [dropped]


def frame(length, start=1, marks=(0, -1)):
    """Beats of a frame; `marks` are the places of its first and last mark."""
    places = [place % length if place is not None else None for place in marks]
    return [((start + n) % 32, n == places[0], n == places[1]) for n in range(length)]


GOOD = frame(4)
BROKEN = {
    "short": [frame(3, 9)],
    "one beat": [frame(1, 9)],
    "overlong": [frame(7, 9)],
    "twice as long": [frame(8, 9)],
    "missing first": [frame(4, 9, (None, -1))],
    "missing last": [frame(4, 9, (0, None))],
    "no marks": [frame(4, 9, (None, None))],
    "overtaken": [frame(2, 9, (0, None))],
    "overtaken at its last beat": [frame(3, 9, (0, None))],
    "first in the middle": [[*frame(2, 9, (0, None)), *frame(4, 20)[:1]]],
    "last without first": [frame(1, 9, (None, -1))],
    "last in the middle": [[*frame(2, 9), *frame(2, 11, (None, -1))]],
    "several": [frame(3, 9), frame(6, 3), frame(4, 5, (None, -1)), frame(1, 2, (0, None))],
}


def test_the_rule_by_hand():
    """The reference itself: what it says of the broken frames above."""
    said = {name: rule([*GOOD, *chain(*broken), *GOOD], 4)[1:] for name, broken in BROKEN.items()}
    assert said == {
        "short": ([1, 0, 1], 1),
        "one beat": ([1, 0, 1], 1),
        "overlong": ([1, 0, 1], 1),
        "twice as long": ([1, 0, 1], 1),
        "missing first": ([1, 1], 1),
        "missing last": ([1, 0, 1], 1),
        "no marks": ([1, 1], 1),
        "overtaken": ([1, 0, 1], 1),
        "overtaken at its last beat": ([1, 0, 1], 1),
        "first in the middle": ([1, 0, 0, 1], 2),
        "last without first": ([1, 1], 1),
        "last in the middle": ([1, 0, 1], 2),
        "several": ([1, 0, 0, 0, 1], 4),
    }


@pytest.mark.parametrize("stalls", [0.0, (0.1, 0.3)])
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_frames_between_good_ones(kind, stalls):
    beats = [*GOOD]
    for broken in BROKEN[kind]:
        beats += [*broken, *frame(4, 17)]
    check([*beats, *frame(4, 2)], 4, stalls)


def test_frames_of_one_beat():
    good = [(n, True, True) for n in range(20)]
    check(good, 1)
    check([*good[:3], (7, False, False), (8, False, True), (9, True, False), (1, False, True), *good], 1)


beat = st.tuples(st.integers(0, 31), st.booleans(), st.booleans())
noise = st.lists(
    st.one_of(st.just(GOOD), beat.map(lambda b: [b]), st.sampled_from(list(chain(*BROKEN.values()))))
)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(noise, st.integers(1, 5), st.integers(0, 99))
def test_any_marks(pieces, length, seed):
    check([*chain(*pieces), *frame(length), *frame(length, 5)], length, seed=seed)


def test_many_frames_wait_for_their_verdicts():
    """Answers are held back until the gate has as many frames under way as it may."""
    gate = Gate(U5, 1, 2, PORTABLE)
    simulator = stream_sim.simulator_of(gate)

    async def bench(ctx):
        ctx.set(gate.o.ready, 1)
        taken = 0
        for _ in range(100):
            ctx.set(gate.i.payload, {"data": [1], "first": taken % 2 == 0, "last": taken % 2})
            ctx.set(gate.i.valid, 1)
            _, _, ready = await ctx.tick().sample(gate.i.ready)
            taken += ready
        assert taken == 2 * VERDICTS

    simulator.add_testbench(bench)
    simulator.run()


def test_the_count_saturates():
    gate = Gate(U5, 1, 4, PORTABLE)
    gate.dropped = Signal(16, init=0xFFFD)
    judged = Judged(4, gate=lambda *_: gate)
    counted = []
    beats = [*frame(2), *frame(3), *frame(1), *frame(2), *GOOD]
    got, _ = stream_sim.run(
        judged, payloads(beats), 1, done=lambda ctx: counted.append(ctx.get(judged.dropped))
    )
    assert (got, counted) == ([10], [0xFFFF])


class Held(wiring.Component):
    """A gate that is told again and again to let no frame begin.

    Members
    -------
    wrong : out
        A frame began all the same, or one was open while the gate was not busy.
    """

    def __init__(self, length, obeys=True, keeps=True):
        self.gate = Gate(U5, 1, length, PORTABLE, holds=True)
        self.length, self.obeys, self.keeps = length, obeys, keeps
        super().__init__(
            {"i": In(self.gate.i.signature.flip()), "o": Out(self.gate.o.signature), "wrong": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = self.gate
        time, place, offered = Signal(6), Signal(range(self.length)), Signal()
        hold, starts = time[1] ^ time[3] ^ time[4], place == 0
        moves = self.o.valid & self.o.ready
        open_gate = Const(1) if self.keeps else ~(hold & starts)
        m.d.comb += [
            gate.i.payload.eq(self.i.payload),
            gate.i.valid.eq(self.i.valid & open_gate),
            self.i.ready.eq(gate.i.ready & open_gate),
            self.o.payload.eq(gate.o.payload),
            self.o.valid.eq(gate.o.valid),
            gate.o.ready.eq(self.o.ready),
            gate.verdict.ready.eq(1),
            gate.hold.eq(hold & self.obeys & self.keeps),
        ]
        m.d.sync += [time.eq(time + 1), offered.eq(self.o.valid & ~self.o.ready)]
        with m.If(moves):
            m.d.sync += place.eq(Mux(place == self.length - 1, 0, place + 1))
        with m.If((self.o.valid & starts & hold & ~offered) | (~gate.busy & (~starts | offered))):
            m.d.sync += self.wrong.eq(1)
        return m


def held(component, stalls=(0.1, 0.6)):
    """Whether a held gate did right; asserts what comes out of it, and the rules of its stream."""
    wrong = []
    beats = [*frame(3), *frame(2), *GOOD, *frame(3, 7)] * 5
    out, _, _ = rule(beats, 3)
    got, _ = stream_sim.run(
        component, payloads(beats), len(out), stalls, done=lambda ctx: wrong.append(ctx.get(component.wrong))
    )
    assert [value[0] for value in got] == out
    return wrong == [0]


def test_no_frame_begins_while_the_gate_is_held():
    assert held(Held(3))


def test_mutants_of_the_hold_are_noticed():
    assert not held(Held(3, obeys=False))
    with pytest.raises(AssertionError, match="a stalled beat changed"):
        held(Held(3, keeps=False))


class Short(Gate):
    """Takes frames for one beat shorter."""

    def __init__(self, fmt, lanes, beats, device):
        super().__init__(fmt, lanes, beats - 1, device)


class Lenient(Verdict):
    """Lets every answer out."""

    def elaborate(self, platform):
        self.verdict.payload = Const(1)
        return super().elaborate(platform)


class Trusting(Gate):
    """Believes that every frame is whole."""

    def elaborate(self, platform):
        verdict, self.verdict = self.verdict, stream.Signature(1).create()
        m = Module()
        m.submodules.inner = super().elaborate(platform)
        m.d.comb += [
            verdict.payload.eq(1),
            verdict.valid.eq(self.verdict.valid),
            self.verdict.ready.eq(verdict.ready),
        ]
        return m


class Twice(Gate):
    """Counts every broken frame twice."""

    def elaborate(self, platform):
        dropped, self.dropped = self.dropped, Signal(16)
        m = Module()
        m.submodules.inner = super().elaborate(platform)
        m.d.comb += dropped.eq(self.dropped << 1)
        return m


class Passed(Judged):
    """A gate and a verdict of frames, through which values go as they come."""

    def __init__(self, length, gate=Gate, verdict=FrameVerdict):
        self.gate, self.verdict = gate(U5, 1, length, PORTABLE), verdict(U5, 1, length, PORTABLE)
        ports = {"i": In(stream.Signature(frame_layout(U5, 1))), "dropped": Out(16)}
        wiring.Component.__init__(self, ports | {"o": Out(stream.Signature(frame_layout(U5, 1)))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate, m.submodules.verdict = gate, verdict = self.gate, self.verdict
        wiring.connect(m, wiring.flipped(self.i), gate.i)
        wiring.connect(m, gate.verdict, verdict.verdict)
        wiring.connect(m, gate.o, verdict.i)
        wiring.connect(m, verdict.o, wiring.flipped(self.o))
        m.d.comb += self.dropped.eq(gate.dropped)
        return m


def check_frames(beats, length, stalls=(0.1, 0.2), seed=0, **parts):
    """Good frames come out whole, in order and with marks at their ends."""
    out, verdicts, dropped = rule(beats, length)
    whole = [out[n * length : (n + 1) * length] for n, good in enumerate(verdicts) if good]
    passed, counted = Passed(length, **parts), []
    got, _ = stream_sim.run(
        passed, payloads(beats), length * len(whole), stalls, seed, limit=400, longest=5,
        done=lambda ctx: counted.append(ctx.get(passed.dropped)),
    )  # fmt: skip
    assert [(beat.data[0], beat.first, beat.last) for beat in got] == [
        (value, n == 0, n == length - 1) for values in whole for n, value in enumerate(values)
    ]
    assert counted == [dropped]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(noise, st.integers(1, 5), st.integers(0, 99), st.sampled_from([0.0, (0.1, 0.4)]))
def test_values_leave_in_whole_frames(pieces, length, seed, stalls):
    check_frames([*chain(*pieces), *frame(length), *frame(length, 5)], length, stalls, seed)


class LenientFrames(FrameVerdict):
    """Lets the values of every frame out."""

    def elaborate(self, platform):
        self.verdict.payload = Const(1)
        return super().elaborate(platform)


class Shallow(FrameVerdict):
    """Holds less than a frame."""

    depth = 2


class Unjudged(FrameVerdict):
    """Does not wait for the verdict."""

    def elaborate(self, platform):
        self.verdict.valid = Const(1)
        return super().elaborate(platform)


@pytest.mark.parametrize("mutant", [LenientFrames, Shallow, Unjudged])
def test_mutants_of_the_verdict_of_frames_fail(mutant):
    beats = [*frame(8), *frame(5), *frame(8, 3)]
    check_frames(beats, 8)
    with pytest.raises(AssertionError):
        check_frames(beats, 8, verdict=mutant)


@pytest.mark.parametrize(
    ("part", "mutant"), [("gate", Short), ("gate", Trusting), ("gate", Twice), ("verdict", Lenient)]
)
def test_mutants_fail(part, mutant):
    beats = [*GOOD, *frame(3), *GOOD]
    check(beats, 4)
    with pytest.raises(AssertionError):
        check(beats, 4, **{part: mutant})


def broken_copies(beats, rng):
    """A frame's beats with its marks or length spoilt so that it cannot be whole."""
    kind = rng.integers(4)
    spoilt = [dict(beat) for beat in beats]
    if kind == 0 and len(beats) > 1:
        spoilt[0]["first"] = 0
    elif kind == 1 and len(beats) > 1:
        spoilt = spoilt[: rng.integers(1, len(beats))]
        spoilt[-1]["last"] = int(rng.integers(2))
    elif kind == 2:
        spoilt[-1]["last"] = 0
        spoilt += [{**spoilt[-1], "first": 0, "last": n == 2} for n in range(3)]
    else:
        spoilt[-1]["last"] = 0
    return spoilt


@pytest.mark.parametrize("classifies", [True, False], ids=["class", "values"])
@pytest.mark.parametrize("seed", range(12))
def test_the_accelerator_answers_good_frames_only(seed, classifies):
    drawer = NetDrawer(seed)
    net = replace(drawer.net(drawer.integer(1, 4), largest=6), classifies=classifies)
    images = drawer.images(net, 4)
    whole = [stream_sim.frames(net, image[None]) for image in images]
    beats = []
    for frame_beats in whole:
        for _ in range(drawer.integer(0, 2)):
            beats += broken_copies(whole[drawer.integer(0, 3)], drawer.rng)
        beats += frame_beats
    length = len(whole[0])
    marks = [(0, bool(beat["first"]), bool(beat["last"])) for beat in beats]
    _, verdicts, dropped = rule(marks, length)
    assert sum(verdicts) == 4
    accelerator, counted = Accelerator(net, drawer.plan(net)), []
    got, _ = stream_sim.run(
        accelerator, beats, 4 * accelerator.out_beats, (0.0, 0.2)[seed % 2], seed, limit=100_000, longest=4,
        done=lambda ctx: counted.append(ctx.get(accelerator.dropped)),
    )  # fmt: skip
    np.testing.assert_array_equal(stream_sim.read(accelerator, got), net.logits(images))
    assert counted == [dropped]


class Restarted(wiring.Component):
    """An accelerator that is reset after some beats; it takes none in that cycle."""

    def __init__(self, accelerator, after):
        self.accelerator, self.after = accelerator, after
        super().__init__(
            {
                "i": In(accelerator.i.signature.flip()),
                "o": Out(accelerator.o.signature),
                "dropped": Out(16),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inner = self.accelerator
        beats, reset = Signal(16), Signal()
        m.submodules.inner = ResetInserter(reset)(inner)
        m.d.comb += [
            reset.eq(beats == self.after),
            inner.i.payload.eq(self.i.payload),
            inner.i.valid.eq(self.i.valid & ~reset),
            self.i.ready.eq(inner.i.ready & ~reset),
            self.o.payload.eq(inner.o.payload),
            self.o.valid.eq(inner.o.valid & ~reset),
            inner.o.ready.eq(self.o.ready),
            self.dropped.eq(inner.dropped),
        ]
        m.d.sync += beats.eq(beats + ((self.i.valid & self.i.ready) | reset))
        return m


@pytest.mark.parametrize("seed", range(8))
def test_a_reset_in_the_middle_of_a_frame(seed):
    drawer = NetDrawer(100 + seed)
    net = drawer.net(drawer.integer(2, 4), largest=6)
    images = drawer.images(net, 3)
    beats = stream_sim.frames(net, images)
    length = len(beats) // 3
    cut = drawer.integer(1, length)
    restarted, counted = Restarted(Accelerator(net, drawer.plan(net)), cut), []
    got, _ = stream_sim.run(
        restarted, [*beats[:cut], *beats], 3, 0.0, seed, limit=100_000,
        done=lambda ctx: counted.append(ctx.get(restarted.dropped)),
    )  # fmt: skip
    np.testing.assert_array_equal([list(answer.logits) for answer in got], net.logits(images))
    assert counted == [0]
