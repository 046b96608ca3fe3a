"""CRCs of bytes, computed one bit a cycle: bytes on a serial line leave time for it."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.crc import Algorithm
from amaranth.lib.wiring import In, Out


class SerialCrc(wiring.Component):
    """A CRC over bytes that come 9 cycles apart or more, for fewer LUTs than one that takes a byte a cycle.

    Parameters
    ----------
    algorithm : Algorithm
        Of Amaranth's catalogue.

    Members
    -------
    start : in
        Begin anew; not while `busy`, nor together with `valid`.
    byte, valid : in
        The next byte.
    busy : out
        The last byte is not worked in yet: from the cycle after `valid`, for 8 cycles.
    crc : out
        Of all bytes since `start`, as it is sent.
    match_detected : out
        The last bytes were the CRC of those before.
    """

    def __init__(self, algorithm: Algorithm):
        self.algorithm = algorithm
        super().__init__(
            {
                "start": In(1),
                "byte": In(8),
                "valid": In(1),
                "busy": Out(1),
                "crc": Out(algorithm.crc_width),
                "match_detected": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bits = bits = self.algorithm(data_width=1).create()
        shift, left = Signal(8), Signal(range(9))
        m.d.comb += [
            self.busy.eq(left != 0),
            bits.start.eq(self.start),
            bits.valid.eq(self.busy),
            bits.data.eq(shift[0]),
            self.crc.eq(bits.crc),
            self.match_detected.eq(bits.match_detected),
        ]
        # an algorithm that is not reflected takes the high bit first
        order = self.byte if self.algorithm.reflect_input else self.byte[::-1]
        m.d.sync += [shift.eq(Mux(self.valid, order, Cat(shift[1:], 0)))]
        with m.If(self.valid):
            m.d.sync += left.eq(8)
        with m.Elif(self.busy):
            m.d.sync += left.eq(left - 1)
        return m
