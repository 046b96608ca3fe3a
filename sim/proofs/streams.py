"""Proofs of what moves beats and computes nothing: FIFOs, repacking, windows, forks, and the gate."""

from __future__ import annotations

from functools import partial
from unittest import mock

from amaranth.hdl import Cat, Const, Mux, Signal, Value
from amaranth.lib import data

import hdl.parts.buffer
import hdl.parts.gate
import hdl.parts.repack
import hdl.parts.window
import hdl.stages.residual
from hdl.devices.device import PORTABLE
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from sim.proofs.bench import OUTPUTS, VALUES, Bench
from sim.proofs.proof import Proof

BIT = QFormat(1, 0, False)


def stage(dut) -> Bench:
    """A bench of a stage with one stream in and one out, driven and drained."""
    bench = Bench(dut)
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


def window(
    shape, geometry: Geometry, *, lanes=0, parts: int = 1, ahead: int = 0, patient=False, flight=3
) -> Bench:
    """The line buffer against the pixels of the frame itself: no counter of its own is trusted."""
    lanes = lanes or shape[2]
    dut = hdl.parts.window.Window(shape, geometry, BIT, lanes, 0, PORTABLE, parts, ahead, patient)
    bench = stage(dut)
    (height, width, _), groups = shape, shape[2] // lanes
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


def sweep(shape, geometry: Geometry, pixels: int) -> Bench:
    """Several pixels in a beat, and the windows that belong to them side by side."""
    height, width, _ = shape
    dut = hdl.parts.window.Window(shape, geometry, BIT, pixels, 0, PORTABLE)
    bench = stage(dut)
    (down, right), (tall, wide) = geometry.positions(shape), geometry.kernel
    (top, _), (left, _) = geometry.padding
    windows, row = dut.slide.windows, width // pixels

    def expected(beats, number, out):
        taps = []
        for position in range(number * windows, (number + 1) * windows):
            for at in range(tall * wide):
                y = position // right * geometry.stride[0] - top + at // wide
                x = position % right * geometry.stride[1] - left + at % wide
                inside = 0 <= y < height and 0 <= x < width
                taps.append(beats[y * row + x // pixels][x % pixels] if inside else Const(0, 1))
        return Value.cast(out) == Cat(taps)

    needed = []
    for number in range(down * right // windows):
        line, beat = divmod(number, right // windows)
        y = line * geometry.stride[0] - top + tall - 1
        # a row's last windows wait for no beat behind it
        needed.append(height * row if y >= height else y * row + min(beat + dut.slide.ahead, row - 1) + 1)
    owed = [sum(need <= count for need in needed) for count in range(1, height * row)]
    bench.frames(
        dut.i, dut.o, height * row, len(needed), expected, owed=owed, settle=(row + 2) * (2 + top) + 4
    )
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


G = Geometry
SAME = ((1, 1), (1, 1))
PROOFS = [
    Proof("Buffer, 2 words of 1 bit", partial(buffer, 2, 1), fast=True),
    Proof("Buffer, 3 words of 2 bits", partial(buffer, 3, 2), "buffer", fast=True),
    Proof("Buffer, 5 words of 1 bit", partial(buffer, 5, 1)),
    Proof("Widen, 1 to 3 lanes", partial(widen, 3), "widen", fast=True),
    Proof("Widen, 1 to 4 lanes", partial(widen, 4)),
    Proof("Narrow, 3 to 1 lanes", partial(narrow, 3), "narrow", fast=True),
    Proof("Narrow, 4 to 1 lanes", partial(narrow, 4)),
    Proof("Window 2x2 on 3x3", partial(window, (3, 3, 1), G((2, 2))), "window"),
    Proof("Window 2x2 / 2 on 4x4", partial(window, (4, 4, 1), G((2, 2), (2, 2)))),
    Proof("Window 2x2 / 2 on 3x3, ragged", partial(window, (3, 3, 1), G((2, 2), (2, 2)))),
    Proof("Window 2x2 on 2x2x2, lane by lane", partial(window, (2, 2, 2), G((2, 2)), lanes=1)),
    Proof("Window 1x2 on 2x3x2, 2 parts", partial(window, (2, 3, 2), G((1, 2)), parts=2)),
    Proof("Window 2x2, dilated 2, on 3x3", partial(window, (3, 3, 1), G((2, 2), dilation=(2, 2)))),
    Proof("Window 3x3 on 2x2, padded", partial(window, (2, 2, 1), G((3, 3), padding=SAME))),
    Proof(
        "Window 2x2 on 2x2x2, lane by lane, patient",
        partial(window, (2, 2, 2), G((2, 2)), lanes=1, patient=True),
    ),
    Proof("Window 2x2 on 2x2, FIFO of 2", partial(window, (2, 2, 1), G((2, 2)), ahead=2)),
    Proof(
        "Sweep, 3x3 padded on 2x4, 2 pixels", partial(sweep, (2, 4, 1), G((3, 3), padding=SAME), 2), "sweep"
    ),
    Proof("Sweep, 2x2 / 2 on 2x4, 4 pixels", partial(sweep, (2, 4, 1), G((2, 2), (2, 2)), 4)),
    Proof("Fork", fork, "fork", fast=True),
    Proof("Join", join, "join", fast=True),
    Proof("Verdict", verdict, "verdict", fast=True),
    Proof("Gate, 4 beats", partial(gate, 4, holds=False)),
    Proof("Gate that holds, 3 beats", partial(gate, 3, holds=True), "gate", fast=True),
]
