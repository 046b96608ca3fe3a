"""Counts the images of a bench: one image classified over and over, at the core's own rate."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.link.protocol import BENCH_BYTES

COUNT_BITS = 8 * BENCH_BYTES


class Repeater(wiring.Component):
    """Decides which image is a bench's last to be played, and which result is its last.

    Members
    -------
    byte, byte_valid : in
        The number of images, the low byte first; 0 stands for 2**16.
    start : in
        For one cycle: a bench begins.
    played : in
        For one cycle: an image's last beat was read.
    result : in
        For one cycle: the core has given a result out.
    active : out
        A bench is under way.
    again : out
        The image that is played is not the last one.
    last : out
        The result that comes next is the last one; where no bench is under way, each is.
    """

    def __init__(self):
        ports = {"byte": In(8), "byte_valid": In(1), "start": In(1), "played": In(1), "result": In(1)}
        super().__init__(ports | {"active": Out(1), "again": Out(1), "last": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        left, under_way = Signal(COUNT_BITS), Signal(COUNT_BITS)  # images to play; played without a result
        plays, one = Signal(), Signal()
        m.d.comb += self.again.eq(self.active & ~one)
        # known a cycle late: results are further apart, and come later than the last beat of their image
        m.d.sync += self.last.eq(~self.active | (~plays & (under_way == 1)))
        m.d.sync += one.eq(Mux(self.active & self.played, left == 2, left == 1))
        with m.If(self.byte_valid):
            m.d.sync += left.eq(Cat(left[8:], self.byte))
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), plays.eq(1)]
        with m.If(self.active & self.played):
            m.d.sync += left.eq(left - 1)
            with m.If(~self.again):
                m.d.sync += plays.eq(0)
        with m.If(self.active):
            m.d.sync += under_way.eq(under_way + self.played - self.result)
        with m.If(self.active & self.last & self.result):
            m.d.sync += self.active.eq(0)
        return m
