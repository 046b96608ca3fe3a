"""The line buffer and the window that slides over an image."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.device import Device
from hdl.memory import Ram
from hdl.pipe import lanes_of
from model.geometry import Geometry, Shape
from model.qformat import QFormat


class Window(wiring.Component):
    """Pixels in raster order to the windows of a `Geometry`, also in raster order.

    The last rows that a window spans stand in one memory, a column a word; each pixel shifts its column up
    by one. A dilated window spans ``(r - 1) * dilation + 1`` rows and columns, and its taps lie apart. A
    pixel may come in several beats (`lanes` of its channels each): then every beat slides a window of its
    own channels, as pooling wants it.

    Throughput: one position of the padded image a cycle, so a frame takes
    ``(H + top + bottom) * (W + left + right) * C / lanes`` cycles. Latency: two cycles from the last pixel
    of a window.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of the images.
    geometry : Geometry
    fmt : QFormat
    lanes : int
        Values of an input beat; a divisor of the channels.
    fill : int
        Value of the padding.
    device : Device
    parts : int
        Parts, of as many channels each, in which a beat's window is laid out; a divisor of the lanes.

    Members
    -------
    i : stream of `lanes` values
    o : stream of r_h * r_w * lanes values
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
    ):
        if shape[2] % lanes:
            raise ValueError(f"{lanes} lanes do not divide {shape[2]} channels")
        self.shape, self.geometry, self.fmt = shape, geometry, fmt
        self.lanes, self.fill, self.device = lanes, fill, device
        self.groups, self.parts = shape[2] // lanes, parts
        rows, columns = geometry.kernel
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, lanes))),
                "o": Out(stream.Signature(lanes_of(fmt, rows * columns * lanes))),
            }
        )

    @property
    def cycles(self) -> int:
        """Cycles a frame, if nothing stalls."""
        height, width = self.geometry.padded(self.shape)
        return height * width * self.groups

    def elaborate(self, platform):
        m = Module()
        (rows, columns), (step_down, step_right) = self.geometry.extent, self.geometry.stride
        (top, _), (left, _) = self.geometry.padding
        height, width = self.geometry.padded(self.shape)
        down, right = self.geometry.positions(self.shape)
        word = self.fmt.width * self.lanes
        depth = width * self.groups

        # First stage: where the next beat belongs, and whether it comes from the input or is padding.
        y, x, group = Signal(range(height)), Signal(range(width)), Signal(range(self.groups))
        address = Signal(range(depth))
        inside = Signal()
        shift, step = Signal(), Signal()
        loaded = Signal()
        m.d.comb += [
            inside.eq(within(y, top, self.shape[0]) & within(x, left, self.shape[1])),
            step.eq((~loaded | shift) & (self.i.valid | ~inside)),
            self.i.ready.eq((~loaded | shift) & inside),
        ]
        end_of_pixel = group == self.groups - 1
        end_of_row = end_of_pixel & (x == width - 1)
        with m.If(step):
            m.d.sync += group.eq(Mux(end_of_pixel, 0, group + 1))
            m.d.sync += address.eq(Mux(end_of_row, 0, address + 1))
            with m.If(end_of_pixel):
                m.d.sync += x.eq(Mux(x == width - 1, 0, x + 1))
            with m.If(end_of_row):
                m.d.sync += y.eq(Mux(y == height - 1, 0, y + 1))

        # A window ends here if the position lies on the grid of strides.
        ends = Signal()
        m.d.comb += ends.eq(
            on_grid(m, y, height, rows - 1, step_down, down, step & end_of_row)
            & on_grid(m, x, width, columns - 1, step_right, right, step & end_of_pixel)
        )

        newest = Signal(word, reset_less=True)
        at = Signal.like(address, reset_less=True)
        emits = Signal(reset_less=True)
        with m.If(step):
            fill = Cat(Const(self.fill, len(element)) for element in elements(self.i.payload))
            m.d.sync += [
                newest.eq(Mux(inside, Value.cast(self.i.payload), fill)),
                at.eq(address),
                emits.eq(ends),
                loaded.eq(1),
            ]
        with m.Elif(shift):
            m.d.sync += loaded.eq(0)

        # Second stage: the column of that position enters the window.
        column = Signal(word * rows)
        if rows == 1:
            m.d.comb += column.eq(newest)
        else:
            above = Signal(word * (rows - 1), reset_less=depth > 1)
            m.d.comb += column.eq(Cat(above, newest))
            if depth == 1:
                with m.If(shift):
                    m.d.sync += above.eq(column[word:])
            else:
                m.submodules.lines = lines = Ram(word * (rows - 1), depth, self.device)
                m.d.comb += [
                    lines.read_addr.eq(address),
                    lines.read_en.eq(step),
                    above.eq(lines.read_data),
                    lines.write_addr.eq(at),
                    lines.write_data.eq(column[word:]),
                    lines.write_en.eq(shift),
                ]

        # Columns of one channel group are `groups` beats apart. Of each only the rows under taps are kept.
        (below, beside), (tall, wide) = self.geometry.dilation, self.geometry.kernel
        span = self.groups * (columns - 1) + 1
        beats = [Signal(word * tall, name=f"column_{n}", reset_less=True) for n in range(span)]
        tapped = Cat(column.word_select(row * below, word) for row in range(tall))
        full = Signal()
        m.d.comb += shift.eq(loaded & (~full | self.o.ready))
        with m.If(shift):
            for older, newer in zip(beats, [*beats[1:], tapped]):
                m.d.sync += older.eq(newer)
            m.d.sync += full.eq(emits)
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)

        share = word // self.parts
        taps = [
            beats[self.groups * beside * tap].word_select(row * self.parts + part, share)
            for part in range(self.parts)
            for row in range(tall)
            for tap in range(wide)
        ]
        m.d.comb += [self.o.valid.eq(full), Value.cast(self.o.payload).eq(Cat(taps))]
        return m


def elements(view) -> list[Value]:
    """The values of an array view."""
    return [Value.cast(view[index]) for index in range(view.shape().length)]


def within(position: Signal, start: int, size: int) -> Value:
    """Whether a position lies in ``start .. start + size - 1``."""
    return (position >= start) & (position < start + size)


def on_grid(
    m: Module, position: Signal, size: int, first: int, step: int, count: int, advance: Value
) -> Value:
    """Whether a position is one of ``first, first + step, ...`` (`count` of them).

    `advance` says when the position moves on; it wraps to zero after ``size - 1``.
    """
    hit = (position >= first) & (position <= first + step * (count - 1))
    if step == 1:
        return hit
    start = -first % step
    phase = Signal(range(step), init=start)
    with m.If(advance):
        with m.If(position == size - 1):
            m.d.sync += phase.eq(start)
        with m.Else():
            m.d.sync += phase.eq(Mux(phase == step - 1, 0, phase + 1))
    return hit & (phase == 0)
