"""Takes a new set of weights in: nothing but a whole and right one is ever computed with."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from hdl.loadable.loading import CRC_BYTES, LAYOUT_BYTES
from hdl.loadable.loadrom import LINK

CRC = catalog.CRC32_ISO_HDLC
"""The CRC of zlib."""
BYTE = data.StructLayout({"data": 8, "first": 1})
"""A byte of a set, and the mark of its first one."""


class Loader(wiring.Component):
    """Checks a set of weights and sends it along the chain of memories.

    A set for another build is refused by its first bytes, and nothing has happened. Once they are right no
    frame may begin; when the last one under way has been answered the weights are overwritten, and until a
    set is in whole, its checksum right, and `keep` given, the core is not ready. There is no second copy of
    the memories, which would take twice the block RAM for a moment that comes once in a while.

    A reset ends a load; what it had overwritten stays unusable all the same.

    Parameters
    ----------
    layout : bytes
        What a set for this core begins with.
    length : int
        Bytes of the memories together.
    latency : int
        Cycles until the last byte has reached its memory.

    Members
    -------
    i : stream of `BYTE`, in
        A set; a byte with `first` begins one whatever went before. What follows a set is swallowed.
    keep : in
        The set that came in may be used; counts only when it is whole and right.
    idle : in
        No frame is under way.
    link : `LINK`, out
        Where the chain of memories begins.
    hold : out
        No frame may begin.
    whole : out
        The memories hold a whole set.
    foreign, bad : out
        The last set was one for another build, or its checksum was wrong.
    done : out
        For one cycle: the last set is kept.
    """

    def __init__(self, layout: bytes, length: int, latency: int):
        self.layout, self.length, self.latency = layout, length, latency
        super().__init__(
            {
                "i": In(stream.Signature(BYTE)),
                "keep": In(1),
                "idle": In(1),
                "link": Out(LINK),
                "hold": Out(1),
                "whole": Out(1),
                "foreign": Out(1),
                "bad": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC().create()
        byte, first = self.i.payload.data, self.i.payload.first
        taken = self.i.valid & self.i.ready
        # Memories keep what they hold when the board is reset, and so must what is known of it.
        whole = Signal(init=1, reset_less=True)
        drains = Signal()
        place = Signal(range(LAYOUT_BYTES))
        left = Signal(range(max(self.length, self.latency, CRC_BYTES) + 1))
        expected = Array(Const(part, 8) for part in self.layout)[Mux(first, 0, place)]
        m.d.comb += [
            crc.start.eq(taken & first),
            crc.valid.eq(taken),
            crc.data.eq(byte),
            self.whole.eq(whole),
            self.hold.eq(drains | ~whole),
        ]
        m.d.sync += [self.link.start.eq(0), self.link.valid.eq(0), self.link.data.eq(byte)]

        with m.FSM():

            def compare():
                m.d.sync += [place.eq(Mux(first, 1, place + 1)), left.eq(self.length)]
                m.d.sync += [self.foreign.eq(byte != expected), self.bad.eq(0)]
                with m.If(byte != expected):
                    m.next = "WAIT"
                with m.Elif(~first & (place == LAYOUT_BYTES - 1)):
                    m.next = "DRAIN"
                with m.Else():
                    m.next = "LAYOUT"

            with m.State("WAIT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken & first):
                    compare()
            with m.State("LAYOUT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    compare()
            with m.State("DRAIN"):
                m.d.comb += drains.eq(1)
                with m.If(self.idle):
                    m.d.sync += [whole.eq(0), self.link.start.eq(1)]
                    m.next = "MEMORIES"
            for state, following, count in ("MEMORIES", "CRC", CRC_BYTES), ("CRC", "SETTLE", self.latency):
                with m.State(state):
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(taken & first):
                        compare()
                    with m.Elif(taken):
                        m.d.sync += [left.eq(left - 1), self.link.valid.eq(state == "MEMORIES")]
                        with m.If(left == 1):
                            m.d.sync += left.eq(count)
                            m.next = following
            with m.State("SETTLE"):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 0):
                    m.d.sync += self.bad.eq(~crc.match_detected)
                    m.next = "WAIT"
                    with m.If(crc.match_detected):
                        m.next = "KEEP"
            with m.State("KEEP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken & first):
                    compare()
                with m.Elif(self.keep):
                    m.d.comb += self.done.eq(1)
                    m.d.sync += whole.eq(1)
                    m.next = "WAIT"
        return m
