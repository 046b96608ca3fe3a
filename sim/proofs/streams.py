"""Proofs of what moves beats and computes nothing: FIFOs, repacking, forks, and the gate."""

from __future__ import annotations

from functools import partial
from unittest import mock

from amaranth.hdl import Cat, Mux, Signal, Value
from amaranth.lib import data

import hdl.parts.buffer
import hdl.parts.gate
import hdl.parts.repack
import hdl.stages.residual
from hdl.devices.device import PORTABLE
from model.arithmetic.qformat import QFormat
from sim.proofs.bench import OUTPUTS, VALUES, Bench
from sim.proofs.proof import Proof

BIT = QFormat(1, 0, False)


def stage(dut, **options) -> Bench:
    """A bench of a stage with one stream in and one out, driven and drained; options as of `Bench`."""
    bench = Bench(dut, **options)
    bench.feed(dut.i)
    bench.drain(dut.o)
    return bench


def buffer(depth: int, width: int) -> Bench:
    dut = hdl.parts.buffer.Buffer(width, depth, PORTABLE)
    bench = stage(dut)
    bench.frames(
        dut.i, dut.o, 1, 1, lambda beats, _, out: out == beats[0], flight=depth + 1, settle=depth + 3
    )
    return bench


def widen(factor: int) -> Bench:
    dut = hdl.parts.repack.Widen(BIT, 1, factor)
    bench = stage(dut)
    bench.frames(
        dut.i, dut.o, factor, 1, lambda beats, _, out: Value.cast(out) == Cat(beats), flight=2, settle=3
    )
    return bench


def narrow(factor: int) -> Bench:
    dut = hdl.parts.repack.Narrow(BIT, 1, factor)
    bench = stage(dut)
    bench.frames(
        dut.i, dut.o, 1, factor, lambda beats, n, out: Value.cast(out) == beats[0][n], flight=2,
        settle=factor + 2,
    )  # fmt: skip
    return bench


def fork() -> Bench:
    dut = hdl.stages.residual.Fork(2)
    bench = Bench(dut)
    bench.feed(dut.i)
    for name in ("body", "shortcut"):
        side, ahead = getattr(dut, name), Signal(2, name=f"{name}_ahead")
        bench.drain(side, name)
        gives = side.valid & side.ready
        # A side is ahead of the input by the beat that the other has yet to take, and never more.
        bench.m.d.sync += ahead.eq(ahead + gives - (dut.i.valid & dut.i.ready))
        bench.hold(OUTPUTS, ahead <= 1)
        bench.hold(OUTPUTS, ~(dut.i.valid & dut.i.ready) | (ahead + gives == 1))
        bench.hold(VALUES, ~side.valid | (dut.i.valid & (side.payload == dut.i.payload)))
    return bench


def join() -> Bench:
    dut = hdl.stages.residual.Join(data.StructLayout({"body": 2, "shortcut": 1}))
    bench = Bench(dut)
    bench.feed(dut.body, "body")
    bench.feed(dut.shortcut, "shortcut")
    bench.drain(dut.o)
    gives = dut.o.valid & dut.o.ready
    for side in (dut.body, dut.shortcut):
        bench.hold(OUTPUTS, (side.valid & side.ready) == gives)
    bench.hold(OUTPUTS, dut.o.valid == (dut.body.valid & dut.shortcut.valid))
    for name in ("body", "shortcut"):
        bench.hold(VALUES, ~dut.o.valid | (dut.o.payload[name] == getattr(dut, name).payload))
    return bench


def verdict() -> Bench:
    dut = hdl.parts.gate.Verdict(2)
    bench = Bench(dut)
    bench.feed(dut.i)
    bench.feed(dut.verdict, "verdict")
    bench.drain(dut.o)
    takes, judges = dut.i.valid & dut.i.ready, dut.verdict.valid & dut.verdict.ready
    bench.hold(OUTPUTS, takes == judges)
    bench.hold(OUTPUTS, (dut.o.valid & dut.o.ready) == (takes & dut.verdict.payload))
    # a broken frame's answer waits for nobody
    bench.hold(OUTPUTS, ~(dut.i.valid & dut.verdict.valid & ~dut.verdict.payload) | takes)
    bench.hold(VALUES, ~dut.o.valid | (dut.o.payload == dut.i.payload))
    return bench


def frame_verdict(beats: int) -> Bench:
    """Frames of values leave whole, with marks on their ends, or not at all."""
    dut = hdl.parts.gate.FrameVerdict(BIT, 2, beats, PORTABLE)
    bench = Bench(dut)
    m = bench.m
    bench.feed(dut.i)
    bench.feed(dut.verdict, "verdict")
    bench.drain(dut.o)
    (queue,) = (part for part in bench.parts if isinstance(part, hdl.parts.buffer.Buffer))
    leaves, judges = queue.o.valid & queue.o.ready, dut.verdict.valid & dut.verdict.ready
    place, held = Signal(range(beats)), Signal(range(2 * beats + 4))
    m.d.sync += held.eq(held + (dut.i.valid & dut.i.ready) - leaves)
    with m.If(leaves):
        m.d.sync += place.eq(Mux(place == beats - 1, 0, place + 1))
    judged, good = queue.o.valid & dut.verdict.valid, dut.verdict.payload
    bench.hold(OUTPUTS, judges == (leaves & (place == beats - 1)))
    bench.hold(OUTPUTS, (dut.o.valid & dut.o.ready) == (leaves & good))
    # a broken frame waits for nobody
    bench.hold(OUTPUTS, ~(judged & ~good) | leaves)
    bench.hold(OUTPUTS, ~(judged & good) | dut.o.valid)
    # there is room for a whole frame, as its verdict comes after it
    bench.hold(OUTPUTS, (held >= beats) | dut.i.ready)
    bench.hold(VALUES, ~dut.o.valid | (Value.cast(dut.o.payload.data) == Value.cast(queue.o.payload)))
    bench.hold(VALUES, ~dut.o.valid | (dut.o.payload.first == (place == 0)))
    bench.hold(VALUES, ~dut.o.valid | (dut.o.payload.last == (place == beats - 1)))
    return bench


def gate(beats: int, *, holds: bool) -> Bench:
    """Whatever the marks, frames of the right length come out, each with the right verdict."""
    with mock.patch.object(hdl.parts.gate, "VERDICTS", 3):
        dut = hdl.parts.gate.Gate(BIT, 2, beats, PORTABLE, holds=holds)
        bench = Bench(dut)
    m = bench.m
    bench.feed(dut.i)
    bench.drain(dut.o)
    bench.drain(dut.verdict, "verdict")
    bench.no_overflow()
    if holds:
        m.d.comb += dut.hold.eq(bench.any(1, "hold"))
    (queue,) = (part for part in bench.parts if isinstance(part, hdl.parts.buffer.Buffer))
    takes, gives = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
    frame = dut.i.payload
    # The marks alone say how many beats of a good frame have come in a row.
    good, place = Signal(range(beats)), Signal(range(beats))
    begins, goes_on = frame.first, ~frame.first & (good != 0)
    at_end = Mux(begins, 0, good) == beats - 1
    whole = takes & (begins | goes_on) & at_end & frame.last
    with m.If(takes):
        m.d.sync += good.eq(Mux((begins | goes_on) & ~at_end & ~frame.last, Mux(begins, 1, good + 1), 0))
    with m.If(gives):
        m.d.sync += place.eq(Mux(place == beats - 1, 0, place + 1))
    ends = gives & (place == beats - 1)
    # The verdict follows a cycle later.
    ended, was_whole = Signal(), Signal()
    m.d.sync += [ended.eq(ends), was_whole.eq(whole)]
    bench.hold(OUTPUTS, queue.i.valid == ended)
    bench.hold(OUTPUTS, ~ended | (queue.i.payload == was_whole))
    bench.hold(OUTPUTS, ~whole | ends)
    bench.hold(VALUES, ~gives | (Value.cast(dut.o.payload) == Mux(takes, Value.cast(frame.data), 0)))
    return bench


PROOFS = [
    Proof("Buffer, 2 words of 1 bit", partial(buffer, 2, 1), fast=True),
    Proof("Buffer, 3 words of 2 bits", partial(buffer, 3, 2), "buffer", fast=True),
    Proof("Buffer, 5 words of 1 bit", partial(buffer, 5, 1)),
    Proof("Widen, 1 to 3 lanes", partial(widen, 3), "widen", fast=True),
    Proof("Widen, 1 to 4 lanes", partial(widen, 4)),
    Proof("Narrow, 3 to 1 lanes", partial(narrow, 3), "narrow", fast=True),
    Proof("Narrow, 4 to 1 lanes", partial(narrow, 4)),
    Proof("Fork", fork, "fork", fast=True),
    Proof("Join", join, "join", fast=True),
    Proof("Verdict", verdict, "verdict", fast=True),
    Proof("FrameVerdict, 1 beat", partial(frame_verdict, 1)),
    Proof("FrameVerdict, 3 beats", partial(frame_verdict, 3), "frames", fast=True),
    Proof("Gate, 4 beats", partial(gate, 4, holds=False)),
    Proof("Gate that holds, 3 beats", partial(gate, 3, holds=True), "gate", fast=True),
]
