"""Proofs of what moves beats and computes nothing: FIFOs, repacking, windows, forks, and the gate."""

from __future__ import annotations

from functools import partial
from unittest import mock
from operator import eq

import hdl.buffer
import hdl.gate
import hdl.repack
import hdl.residual
import hdl.window
from amaranth.hdl import Cat, Const, Mux, Signal, Value
from amaranth.lib import data

from hdl.device import PORTABLE
from model.geometry import Geometry
from model.qformat import QFormat
from sim.proofs.bench import CONTRACT, COUNTERS, FIFOS, INDEPENDENT, OUTPUTS, VALUES, Bench
from sim.proofs.faults import Fault
from sim.proofs.proof import Proof

BIT = QFormat(1, 0, False)


def stage(dut) -> Bench:
    """A bench of a stage with one stream in and one out, driven and drained."""
    bench = Bench(dut)
    bench.feed(dut.i)
    bench.drain(dut.o)
    return bench


def buffer(depth: int, width: int) -> Bench:
    dut = hdl.buffer.Buffer(width, depth, PORTABLE)
    bench = stage(dut)
    bench.frames(
        dut.i, dut.o, 1, 1, lambda beats, _, out: out == beats[0], flight=depth + 1, settle=depth + 3
    )
    return bench


def widen(factor: int) -> Bench:
    dut = hdl.repack.Widen(BIT, 1, factor)
    bench = stage(dut)
    bench.frames(
        dut.i, dut.o, factor, 1, lambda beats, _, out: Value.cast(out) == Cat(beats), flight=2, settle=3
    )
    return bench


def narrow(factor: int) -> Bench:
    dut = hdl.repack.Narrow(BIT, 1, factor)
    bench = stage(dut)
    bench.frames(
        dut.i, dut.o, 1, factor, lambda beats, n, out: Value.cast(out) == beats[0][n], flight=2,
        settle=factor + 2,
    )  # fmt: skip
    return bench


def window(shape, geometry: Geometry, *, lanes: int = 0, parts: int = 1, ahead: int = 0, flight=3) -> Bench:
    """The line buffer against the pixels of the frame itself: no counter of its own is trusted."""
    lanes = lanes or shape[2]
    dut = hdl.window.Window(shape, geometry, BIT, lanes, 0, PORTABLE, parts, ahead)
    bench = stage(dut)
    (height, width, channels), groups = shape, shape[2] // lanes
    (down, right), (tall, wide) = geometry.positions(shape), geometry.kernel
    (top, _), (left, _) = geometry.padding

    def expected(beats, number, out):
        position, group = divmod(number, groups)
        share = lanes // parts
        taps = []
        for part in range(parts):
            for row in range(tall):
                for column in range(wide):
                    y = position // right * geometry.stride[0] - top + row * geometry.dilation[0]
                    x = position % right * geometry.stride[1] - left + column * geometry.dilation[1]
                    if 0 <= y < height and 0 <= x < width:
                        taps.append(beats[(y * width + x) * groups + group][part * share :][:share])
                    else:
                        taps.append(Const(0, share))
        return Value.cast(out) == Cat(taps)

    needed = []
    for position in range(down * right):
        y = position // right * geometry.stride[0] - top + geometry.extent[0] - 1
        x = position % right * geometry.stride[1] - left + geometry.extent[1] - 1
        pixels = height * width if y >= height else y * width + min(x, width - 1)
        needed += [pixels * groups + group + 1 if y < height else pixels * groups for group in range(groups)]
    beats = height * width * groups
    owed = [sum(need <= count for need in needed) for count in range(1, beats)]
    bench.frames(
        dut.i, dut.o, beats, len(needed), expected, flight=flight, owed=owed,
        settle=(width + sum(geometry.padding[1])) * (2 + sum(geometry.padding[0])) * groups + 4,
    )  # fmt: skip
    return bench


def fork() -> Bench:
    dut = hdl.residual.Fork(2)
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
    dut = hdl.residual.Join(data.StructLayout({"body": 2, "shortcut": 1}))
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
    dut = hdl.gate.Verdict(2)
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


def gate(beats: int, *, holds: bool) -> Bench:
    """Whatever the marks, frames of the right length come out, each with the right verdict."""
    with mock.patch.object(hdl.gate, "VERDICTS", 3):
        dut = hdl.gate.Gate(BIT, 2, beats, PORTABLE, holds=holds)
        bench = Bench(dut)
    m = bench.m
    bench.feed(dut.i)
    bench.drain(dut.o)
    bench.drain(dut.verdict, "verdict")
    bench.no_overflow()
    if holds:
        m.d.comb += dut.hold.eq(bench.any(1, "hold"))
    (queue,) = (part for part in bench.parts if isinstance(part, hdl.buffer.Buffer))
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
    bench.hold(OUTPUTS, queue.i.valid == ends)
    bench.hold(OUTPUTS, ~ends | (queue.i.payload == whole))
    bench.hold(OUTPUTS, ~whole | ends)
    bench.hold(VALUES, ~gives | (Value.cast(dut.o.payload) == Mux(takes, Value.cast(frame.data), 0)))
    before = Signal.like(dut.dropped)
    m.d.sync += before.eq(dut.dropped)
    bench.hold(VALUES, (dut.dropped == before) | (dut.dropped == before + 1))
    return bench



BUFFER = (
    (CONTRACT, Fault("buffer", "read_en.eq(reads)", "read_en.eq(level != 0)", "a stalled beat is overwritten")),
    (COUNTERS, Fault("buffer", "pointer == self.depth - 1", "pointer == self.depth", "wraps a word late")),
    (FIFOS, Fault("buffer", "reads.eq((level != 0) &", "reads.eq((level != 0) & ~writes | writes &", "reads early")),
    (OUTPUTS, Fault("buffer", "ready.eq(level != self.depth)", "ready.eq(1)", "takes beats without room")),
    (VALUES, Fault("buffer", "write_addr.eq(produce)", "write_addr.eq(consume)", "writes over the oldest")),
)  # fmt: skip
WIDEN = (
    (CONTRACT, Fault("repack", "self.i.ready.eq(~self.o.valid | self.o.ready),", "self.i.ready.eq(1),", "deaf")),
    (INDEPENDENT, Fault("repack", "self.o.valid.eq(count == self.factor)", "self.o.valid.eq((count == self.factor) & self.o.ready)", "waits to be asked")),
    (OUTPUTS, Fault("repack", "m.d.sync += count.eq(1)", "m.d.sync += count.eq(0)", "forgets a beat that comes as one leaves")),
    (VALUES, Fault("repack", "Cat(held[word:], Value.cast(self.i.payload))", "Cat(Value.cast(self.i.payload), held)", "lanes in reverse")),
)  # fmt: skip
NARROW = (
    (CONTRACT, Fault("repack", "(self.o.ready & (left == 1))", "(left == 1)", "the last piece is overwritten")),
    (INDEPENDENT, Fault("repack", "self.o.valid.eq(left != 0)", "self.o.valid.eq((left != 0) & self.o.ready)", "waits to be asked")),
    (OUTPUTS, Fault("repack", "left.eq(self.factor)]", "left.eq(self.factor - 1)]", "a piece too few")),
    (VALUES, Fault("repack", "held[:word]", "held[-word:]", "the highest lanes first")),
)  # fmt: skip
WINDOW = (
    (CONTRACT, Fault("window", "room.eq(~full | self.o.ready)", "room.eq(1)", "shifts under a waiting window")),
    (COUNTERS, Fault("window", "x == whole - 1", "x == whole", "a column too many")),
    (FIFOS, Fault("window", "lines.write_addr.eq(at)", "lines.write_addr.eq(address)", "writes where it reads")),
    (OUTPUTS, Fault("window", "y == tall - 1", "y == tall - 2", "a row too few")),
    (VALUES, Fault("window", "lines.write_data.eq(column[word:])", "lines.write_data.eq(column[:-word])", "a stale line buffer")),
)  # fmt: skip
FORK = (
    (CONTRACT, Fault("residual", "side.valid.eq(self.i.valid & ~done[name])", "side.valid.eq(self.i.valid & ~done[name] & ~done['body'])", "takes an offer back")),
    (INDEPENDENT, Fault("residual", "side.valid.eq(self.i.valid & ~done[name])", "side.valid.eq(self.i.valid & ~done[name] & side.ready)", "waits to be asked")),
    (OUTPUTS, Fault("residual", "served[name] & ~self.i.ready", "0", "serves a side twice")),
    (VALUES, Fault("residual", "side.payload.eq(self.i.payload)", "side.payload.eq(self.i.payload ^ done['body'])", "changes a beat")),
)  # fmt: skip
JOIN = (
    (CONTRACT, Fault("residual", "self.body.ready.eq(self.o.ready & self.shortcut.valid)", "self.body.ready.eq(1)", "takes one side alone")),
    (INDEPENDENT, Fault("residual", "self.o.valid.eq(self.body.valid & self.shortcut.valid)", "self.o.valid.eq(self.body.valid & self.shortcut.valid & self.o.ready)", "waits to be asked")),
    (OUTPUTS, Fault("residual", "self.shortcut.ready.eq(self.o.ready & self.body.valid)", "self.shortcut.ready.eq(self.o.ready)", "drops a beat")),
    (VALUES, Fault("residual", "self.o.payload.shortcut.eq(self.shortcut.payload)", "self.o.payload.shortcut.eq(self.body.payload)", "the wrong side")),
)  # fmt: skip
VERDICT = (
    (CONTRACT, Fault("gate", "both & (self.o.ready | ~self.verdict.payload)", "both", "drops an answer that waits")),
    (INDEPENDENT, Fault("gate", "self.o.valid.eq(both & self.verdict.payload)", "self.o.valid.eq(done & self.verdict.payload)", "waits to be asked")),
    (OUTPUTS, Fault("gate", "both & (self.o.ready | ~self.verdict.payload)", "both & self.o.ready", "broken frames wait")),
    (VALUES, Fault("gate", "self.o.payload.eq(self.i.payload)", "self.o.payload.eq(~self.i.payload)", "changes an answer")),
)  # fmt: skip
GATE = (
    (CONTRACT, Fault("gate", "verdicts.i.ready & (~self.hold | offered)", "verdicts.i.ready & ~self.hold", "takes an offer back")),
    (INDEPENDENT, Fault("gate", "self.o.valid.eq(passes | fills)", "self.o.valid.eq((passes | fills) & self.o.ready)", "waits to be asked")),
    (FIFOS, Fault("gate", " & (~at_start | may_begin)", "", "forgets a verdict")),
    (COUNTERS, Fault("gate", "count.eq(0), filling.eq(0)", "filling.eq(0)", "goes on counting")),
    (OUTPUTS, Fault("gate", "passes & frame.last)", "passes)", "a frame that is too long counts")),
    (VALUES, Fault("gate", "with m.If(passes):\n            m.d.comb += Value.cast(self.o.payload)", "with m.If(self.i.valid):\n            m.d.comb += Value.cast(self.o.payload)", "fills up with what comes")),
)  # fmt: skip

G = Geometry
SAME = ((1, 1), (1, 1))
PROOFS = [
    Proof("Buffer, 2 words of 1 bit", partial(buffer, 2, 1), fast=True),
    Proof("Buffer, 3 words of 2 bits", partial(buffer, 3, 2), BUFFER, fast=True),
    Proof("Buffer, 5 words of 1 bit", partial(buffer, 5, 1)),
    Proof("Widen, 1 to 3 lanes", partial(widen, 3), WIDEN, fast=True),
    Proof("Widen, 1 to 4 lanes", partial(widen, 4)),
    Proof("Narrow, 3 to 1 lanes", partial(narrow, 3), NARROW, fast=True),
    Proof("Narrow, 4 to 1 lanes", partial(narrow, 4)),
    Proof("Window 2x2 on 3x3", partial(window, (3, 3, 1), G((2, 2))), WINDOW),
    Proof("Window 2x2 / 2 on 4x4", partial(window, (4, 4, 1), G((2, 2), (2, 2)))),
    Proof("Window 2x2 / 2 on 3x3, ragged", partial(window, (3, 3, 1), G((2, 2), (2, 2)))),
    Proof("Window 2x2 on 2x2x2, lane by lane", partial(window, (2, 2, 2), G((2, 2)), lanes=1)),
    Proof("Window 1x2 on 2x3x2, 2 parts", partial(window, (2, 3, 2), G((1, 2)), parts=2)),
    Proof("Window 2x2, dilated 2, on 3x3", partial(window, (3, 3, 1), G((2, 2), dilation=(2, 2)))),
    Proof("Window 3x3 on 2x2, padded", partial(window, (2, 2, 1), G((3, 3), padding=SAME))),
    Proof("Window 2x2 on 3x3, FIFO of 2", partial(window, (3, 3, 1), G((2, 2)), ahead=2)),
    Proof("Fork", fork, FORK, fast=True),
    Proof("Join", join, JOIN, fast=True),
    Proof("Verdict", verdict, VERDICT, fast=True),
    Proof("Gate, 3 beats", partial(gate, 3, holds=False)),
    Proof("Gate that holds, 2 beats", partial(gate, 2, holds=True), GATE),
]
