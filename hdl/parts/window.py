"""The line buffer and the window that slides over an image."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.parts.buffer import Buffer
from hdl.parts.counting import across, between, down
from hdl.parts.memory import Ram
from hdl.parts.pipe import lanes_of, shares
from hdl.parts.sweep import Sweep, filled
from model.arithmetic.geometry import Geometry, Shape
from model.arithmetic.qformat import QFormat


class Lines(wiring.Component):
    """Pixels in raster order to columns: what stands under each other in the rows that a window spans.

    The rows above the newest stand in one memory, a column a word; each pixel shifts its column up by one.
    Only columns in which windows end come out, and of a dilated window only the rows under its taps.

    As many rows of padding follow an image as the larger of the paddings at its top and bottom has: they
    are the bottom of this image and the top of the next. Before the first image they are the first thing
    after a reset.

    Throughput: one pixel or place in a row of padding a cycle. Latency: one cycle from a column's last pixel.

    Parameters
    ----------
    shape, geometry, fmt, lanes, fill, device
        As of a `Window`.

    Attributes
    ----------
    row : int
        Beats of a row.

    Members
    -------
    i : stream of `lanes` values
    o : stream of r_h * lanes values, from the top
    """

    def __init__(self, shape: Shape, geometry: Geometry, fmt: QFormat, lanes: int, fill: int, device: Device):
        self.shape, self.geometry, self.fmt = shape, geometry, fmt
        self.lanes, self.fill, self.device = lanes, fill, device
        self.row = shape[1] * shape[2] // lanes
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, lanes))),
                "o": Out(stream.Signature(lanes_of(fmt, geometry.kernel[0] * lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows = self.geometry.extent[0]
        word = self.fmt.width * self.lanes
        depth = self.row

        # First stage: where the next beat belongs, and whether it comes from the input or is padding.
        inside, shift, step, loaded = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            step.eq((~loaded | shift) & (self.i.valid | ~inside)),
            self.i.ready.eq((~loaded | shift) & inside),
        ]
        within_image, address, ends = down(m, self.shape, self.geometry, depth, step)
        m.d.comb += inside.eq(within_image)

        newest = Signal(word, reset_less=True)
        at = Signal.like(address, reset_less=True)
        emits = Signal(reset_less=True)
        with m.If(step):
            m.d.sync += [
                newest.eq(Mux(inside, Value.cast(self.i.payload), filled(self.fmt, self.lanes, self.fill))),
                at.eq(address),
                emits.eq(ends),
                loaded.eq(1),
            ]
        with m.Elif(shift):
            m.d.sync += loaded.eq(0)

        # Second stage: the column of that position, out and one row up.
        m.d.comb += shift.eq(loaded & (~emits | self.o.ready))
        column = stacked(m, newest, rows, depth, (address, step), (at, shift), self.device)
        tapped = under_taps(column, self.geometry, word)
        m.d.comb += [self.o.valid.eq(loaded & emits), Value.cast(self.o.payload).eq(tapped)]
        return m


class Slide(wiring.Component):
    """Columns to windows.

    As many columns of padding follow a row as the larger of the paddings at its left and right has: they
    are the right end of this row and the left end of the next.

    Throughput: one column a cycle, of padding as well; a patient one lets two cycles pass after each window.
    Latency: one cycle, of a patient one two.

    Parameters
    ----------
    shape, geometry, fmt, lanes, fill, parts, patient
        As of a `Window`.

    Members
    -------
    i : stream of r_h * lanes values
    o : stream of r_h * r_w * lanes values, as of a `Window`
    """

    def __init__(
        self,
        shape: Shape,
        geometry: Geometry,
        fmt: QFormat,
        lanes: int,
        fill: int,
        parts: int,
        patient: bool = False,
    ):
        self.shape, self.geometry, self.fmt = shape, geometry, fmt
        self.lanes, self.fill, self.parts, self.patient = lanes, fill, parts, patient
        self.groups = shape[2] // lanes
        tall, wide = geometry.kernel
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, tall * lanes))),
                "o": Out(stream.Signature(lanes_of(fmt, tall * wide * lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.patient:
            return self.patiently(m)
        inside, room, shift, full = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            room.eq(~full | self.o.ready),
            shift.eq(room & (self.i.valid | ~inside)),
            self.i.ready.eq(room & inside),
        ]
        within_row, ends = across(m, self.shape, self.geometry, self.groups, shift)
        m.d.comb += inside.eq(within_row)
        padding = filled(self.fmt, self.geometry.kernel[0] * self.lanes, self.fill)
        newest = Mux(inside, Value.cast(self.i.payload), padding)
        with m.If(shift):
            m.d.sync += full.eq(ends)
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)
        taps = slid(m, newest, [shift], self.geometry, self.groups, padding, self.parts)
        m.d.comb += [self.o.valid.eq(full), Value.cast(self.o.payload).eq(taps)]
        return m

    def patiently(self, m: Module) -> Module:
        """The same where a window goes before the next column comes: columns shift the cycle after they are
        taken, and many enables do it.
        """
        inside, shift, gone = Signal(), Signal(), Signal()
        within_row, ends = across(m, self.shape, self.geometry, self.groups, shift)
        padding = filled(self.fmt, self.geometry.kernel[0] * self.lanes, self.fill)
        newest, valid = Signal(len(padding), reset_less=True), Signal()
        columns = self.groups * (self.geometry.extent[1] - 1) + 1
        moves, full = (
            [Signal(name=f"{name}{n}") for n in range(len(shares(len(padding), columns)))]
            for name in ("moves", "full")
        )
        coming = self.i.valid | ~inside
        m.d.comb += [
            inside.eq(within_row),
            shift.eq(coming & ~full[0]),
            self.i.ready.eq(inside & ~full[0]),
            gone.eq(valid & self.o.ready),
            self.o.valid.eq(valid),
        ]
        m.d.sync += newest.eq(Mux(inside, Value.cast(self.i.payload), padding))
        for move, waits in zip(moves, full):
            m.d.sync += move.eq(coming & ~waits)
            with m.If(coming & ~waits):
                m.d.sync += waits.eq(ends)
            with m.Elif(gone):
                m.d.sync += waits.eq(0)
        with m.If(moves[0] & full[0]):
            m.d.sync += valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        taps = slid(m, newest, moves, self.geometry, self.groups, padding, self.parts)
        m.d.comb += Value.cast(self.o.payload).eq(taps)
        return m


class Window(wiring.Component):
    """Pixels in raster order to the windows of a `Geometry`, also in raster order.

    `Lines`, a FIFO of columns if there is to be one, and `Slide`. A dilated window spans
    ``(r - 1) * dilation + 1`` rows and columns, and its taps lie apart. A pixel may come in several beats
    (`lanes` of its channels each): then every beat slides a window of its own channels, as pooling wants it.
    Or a beat may hold several pixels: then `Sweep` takes the place of `Slide`, and as many windows as belong
    to them go out side by side.

    Throughput: what `pace` says. Latency: two cycles from the last pixel of a window, two more of the FIFO.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of the images.
    geometry : Geometry
    fmt : QFormat
    lanes : int
        Values of an input beat: a divisor of the channels, or the channels of several pixels
        (`hdl.parts.sweep.divides`).
    fill : int
        Value of the padding.
    device : Device
    parts : int
        Parts, of as many channels each, in which a beat's window is laid out; a divisor of the lanes.
    ahead : int
        Columns that may wait for their windows while the rows of the next frame come in; 0 for no FIFO.
    together : bool
        Where windows stand side by side: lay them out tap by tap, see `Sweep`.
    patient : bool
        Slide on only when a window is gone, not as it goes: for one who takes several cycles for each. So the
        many registers of the window do not hang on another's ready signal.

    Attributes
    ----------
    latency : int
        Cycles from the last pixel of a window, if nothing waits.

    Members
    -------
    i : stream of `lanes` values
    o : stream of r_h * r_w * lanes values, or of several windows
        Part by part, each row by row from the top left, channels last.
    """

    def __init__(
        self,
        shape: Shape,
        geometry: Geometry,
        fmt: QFormat,
        lanes: int,
        fill: int,
        device: Device,
        parts: int = 1,
        ahead: int = 0,
        patient: bool = False,
        together: bool = False,
    ):
        pixels = lanes // shape[2]
        if lanes % shape[2] if pixels else shape[2] % lanes:
            raise ValueError(f"{lanes} lanes do not divide {shape[2]} channels")
        self.lines = Lines(shape, geometry, fmt, lanes, fill, device)
        if pixels > 1:
            self.slide = Sweep(shape, geometry, fmt, pixels, fill, parts, together)
        else:
            self.slide = Slide(shape, geometry, fmt, lanes, fill, parts, patient)
        self.queue = Buffer(self.lines.o.payload.shape(), ahead, device) if ahead else None
        waits = (self.queue.latency if ahead else 0) + (self.slide.ahead if pixels > 1 else 0)
        self.latency = 2 + patient + waits
        super().__init__({"i": In(self.lines.i.signature.flip()), "o": Out(self.slide.o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.lines, m.submodules.slide = self.lines, self.slide
        columns = self.lines.o
        if self.queue:
            m.submodules.queue = self.queue
            wiring.connect(m, columns, self.queue.i)
            columns = self.queue.o
        wiring.connect(m, wiring.flipped(self.i), self.lines.i)
        wiring.connect(m, columns, self.slide.i)
        wiring.connect(m, self.slide.o, wiring.flipped(self.o))
        return m


def stacked(
    m: Module,
    newest: Signal,
    rows: int,
    depth: int,
    read: tuple[Value, Value],
    write: tuple[Value, Value],
    device: Device,
) -> Value:
    """A column with its newest beat at the bottom: the rows above it stand in a memory, a column a word.

    Parameters
    ----------
    m : Module
    newest : Signal
    rows, depth : int
        Beats of a column, and of a row.
    read : (Value, Value)
        Where the next column stands, and whether it is to be read.
    write : (Value, Value)
        Where this one stands, and whether it is to be written one row up.
    device : Device
    """
    (address, step), (at, shift), word = read, write, len(newest)
    column = Signal(word * rows)
    if rows == 1:
        m.d.comb += column.eq(newest)
        return column
    above = Signal(word * (rows - 1), reset_less=depth > 1)
    m.d.comb += column.eq(Cat(above, newest))
    if depth == 1:
        with m.If(shift):
            m.d.sync += above.eq(column[word:])
        return column
    m.submodules.lines = lines = Ram(word * (rows - 1), depth, device, holds_address=True)
    m.d.comb += [
        lines.read_addr.eq(address),
        lines.read_en.eq(step),
        above.eq(lines.read_data),
        lines.write_addr.eq(at),
        lines.write_data.eq(column[word:]),
        lines.write_en.eq(shift),
    ]
    return column


def under_taps(column: Value, geometry: Geometry, word: int) -> Value:
    """The beats of a column that are under a window's taps."""
    return Cat(column.word_select(row * geometry.dilation[0], word) for row in range(geometry.kernel[0]))


def slid(
    m: Module,
    newest: Value,
    shifts: list[Value],
    geometry: Geometry,
    groups: int,
    padding: Value,
    parts: int,
) -> Value:
    """The registers through which columns shift, and the window in them.

    Parameters
    ----------
    m : Module
    newest : Value
        The column that comes.
    shifts : list of Value
        It is taken; one for all registers, or one for each of their `shares`.
    geometry : Geometry
    groups : int
        Beats of a pixel.
    padding : Value
        A column of it.
    parts : int
        As of a `Window`.
    """
    (tall, wide), beside = geometry.kernel, geometry.dilation[1]
    # Columns of one channel group are `groups` beats apart; left of the first row stands padding.
    beats = [
        Signal(len(padding), name=f"column_{n}", init=padding, reset_less=not geometry.padding[1][0])
        for n in range(groups * (geometry.extent[1] - 1) + 1)
    ]
    own = shares(len(padding), len(beats)) if len(shifts) > 1 else [slice(None)]
    for shift, bits in zip(shifts, own):
        with m.If(shift):
            for older, newer in zip(beats, [*beats[1:], newest]):
                m.d.sync += older[bits].eq(newer[bits])
    share = len(padding) // tall // parts
    return Cat(
        beats[groups * beside * tap].word_select(row * parts + part, share)
        for part in range(parts)
        for row in range(tall)
        for tap in range(wide)
    )


def coupled(shape: Shape, geometry: Geometry) -> int:
    """Cycles a frame of `Lines` and `Slide` without a FIFO between them, for pixels that never wait.

    They step together, but for the padding beside a row if no window ends in the next.
    """
    (rows, columns), (down, _) = between(geometry), geometry.positions(shape)
    stride = geometry.stride[0]
    silent = shape[0] + rows - down
    gaps = (down - 1 if stride > 1 else 0) + (silent > (down - 1) * (stride - 1))
    return (silent + down) * shape[1] + down * columns - gaps * min(columns, shape[1])


def pace(shape: Shape, geometry: Geometry, pixels: int = 1) -> tuple[int, int]:
    """Cycles a frame of `Lines`, and of `Slide` or `Sweep`, for beats of so many pixels that never wait."""
    rows, columns = between(geometry)
    beats = shape[1] // pixels
    if pixels > 1:
        columns = 0
    return (shape[0] + rows) * beats, geometry.positions(shape)[0] * (beats + columns)
