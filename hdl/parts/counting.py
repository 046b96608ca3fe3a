"""Counters: numbers in turn, and where in an image the next beat stands."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from model.arithmetic.geometry import Geometry, Shape


def counter(m: Module, name: str, count: int, advance, first: int = 0, restart=None) -> tuple[Signal, Value]:
    """A signal that runs through `count` numbers from `first` as `advance` tells, and whether it is at the
    last: a register, as much hangs on that. Where `restart` says so too, it begins again.
    """
    value = Signal(range(first + count), name=name, init=first)
    if count == 1:
        return value, Const(1)
    last = Signal(name=f"last_{name}")
    again, nears = last, value == first + count - 2
    if restart is not None:
        again, nears = last | restart, nears & ~restart
    with m.If(advance):
        m.d.sync += [value.eq(Mux(again, first, value + 1)), last.eq(nears)]
    return value, last


def counted_up(value: Value) -> Value:
    """A short counter's value and one, without the carry chain that placement may have to put far away."""
    return Cat(bit ^ value[:index].all() if index else ~bit for index, bit in enumerate(value))


def counted_down(value: Value) -> Value:
    """A short counter's value less one, as `counted_up`."""
    return Cat(bit ^ ~value[:index].any() if index else ~bit for index, bit in enumerate(value))


def down(m: Module, shape: Shape, geometry: Geometry, row: int, step: Value) -> tuple[Value, Signal, Value]:
    """Counts the beats of an image and of the rows of padding behind it.

    Parameters
    ----------
    m : Module
    shape : Shape
    geometry : Geometry
    row : int
        Beats of a row.
    step : Value
        A beat is taken, or one of padding begun.

    Returns
    -------
    (Value, Signal, Value)
        Whether the next beat is of the image, where in its row it stands, and whether windows end in that
        row.
    """
    height, rows = shape[0], geometry.extent[0]
    tall, top = height + between(geometry)[0], geometry.padding[0][0]
    padded = tall > height
    y, address = Signal(range(tall), init=height if padded else 0), Signal(range(row))
    inside = within(y, 0, height) if padded else Const(1)
    end_of_row = Signal(init=row == 1)
    with m.If(step):
        m.d.sync += address.eq(Mux(end_of_row, 0, address + 1))
        if row > 1:
            m.d.sync += end_of_row.eq(address == row - 2)
        with m.If(end_of_row):
            m.d.sync += y.eq(Mux(y == tall - 1, 0, y + 1))
    positions = geometry.positions(shape)[0]
    ends = on_grid(m, y, tall, rows - 1 - top, geometry.stride[0], positions, step & end_of_row)
    if padded:
        # The padding before the first image ends no window.
        begun = Signal()
        with m.If(inside):
            m.d.sync += begun.eq(1)
        ends &= begun | inside
    return inside, address, ends


def across(m: Module, shape: Shape, geometry: Geometry, groups: int, shift: Value) -> tuple[Value, Value]:
    """Counts the columns of a row and of the padding behind it.

    Parameters
    ----------
    m : Module
    shape : Shape
    geometry : Geometry
    groups : int
        Beats of a pixel.
    shift : Value
        A beat is taken, or one of padding begun.

    Returns
    -------
    (Value, Value)
        Whether the next beat is of the image, and whether a window ends with it.
    """
    width, columns = shape[1], geometry.extent[1]
    whole, left = width + between(geometry)[1], geometry.padding[1][0]
    x, group = Signal(range(whole)), Signal(range(groups))
    end_of_pixel = group == groups - 1
    with m.If(shift):
        m.d.sync += group.eq(Mux(end_of_pixel, 0, group + 1))
        with m.If(end_of_pixel):
            m.d.sync += x.eq(Mux(x == whole - 1, 0, x + 1))
    positions = geometry.positions(shape)[1]
    ends = on_grid(m, x, whole, columns - 1 - left, geometry.stride[1], positions, shift & end_of_pixel)
    return within(x, 0, width) if whole > width else Const(1), ends


def on_grid(
    m: Module, position: Signal, size: int, first: int, step: int, count: int, advance: Value
) -> Value:
    """Whether a position is one of ``first, first + step, ...`` (`count` of them).

    `advance` says when the position moves on; it wraps to zero after ``size - 1``.
    """
    hit = position >= first
    if (last := first + step * (count - 1)) < size - 1:
        hit &= position <= last
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


def within(position: Signal, start: int, size: int) -> Value:
    """Whether a position lies in ``start .. start + size - 1``."""
    return (position >= start) & (position < start + size)


def between(geometry: Geometry) -> tuple[int, int]:
    """Rows of padding between two images, and columns between two rows."""
    (top, bottom), (left, right) = geometry.padding
    return max(top, bottom), max(left, right)
