"""A FIFO between two streams."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.parts.counting import counted_down, counted_up
from hdl.parts.memory import Ram


class Buffer(wiring.Component):
    """First in, first out, up to ``depth + 1`` beats: one of them waits in the output register.

    Amaranth's own FIFO would do, could it be told which kind of memory to use. Whether there is room, and
    whether there is a word, are registers of their own, so that no chain of ready or valid signals goes
    through a FIFO, and none goes through its counter.

    Latency: two cycles. Throughput: one beat a cycle.

    Parameters
    ----------
    shape : ShapeLike
        Payload.
    depth : int
        Words of the memory, at least 2.
    device : Device
    sure : bool
        Nobody writes while there is no room, and nobody asks whether there is: a word that comes is taken
        without a look at the level.

    Attributes
    ----------
    room : Signal
        Whether a word may be written; what `i.ready` says, unless nobody asks.

    Members
    -------
    i, o : streams, in and out
    """

    latency = 2

    def __init__(self, shape, depth: int, device: Device, *, sure: bool = False):
        self.depth, self.device, self.sure = depth, device, sure
        self.room = Signal(init=1)
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        word = Value.cast(self.i.payload)
        m.submodules.storage = storage = Ram(len(word), self.depth, self.device)
        produce, consume = Signal(range(self.depth)), Signal(range(self.depth))
        level = Signal(range(self.depth + 1))
        room, filled = self.room, Signal()
        # The level follows a cycle late, and what it lacks is known: so its counter ends no chain.
        more, fewer = Signal(), Signal()

        def lags(exact: int, compare) -> Value:
            return Mux(more, compare(exact - 1), Mux(fewer, compare(exact + 1), compare(exact)))

        writes, reads = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(1 if self.sure else room),
            writes.eq(self.i.valid & self.i.ready),
            reads.eq(filled & (~self.o.valid | self.o.ready)),
            storage.write_addr.eq(produce),
            storage.write_data.eq(word),
            storage.write_en.eq(writes),
            storage.read_addr.eq(consume),
            storage.read_en.eq(reads),
            Value.cast(self.o.payload).eq(storage.read_data),
        ]
        m.d.sync += [
            room.eq(reads | (room & ~(writes & lags(self.depth - 1, level.__eq__)))),
            filled.eq(writes | lags(1, level.__gt__) | (filled & ~reads)),
            more.eq(writes & ~reads),
            fewer.eq(reads & ~writes),
        ]
        with m.If(more):
            m.d.sync += level.eq(counted_up(level))
        with m.If(fewer):
            m.d.sync += level.eq(counted_down(level))
        for pointer, moves in ((produce, writes), (consume, reads)):
            with m.If(moves):
                m.d.sync += pointer.eq(Mux(pointer == self.depth - 1, 0, counted_up(pointer)))
        with m.If(reads):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
