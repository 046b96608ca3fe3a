"""Pooling of windows that do not overlap: each value is taken up as it comes."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.parts.counting import counter, within
from hdl.parts.memory import Ram
from hdl.parts.pipe import lanes_of, shape_of
from model.layers.pool import PoolSpec


def collects(spec: PoolSpec, lanes: int) -> bool:
    """Whether a layer's windows lie side by side, and no two beats behind each other belong to the same."""
    return (
        spec.kernel == spec.stride
        and not any(map(any, spec.padding))
        and spec.in_shape[2] % lanes == 0
        and spec.in_shape[2] // lanes > 1
        and spec.kernel[0] * spec.kernel[1] > 1
    )


class Collect(wiring.Component):
    """Maximum or sum of each window: what came of it so far stands in a memory, a word for each of a row.

    One comparison or sum a lane, and no line buffer of pixels. A pixel comes in several beats, so that a word
    is written back before the next beat of its window reads it.

    Latency: two cycles from a window's last value. Throughput: one beat a cycle.

    Parameters
    ----------
    spec : PoolSpec
        That `collects`.
    lanes : int
        Channels of a beat.
    device : Device

    Members
    -------
    i : stream of `lanes` values
    o : stream of `lanes` maxima or exact sums
    """

    latency = 2

    def __init__(self, spec: PoolSpec, lanes: int, device: Device):
        self.spec, self.lanes, self.device = spec, lanes, device
        self.groups = spec.in_shape[2] // lanes
        self.result = spec.dst if spec.mode == "max" else spec.sum_format
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(spec.src, lanes))),
                "o": Out(stream.Signature(lanes_of(self.result, lanes))),
            }
        )

    @property
    def depth(self) -> int:
        """Words of the memory."""
        return self.spec.out_shape[1] * self.groups

    def elaborate(self, platform):
        m = Module()
        (height, width, _), (tall, wide) = self.spec.in_shape, self.spec.kernel
        down, right, _ = self.spec.out_shape
        shape = data.ArrayLayout(shape_of(self.result), self.lanes)
        m.submodules.ram = ram = Ram(len(Value.cast(self.o.payload)), self.depth, self.device)

        # Where the beat that comes belongs: channels, pixel in the window, window, row, row of windows.
        takes = Signal()
        _, last_group = counter(m, "group", self.groups, takes)
        x, last_x = counter(m, "x", width, takes & last_group)
        y, last_y = counter(m, "y", height, takes & last_group & last_x)
        across, last_across = counter(m, "across", wide, takes & last_group, restart=last_x)
        deep, last_deep = counter(m, "deep", tall, takes & last_group & last_x, restart=last_y)
        used = within(x, 0, right * wide) & within(y, 0, down * tall)
        address = Signal(range(self.depth))
        with m.If(takes & used):
            following = Mux(last_group & ~last_across, address - (self.groups - 1), address + 1)
            end = (x == right * wide - 1) & last_group
            m.d.sync += address.eq(Mux(end, 0, following))

        # The beat, and beside it the word of its window.
        # It leaves at once, unless it ends a window and the last window's value still waits.
        holds, ends, moves = Signal(), Signal(), Signal()
        value, at = Signal(self.i.payload.shape(), reset_less=True), Signal.like(address, reset_less=True)
        first, counts = Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            takes.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(~ends | ~self.o.valid | self.o.ready),
            moves.eq(holds & self.i.ready),
            ram.read_addr.eq(address),
            ram.read_en.eq(takes),
        ]
        with m.If(takes):
            m.d.sync += [
                holds.eq(1),
                value.eq(self.i.payload),
                at.eq(address),
                first.eq((across == 0) & (deep == 0)),
                counts.eq(used),
                ends.eq(used & last_across & last_deep),
            ]
        with m.Elif(moves):
            m.d.sync += [holds.eq(0), ends.eq(0)]

        so_far, result = data.View(shape, ram.read_data), Signal(shape)
        for lane in range(self.lanes):
            old, new = so_far[lane], value[lane]
            both = Mux(new > old, new, old) if self.spec.mode == "max" else old + new
            m.d.comb += result[lane].eq(Mux(first, new, both))
        m.d.comb += [
            ram.write_addr.eq(at),
            ram.write_data.eq(result),
            ram.write_en.eq(moves & counts),
        ]
        with m.If(ends & self.i.ready):
            m.d.sync += [self.o.payload.eq(result), self.o.valid.eq(1)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
