"""Proofs of windows: slid through registers, several side by side, read from memory, or taken up at once."""

from __future__ import annotations

from functools import partial
from unittest import mock

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import hdl.parts.pipe
import hdl.parts.raster
import hdl.parts.window
import hdl.products.gather
import hdl.products.mac
import hdl.stages.collect
from hdl.devices.device import PORTABLE
from hdl.folding.layer import Folding
from hdl.folding.stage import StagePlan
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from model.layers import ConvSpec, PoolSpec
from sim.proofs.arithmetic import both
from sim.proofs.bench import OUTPUTS, VALUES, Bench
from sim.proofs.proof import Proof
from sim.proofs.streams import BIT, stage


def window(
    shape, geometry: Geometry, *, lanes=0, parts: int = 1, ahead: int = 0, patient=False, flight=3
) -> Bench:
    """A `Window` that stops at any column; where it is patient, a bit of its columns has an enable."""
    lanes = lanes or shape[2]
    dut = hdl.parts.window.Window(shape, geometry, BIT, lanes, 0, PORTABLE, parts, ahead, patient)
    fan = shape[2] // lanes * (geometry.extent[1] - 1) + 1 if patient else hdl.parts.pipe.FAN
    with mock.patch.object(hdl.parts.pipe, "FAN", fan):
        bench = stage(dut)
    windows(bench, shape, geometry, lanes, parts, flight)
    return bench


class Opened(wiring.Component):
    """A front and its pipe; in place of credits and FIFO one who may deny room at any time."""

    def __init__(self, front, pipe):
        self.front, self.pipe = front, pipe
        super().__init__(
            {
                "i": In(front.i.signature.flip()),
                "o": Out(pipe.o.signature),
                "room": In(1),
                "spend": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.front, m.submodules.pipe = self.front, self.pipe
        wiring.connect(m, wiring.flipped(self.i), self.front.i)
        wiring.connect(m, self.front.o, self.pipe.i)
        wiring.connect(m, self.pipe.o, wiring.flipped(self.o))
        m.d.comb += [self.front.room.eq(self.room), self.spend.eq(self.front.spend)]
        return m


def opened(front, pipe) -> tuple[Bench, Value]:
    """A bench of them, in which each credit spent, and nothing else, brings a beat out the pipe's latency
    later; and whether there is no room.
    """
    dut = Opened(front, pipe)
    bench = Bench(dut)
    bench.feed(dut.i)
    begun, free, spent = Signal(), bench.any(1, "room"), dut.spend
    bench.m.d.sync += begun.eq(1)
    bench.m.d.comb += dut.room.eq(free & begun)
    bench.apart.append((free, dut.o.valid))
    for cycle in range(pipe.latency):
        later = Signal(name=f"spent_{cycle}")
        bench.m.d.sync += later.eq(spent)
        spent = later
    bench.hold(OUTPUTS, dut.o.valid == spent)
    return bench, ~dut.room


def slide(shape, geometry: Geometry, *, lanes: int = 0, parts: int = 1) -> Bench:
    """Windows for pipes."""
    lanes = lanes or shape[2]
    raster = hdl.parts.raster.Raster(shape, geometry, BIT, lanes, 0)
    bench, halts = opened(raster, hdl.parts.raster.SlidePipe(raster, PORTABLE, parts))
    windows(bench, shape, geometry, lanes, parts, flight=3, settle=8, halts=halts)
    return bench


def elastic(raster, pipe) -> Bench:
    """A bench of them with credits and a FIFO of fewer words than full rate takes, so often full."""
    dut = hdl.parts.pipe.Elastic([pipe], PORTABLE, raster)
    dut.depth = 2
    bench = stage(dut)
    bench.no_overflow()
    return bench


def credited(shape, geometry: Geometry) -> Bench:
    """The same with credits."""
    raster = hdl.parts.raster.Raster(shape, geometry, BIT, shape[2], 0)
    bench = elastic(raster, hdl.parts.raster.SlidePipe(raster, PORTABLE, 1))
    windows(bench, shape, geometry, shape[2], 1, flight=4, settle=12)
    return bench


def windows(
    bench: Bench, shape, geometry: Geometry, lanes: int, parts: int, flight: int, settle: int = 4, **options
) -> None:
    """The line buffer against the pixels of the frame itself: no counter of its own is trusted.

    `settle` is what the stage takes beside the places of a row and its padding; options as of `frames`.
    """
    dut = bench.dut
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
        settle=(width + sum(geometry.padding[1])) * (2 + sum(geometry.padding[0])) * groups + settle,
        **options,
    )  # fmt: skip


def sweep(shape, geometry: Geometry, pixels: int) -> Bench:
    """Several pixels in a beat, and the windows that belong to them side by side."""
    dut = hdl.parts.window.Window(shape, geometry, BIT, pixels, 0, PORTABLE)
    bench = stage(dut)
    swept(bench, shape, geometry, pixels, dut.slide)
    return bench


def sweep_pipe(shape, geometry: Geometry, pixels: int) -> Bench:
    """The same as pipes with credits."""
    raster = hdl.parts.raster.Raster(shape, geometry, BIT, pixels, 0)
    pipe = hdl.parts.raster.SweepPipe(raster, PORTABLE, 1, False)
    bench = elastic(raster, pipe)
    swept(bench, shape, geometry, pixels, pipe.sweep, flight=4, settle=12)
    return bench


def swept(bench: Bench, shape, geometry: Geometry, pixels: int, slide, settle: int = 4, **options) -> None:
    """What comes of several pixels in a beat; `settle` and options as of `windows`."""
    dut, (height, width, _) = bench.dut, shape
    (down, right), (tall, wide) = geometry.positions(shape), geometry.kernel
    (top, _), (left, _) = geometry.padding
    windows, row = slide.windows, width // pixels

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
        needed.append(height * row if y >= height else y * row + min(beat + slide.ahead, row - 1) + 1)
    owed = [sum(need <= count for need in needed) for count in range(1, height * row)]
    settle += (row + 2) * (2 + top)
    bench.frames(dut.i, dut.o, height * row, len(needed), expected, owed=owed, settle=settle, **options)


def collect(shape, kernel) -> Bench:
    """Maxima of windows side by side, whose pixels come channel by channel."""
    spec = PoolSpec(name="p", in_shape=shape, src=BIT, dst=BIT, mode="max", kernel=kernel, stride=kernel)
    tiles = hdl.stages.collect.Tiles(spec, 1)
    bench, halts = opened(tiles, hdl.stages.collect.CollectPipe(tiles, PORTABLE))
    (height, width, channels), (down, right, _) = shape, spec.out_shape
    places = [  # of the beats of each window
        [
            ((y * kernel[0] + row) * width + x * kernel[1] + column) * channels + channel
            for row in range(kernel[0])
            for column in range(kernel[1])
        ]
        for y in range(down)
        for x in range(right)
        for channel in range(channels)
    ]

    def relation(beats, number, out):
        return out[0] == Cat(beats[place] for place in places[number]).any()

    beats = height * width * channels
    owed = [sum(max(window) < count for window in places) for count in range(1, beats)]
    bench.frames(bench.dut.i, bench.dut.o, beats, len(places), relation, owed=owed, settle=6, halts=halts)
    return bench


class Read(hdl.parts.pipe.Pipe):
    """The slices of a window side by side again, as a `Gather` has read them."""

    def __init__(self, folding: Folding):
        window = hdl.parts.pipe.lanes_of(folding.spec.src, folding.inputs)
        super().__init__(hdl.products.mac.step_layout(folding, None), window, 1)

    def elaborate(self, platform):
        m = Module()
        step, held = self.i.payload, Value.cast(self.o.payload)
        with m.If(self.i.valid):
            m.d.sync += held.eq(Cat(held, step.x)[len(Value.cast(step.x)) :])
        m.d.sync += self.o.valid.eq(self.i.valid & step.ends)
        return m


def gather(shape, kernel, plan: StagePlan, outputs: int = 1, **fields) -> Bench:
    """Windows read from memory: what they hold, and which weights and biases each slice is to meet."""
    spec = ConvSpec(
        name="c", in_shape=shape, src=BIT, dst=BIT, weights=np.ones((*kernel, shape[2], outputs), int),
        weight_format=QFormat(2, 0), bias=np.zeros(outputs, int), **fields,
    )  # fmt: skip
    folding, geometry = Folding(spec, plan), spec.geometry
    dut = hdl.parts.pipe.Elastic([Read(folding)], PORTABLE, hdl.products.gather.Gather(folding, PORTABLE))
    dut.depth = max(folding.output_folds, 2)
    # a memory is read on where nothing is under way
    bench = stage(dut, meets=True)
    bench.no_overflow()
    repeats, step, number = folding.output_folds, dut.front.o, Signal(range(folding.steps))
    with bench.m.If(step.valid):
        bench.m.d.sync += number.eq(Mux(number == folding.steps - 1, 0, number + 1))
    slices = folding.steps // repeats
    for at in range(folding.steps):
        marks = both((
            step.payload.index == at,
            step.payload.seed == at // slices,
            step.payload.starts == (at % slices == 0),
            step.payload.ends == (at % slices == slices - 1),
        ))  # fmt: skip
        bench.hold(OUTPUTS, ~step.valid | (number != at) | marks)

    (height, width, channels), groups = shape, shape[2] // plan.input_lanes
    (top, _), (left, _) = geometry.padding
    corners = [
        (y * geometry.stride[0] - top, x * geometry.stride[1] - left)
        for y in range(spec.out_shape[0])
        for x in range(spec.out_shape[1])
    ]

    def relation(beats, output, out):
        y, x = corners[output // repeats]
        taps = []
        for row in range(y, y + geometry.extent[0], geometry.dilation[0]):
            for column in range(x, x + geometry.extent[1], geometry.dilation[1]):
                inside = 0 <= row < height and 0 <= column < width
                place = (row * width + column) * groups
                taps += beats[place : place + groups] if inside else [Const(0, channels)]
        return Value.cast(out) == Cat(taps)

    needed = []
    for y, x in corners:
        row, columns = min(y + geometry.extent[0], height) - 1, min(max(x + geometry.extent[1], 0), width)
        needed += [max(row * width + columns, 0) * groups] * repeats
    beats = height * width * groups
    owed = [sum(need <= count for need in needed) for count in range(1, beats)]
    # as long as all windows take of which the memory may hold the pixels
    settle = (dut.front.depth // beats + 1) * len(corners) * folding.steps + 10
    bench.frames(dut.i, dut.o, beats, len(needed), relation, flight=5, owed=owed, settle=settle)
    return bench


G = Geometry
SAME = ((1, 1), (1, 1))
BELOW = ((1, 1), (0, 0))
READ = {OUTPUTS: 34, VALUES: 25}
"""Cycles searched of windows in memory: until several have been read, and one that is owed must have come."""
PROOFS = [
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
        "patient",
    ),
    Proof("Window 2x2 on 2x2, FIFO of 2", partial(window, (2, 2, 1), G((2, 2)), ahead=2)),
    Proof("SlidePipe 2x2 on 3x3", partial(slide, (3, 3, 1), G((2, 2)))),
    Proof("SlidePipe 2x2 / 2 on 4x4", partial(slide, (4, 4, 1), G((2, 2), (2, 2)))),
    Proof("SlidePipe 2x2 / 2 on 3x3, ragged", partial(slide, (3, 3, 1), G((2, 2), (2, 2)))),
    Proof("SlidePipe 3x2 on 2x2, padded", partial(slide, (2, 2, 1), G((3, 2), padding=BELOW)), "slide"),
    Proof(
        "SlidePipe 3x2 on 2x2, padded, FIFO of 2",
        partial(credited, (2, 2, 1), G((3, 2), padding=BELOW)),
        "credited",
        {OUTPUTS: 28, VALUES: 28},
    ),
    Proof("SlidePipe 2x1 on 3x1, no memory", partial(slide, (3, 1, 1), G((2, 1)))),
    Proof("SlidePipe 2x2 on 2x2x2, lane by lane", partial(slide, (2, 2, 2), G((2, 2)), lanes=1)),
    Proof("SlidePipe 1x2 on 2x3x2, 2 parts", partial(slide, (2, 3, 2), G((1, 2)), parts=2)),
    Proof("SlidePipe 2x2, dilated 2, on 3x3", partial(slide, (3, 3, 1), G((2, 2), dilation=(2, 2)))),
    Proof(
        "Sweep, 3x3 padded on 2x4, 2 pixels", partial(sweep, (2, 4, 1), G((3, 3), padding=SAME), 2), "sweep"
    ),
    Proof("Sweep, 2x2 / 2 on 2x4, 4 pixels", partial(sweep, (2, 4, 1), G((2, 2), (2, 2)), 4)),
    Proof(
        "SweepPipe, 3x3 padded on 2x4, 2 pixels, FIFO of 2",
        partial(sweep_pipe, (2, 4, 1), G((3, 3), padding=SAME), 2),
        "swept",
        {OUTPUTS: 28, VALUES: 28},
    ),
    Proof("CollectPipe, 2x1 on 2x3x2", partial(collect, (2, 3, 2), (2, 1)), "collect", fast=True),
    Proof("CollectPipe, 2x2 on 3x3x2, ragged", partial(collect, (3, 3, 2), (2, 2))),
    Proof("Gather, 2x2 on 2x2", partial(gather, (2, 2, 1), (2, 2), StagePlan()), bounds=READ),
    Proof(
        "Gather, 1x3 padded on 1x2",
        partial(gather, (1, 2, 1), (1, 3), StagePlan(), padding=((0, 0), (1, 1))),
        "gather",
        READ,
    ),
    Proof("Gather, 3x1 on 4x1", partial(gather, (4, 1, 1), (3, 1), StagePlan()), bounds=READ),
    Proof(
        "Gather, 1x2 on 1x2x2, lane by lane, 2 outputs",
        partial(gather, (1, 2, 2), (1, 2), StagePlan(), 2),
        bounds=READ,
    ),
]
