"""The values of an answer, held while the serial line sends them byte by byte."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from boards.link.protocol import value_bytes
from hdl.devices.device import PORTABLE, Device
from hdl.parts.counting import counter
from hdl.parts.memory import Ram


class HeldAnswer(wiring.Component):
    """A memory of one frame, filled as fast as the core gives values, emptied as fast as the line sends them.

    Throughput: one beat a cycle in; a byte a cycle out, and two cycles more for each beat. Frames of one beat
    are taken every other cycle.

    Parameters
    ----------
    payload : StructLayout
        Of the core's output: `data` (an array of lanes), `first`, `last`.
    beats : int
        Beats of a frame.
    device : Device

    Members
    -------
    i : stream of `payload`, in
    keep : in
        The frame that ends is to be answered; another one is forgotten.
    came : out
        For one cycle: the last beat of such a frame is taken. None is taken then until all of it was sent.
    sent : out
        For one cycle: all of it was.
    o : stream of {"data", "last"}, out
        Its bytes: each value in `value_bytes`, its sign extended, the low byte first.
    """

    def __init__(self, payload: data.StructLayout, beats: int, device: Device = PORTABLE):
        self.beats, self.device = beats, device
        self.lanes = payload["data"].shape
        super().__init__(
            {
                "i": In(stream.Signature(payload)),
                "keep": In(1),
                "came": Out(1),
                "sent": Out(1),
                "o": Out(stream.Signature(data.StructLayout({"data": 8, "last": 1}))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = Value.cast(self.i.payload.data)
        m.submodules.storage = storage = Ram(len(word), max(self.beats, 2), self.device)
        holds, rests, takes = Signal(), Signal(), Signal()
        place = Signal(range(self.beats))
        ends = takes & self.i.payload.last
        m.d.comb += [
            self.i.ready.eq(~holds & ~rests),
            takes.eq(self.i.valid & self.i.ready),
            storage.write_addr.eq(place),
            storage.write_data.eq(word),
            storage.write_en.eq(takes),
            self.came.eq(ends & self.keep),
        ]
        # which frame of many is the last is known a cycle late
        m.d.sync += rests.eq(ends if self.beats == 1 else 0)
        with m.If(takes):
            m.d.sync += place.eq(Mux(self.i.payload.last, 0, place + 1))

        size = 8 * value_bytes(Signal(self.lanes.elem_shape).shape().width)
        read = Signal(self.lanes)
        values = [Signal(signed(size) if value.shape().signed else size) for value in read]
        shifted, gives = Signal(size * self.lanes.length), Signal()
        index, at_end = counter(m, "index", self.beats, gives)
        left = Signal(range(len(shifted) // 8))
        m.d.comb += [
            Value.cast(read).eq(storage.read_data),
            *(extended.eq(value) for extended, value in zip(values, read)),
            storage.read_addr.eq(index),
            self.o.payload.data.eq(shifted[:8]),
            self.o.payload.last.eq(at_end & (left == 0)),
        ]
        with m.FSM():
            with m.State("EMPTY"), m.If(self.came):
                m.d.sync += holds.eq(1)
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += storage.read_en.eq(1)
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += [shifted.eq(Cat(values)), left.eq(len(shifted) // 8 - 1)]
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [shifted.eq(shifted >> 8), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.d.comb += gives.eq(1)
                        m.next = "READ"
                        with m.If(at_end):
                            m.d.comb += self.sent.eq(1)
                            m.d.sync += holds.eq(0)
                            m.next = "EMPTY"
        return m
