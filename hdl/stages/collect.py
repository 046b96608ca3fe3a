"""Pooling of windows that lie side by side: each value is taken up as it comes."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from hdl.devices.device import Device
from hdl.parts.comparing import larger
from hdl.parts.counting import counter, within
from hdl.parts.memory import Ram
from hdl.parts.pipe import Front, Pipe, delayed, lanes_of, looked_up, shape_of
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


class Tiles(Front):
    """Says of each beat which window it is of, and where in that.

    It counts a place ahead, so that what is known of the next beat is a register. Throughput: one beat a
    cycle, from the second one after a reset.

    Parameters
    ----------
    spec : PoolSpec
        That `collects`.
    lanes : int
        Channels of a beat.

    Attributes
    ----------
    depth : int
        Words that hold what came so far of a row of windows.
    """

    def __init__(self, spec: PoolSpec, lanes: int):
        self.spec, self.lanes = spec, lanes
        self.groups = spec.in_shape[2] // lanes
        self.depth = spec.out_shape[1] * self.groups
        place = {
            "x": lanes_of(spec.src, lanes),
            "at": range(self.depth),
            "first": 1,
            "counts": 1,  # it is of a window
            "ends": 1,
        }
        super().__init__(lanes_of(spec.src, lanes), data.StructLayout(place))

    def elaborate(self, platform):
        m = Module()
        (height, width, _), (tall, wide) = self.spec.in_shape, self.spec.kernel
        down, right, _ = self.spec.out_shape
        place, counts = self.o.payload, Signal()
        m.d.comb += counts.eq(self.o.valid | ~self.begun(m))

        # Channels, pixel in the window, window, row, row of windows.
        _, last_group = counter(m, "group", self.groups, counts)
        x, last_x = counter(m, "x", width, counts & last_group)
        y, last_y = counter(m, "y", height, counts & last_group & last_x)
        across, last_across = counter(m, "across", wide, counts & last_group, restart=last_x)
        deep, last_deep = counter(m, "deep", tall, counts & last_group & last_x, restart=last_y)
        used = within(x, 0, right * wide) & within(y, 0, down * tall)
        address = Signal(range(self.depth))
        with m.If(counts & used):
            following = Mux(last_group & ~last_across, address - (self.groups - 1), address + 1)
            end = (x == right * wide - 1) & last_group
            m.d.sync += address.eq(Mux(end, 0, following))
        with m.If(counts):
            m.d.sync += [
                place.at.eq(address),
                place.first.eq((across == 0) & (deep == 0)),
                place.counts.eq(used),
                place.ends.eq(used & last_across & last_deep),
            ]
        m.d.comb += [
            self.i.ready.eq(self.room),
            self.o.valid.eq(self.i.valid & self.room),
            self.spend.eq(self.o.valid & place.ends),
            place.x.eq(self.i.payload),
        ]
        return m


class CollectPipe(Pipe):
    """Maximum or sum of each window: what came of it so far stands in a memory, a word for each of a row.

    One comparison or sum a lane, and no line buffer of pixels. A pixel comes in several beats, so that a word
    is written back before the next beat of its window reads it.

    Latency: 3 cycles, one each for the place, the word, and the result. Throughput: a beat a cycle.

    Parameters
    ----------
    tiles : Tiles
    device : Device
    """

    def __init__(self, tiles: Tiles, device: Device):
        self.tiles, self.device = tiles, device
        spec = tiles.spec
        self.result = spec.dst if spec.mode == "max" else spec.sum_format
        super().__init__(tiles.o.payload.shape(), lanes_of(self.result, tiles.lanes), 3)

    def elaborate(self, platform):
        m = Module()
        lanes = self.tiles.lanes
        shape = data.ArrayLayout(shape_of(self.result), lanes)
        m.submodules.ram = ram = Ram(len(Value.cast(self.o.payload)), self.tiles.depth, self.device)
        sought, there, read, place = looked_up(m, self.i)

        so_far, result = data.View(shape, ram.read_data), Signal(shape)
        for lane in range(lanes):
            old, new = so_far[lane], place.x[lane]
            both = larger(new, old) if self.tiles.spec.mode == "max" else old + new
            m.d.comb += result[lane].eq(Mux(place.first, new, both))
        m.d.comb += [
            ram.read_addr.eq(there.at),
            ram.read_en.eq(sought),
            ram.write_addr.eq(place.at),
            ram.write_data.eq(result),
            ram.write_en.eq(read & place.counts),
        ]
        m.d.sync += self.o.payload.eq(result)
        m.d.comb += self.o.valid.eq(delayed(m, read & place.ends, 1, "valid", reset_less=False))
        return m
