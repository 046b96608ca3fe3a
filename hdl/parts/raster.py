"""Windows for pipes: pixels are let in one by one, and nothing behind them stalls.

A `Window` can stop at any column, so a net from its consumer's ready signal goes to all of its registers.
Where pipes follow it, that is in vain: their `Elastic` knows beforehand whether there is room. So `Raster` is
the `Front` of that `Elastic`, and line buffer and window are pipes themselves.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from hdl.devices.device import Device
from hdl.folding.lanes import windows_of
from hdl.parts.counting import across, between, down
from hdl.parts.pipe import Front, Pipe, delayed, lanes_of, looked_up
from hdl.parts.sweep import Sweep, filled
from hdl.parts.window import Window, slid, stacked, under_taps
from model.arithmetic.geometry import Geometry, Shape
from model.arithmetic.qformat import QFormat


def place_layout(fmt: QFormat, lanes: int, row: int) -> data.StructLayout:
    """Payload of a beat in its place: where in the row it stands, and whether a column or a window ends."""
    return data.StructLayout({"x": lanes_of(fmt, lanes), "at": range(row), "column": 1, "window": 1})


class Raster(Front):
    """Lets pixels in, and says where in the image they stand; puts the rows of padding between them.

    It counts a place ahead, so that what is known of the next one is a register. Throughput: one beat, or
    place in a row of padding, a cycle, from the second one after a reset.

    Parameters
    ----------
    shape, geometry, fmt, lanes, fill
        As of a `Window`; no columns of padding, unless a beat has several pixels.
    """

    def __init__(self, shape: Shape, geometry: Geometry, fmt: QFormat, lanes: int, fill: int):
        self.shape, self.geometry, self.fmt, self.lanes, self.fill = shape, geometry, fmt, lanes, fill
        self.row, self.groups = shape[1] * shape[2] // lanes, shape[2] // lanes
        self.pixels = lanes // shape[2]
        super().__init__(lanes_of(fmt, lanes), place_layout(fmt, lanes, self.row))

    def elaborate(self, platform):
        m = Module()
        step, counts = Signal(), Signal()
        place, padding = self.o.payload, filled(self.fmt, self.lanes, self.fill)
        inside, column, window = Signal(), Signal(), Signal()
        padded = between(self.geometry)[0] > 0
        m.d.comb += counts.eq(step | ~self.begun(m))
        within_image, address, ends = down(m, self.shape, self.geometry, self.row, counts)
        if self.pixels > 1:
            windows = windows_of(self.shape, self.geometry, self.pixels)
            ends_beside = address < self.geometry.positions(self.shape)[1] // windows
        else:
            _, ends_beside = across(m, self.shape, self.geometry, self.groups, counts)
        with m.If(counts):
            m.d.sync += [place.at.eq(address), column.eq(ends), window.eq(ends_beside)]
            if padded:
                m.d.sync += inside.eq(within_image)
        if not padded:
            m.d.comb += inside.eq(1)
        m.d.comb += [
            step.eq(self.room & (self.i.valid | ~inside)),
            self.i.ready.eq(self.room & inside),
            self.o.valid.eq(step),
            self.spend.eq(step & column & window),
            Value.cast(place.x).eq(Mux(inside, Value.cast(self.i.payload), padding)),
            place.column.eq(column),
            place.window.eq(window),
        ]
        return m


class SlidePipe(Pipe):
    """Pixels in their places to windows.

    Latency: 4 cycles, one each for the place, the line buffer, its column, and the window. Throughput: a beat
    a cycle.

    Parameters
    ----------
    raster : Raster
    device : Device
    parts : int
        As of a `Window`.
    """

    def __init__(self, raster: Raster, device: Device, parts: int):
        self.raster, self.device, self.parts = raster, device, parts
        taps = raster.geometry.kernel[0] * raster.geometry.kernel[1]
        super().__init__(raster.o.payload.shape(), lanes_of(raster.fmt, taps * raster.lanes), 4)

    def elaborate(self, platform):
        m = Module()
        raster = self.raster
        tapped, moves, window = column(m, self.i, raster, self.device)
        padding = filled(raster.fmt, raster.geometry.kernel[0] * raster.lanes, raster.fill)
        m.d.comb += [
            self.o.valid.eq(delayed(m, moves & window, 1, "valid", reset_less=False)),
            Value.cast(self.o.payload).eq(
                slid(m, tapped, [moves], raster.geometry, raster.groups, padding, self.parts)
            ),
        ]
        return m


class SweepPipe(Pipe):
    """Beats of several pixels in their places to the windows that belong to them, as of a `Sweep`.

    Latency: 4 cycles, as of a `SlidePipe`, from the last beat that a window reaches to, or from a cycle
    without a beat after a row's last. Throughput: a beat a cycle.

    Parameters
    ----------
    raster : Raster
    device : Device
    parts, together
        As of a `Sweep`.
    """

    def __init__(self, raster: Raster, device: Device, parts: int, together: bool):
        self.raster, self.device = raster, device
        given = raster.shape, raster.geometry, raster.fmt, raster.pixels, raster.fill
        self.sweep = Sweep(*given, parts, together)
        super().__init__(raster.o.payload.shape(), self.sweep.o.payload.shape(), 4 + self.sweep.ahead)

    def elaborate(self, platform):
        m = Module()
        m.submodules.sweep = sweep = self.sweep
        tapped, moves, _ = column(m, self.i, self.raster, self.device)
        m.d.comb += [
            sweep.i.valid.eq(moves),
            Value.cast(sweep.i.payload).eq(tapped),
            sweep.o.ready.eq(1),
            self.o.valid.eq(sweep.o.valid),
            self.o.payload.eq(sweep.o.payload),
        ]
        return m


def column(m: Module, beats, raster: Raster, device: Device) -> tuple[Value, Value, Value]:
    """The beats under a window's taps, whether they are to move on, and whether a window ends with them.

    Three cycles later, one each for the place, the line buffer, and its column.
    """
    geometry, depth = raster.geometry, raster.row
    sought, there, read, place = looked_up(m, beats)
    newest = Value.cast(place.x)
    reads, writes = (there.at, sought), (place.at, read)
    whole = stacked(m, newest, geometry.extent[0], depth, reads, writes, device)
    tapped = delayed(m, under_taps(whole, geometry, len(newest)), 1, "column")
    moves = delayed(m, read & place.column, 1, "moves", reset_less=False)
    return tapped, moves, delayed(m, place.window, 1, "window")


def window_parts(
    shape: Shape,
    geometry: Geometry,
    fmt: QFormat,
    lanes: int,
    fill: int,
    device: Device,
    parts: int = 1,
    together: bool = False,
) -> list[wiring.Component]:
    """From pixels to windows for pipes, as of a `Window`.

    Columns of padding take cycles in which the line buffer may go on: these are left to a `Window`.
    """
    if lanes <= shape[2] and between(geometry)[1]:
        return [Window(shape, geometry, fmt, lanes, fill, device, parts)]
    raster = Raster(shape, geometry, fmt, lanes, fill)
    if raster.pixels > 1:
        return [raster, SweepPipe(raster, device, parts, together)]
    return [raster, SlidePipe(raster, device, parts)]
