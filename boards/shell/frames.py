"""Frames in hardware: the parser that resynchronises after noise, and the writer."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from boards.link.protocol import CRC_BYTES, HEADER_BYTES, SYNC
from boards.shell.crc import SerialCrc

HEADER_CRC = catalog.CRC8_SMBUS
FRAME_CRC = catalog.CRC32_ISO_HDLC
"""The CRC of zlib, PNG and Ethernet."""

HEADER = data.StructLayout({"tag": 8, "kind": 8, "length": 24})


class FrameParser(wiring.Component):
    """Frames out of bytes.

    Bytes outside a frame and headers whose CRC is wrong are dropped in silence. From a right header on the
    frame is followed to its end, so that its payload is never taken for another frame; a pause of `timeout`
    cycles abandons it. Bytes come at least 12 cycles apart, as a serial line's do. What is found out is told
    a cycle later, from registers.

    Parameters
    ----------
    timeout : int
        Longest pause between two bytes of a frame, clock cycles.

    Members
    -------
    i : stream of {data, error}, always ready
        A byte with `error` spoils its frame's CRC.
    header : out
        Tag, kind and length of the frame, from `begin` to `done`.
    begin : out
        For one cycle: a right header is in.
    byte, byte_valid : out
        A byte of the payload; it counts only if the frame ends well.
    done : out
        For one cycle: the frame is over.
    good : out
        With `done`: its CRC was right.
    timed_out : out
        With `done`: it was abandoned.
    """

    def __init__(self, timeout: int):
        self.timeout = timeout
        received = data.StructLayout({"data": 8, "error": 1})
        super().__init__(
            {
                "i": In(stream.Signature(received, always_ready=True)),
                "header": Out(HEADER),
                "begin": Out(1),
                "byte": Out(8),
                "byte_valid": Out(1),
                "done": Out(1),
                "good": Out(1),
                "timed_out": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc8 = crc8 = SerialCrc(HEADER_CRC)
        m.submodules.crc32 = crc32 = SerialCrc(FRAME_CRC)
        byte, error, valid = self.i.payload.data, self.i.payload.error, self.i.valid
        left = Signal(24)
        spoilt = Signal()
        idle = Signal(range(self.timeout + 1))
        late, expired = Signal(), Signal()
        inside, counted = Signal(), Signal()
        m.d.comb += [
            expired.eq(late & ~valid),
            crc8.byte.eq(self.byte),
            crc32.byte.eq(self.byte),
            crc8.valid.eq(counted),
            crc32.valid.eq(counted),
            crc8.start.eq(~inside),
            crc32.start.eq(~inside),
        ]
        m.d.sync += [
            self.byte.eq(byte),
            counted.eq(valid & inside),
            *(told.eq(0) for told in (self.begin, self.byte_valid, self.done, self.good, self.timed_out)),
        ]
        # the comparison has a cycle of its own: it is wide
        m.d.sync += [
            idle.eq(idle + 1),
            late.eq(idle == self.timeout),
            spoilt.eq(inside & (spoilt | (valid & error))),
        ]
        with m.If(valid | expired):
            m.d.sync += [idle.eq(0), late.eq(0)]

        with m.FSM() as fsm:
            m.d.comb += inside.eq(~fsm.ongoing("HUNT") & ~fsm.ongoing("SYNC"))
            with m.State("HUNT"), m.If(valid & ~error & (byte == SYNC[0])):
                m.next = "SYNC"
            with m.State("SYNC"):
                m.d.sync += left.eq(HEADER_BYTES - len(SYNC) - 1)
                with m.If(valid & ~error & (byte == SYNC[1])):
                    m.next = "HEADER"
                with m.Elif(expired | (valid & (error | (byte != SYNC[0])))):
                    m.next = "HUNT"
            with m.State("HEADER"):
                with m.If(valid):
                    m.d.sync += [
                        self.header.as_value().eq(Cat(self.header.as_value()[8:], byte)),
                        left.eq(left - 1),
                    ]
                    with m.If(left == 1):
                        m.next = "CHECK"
                with m.Elif(expired):
                    m.next = "HUNT"
            with m.State("CHECK"):
                m.d.sync += left.eq(self.header.length)
                with m.If(valid):
                    with m.If((byte == crc8.crc) & ~spoilt & ~error):
                        m.d.sync += self.begin.eq(1)
                        m.next = "PAYLOAD"
                    with m.Else():
                        m.next = "HUNT"
                with m.Elif(expired):
                    m.next = "HUNT"
            with m.State("PAYLOAD"):
                with m.If(left == 0):
                    m.d.sync += left.eq(CRC_BYTES)
                    m.next = "CRC"
                with m.Elif(valid):
                    m.d.sync += self.byte_valid.eq(1)
                    m.d.sync += left.eq(left - 1)
                with m.Elif(expired):
                    m.d.sync += [self.done.eq(1), self.timed_out.eq(1)]
                    m.next = "HUNT"
            with m.State("CRC"):
                with m.If((left == 0) & ~counted & ~crc32.busy):
                    m.d.sync += [self.done.eq(1), self.good.eq(crc32.match_detected & ~spoilt)]
                    m.next = "HUNT"
                with m.Elif(valid):
                    m.d.sync += left.eq(left - 1)
                with m.Elif(expired):
                    m.d.sync += [self.done.eq(1), self.timed_out.eq(1)]
                    m.next = "HUNT"
        return m


class FrameWriter(wiring.Component):
    """A header and a payload as the bytes of a frame, one each 11 cycles at most.

    A serial line is in no hurry: every byte has a cycle in which it is decided on and one in which it goes,
    so that no ready signal runs to the registers of the frame.

    Members
    -------
    header : in, stream of `HEADER`
        Starts a frame.
    i : in, stream of bytes
        The payload, exactly as many bytes as the header says.
    o : out, stream of bytes
        From registers.
    """

    def __init__(self):
        super().__init__(
            {
                "header": In(stream.Signature(HEADER)),
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc8 = crc8 = SerialCrc(HEADER_CRC)
        m.submodules.crc32 = crc32 = SerialCrc(FRAME_CRC)
        sync = Const(int.from_bytes(SYNC, "little"), 8 * len(SYNC))
        header = Signal(HEADER.size + len(sync))
        # bytes left behind the next one, and whether there are none: known before another can go
        left, over = Signal(24), Signal()
        length, empty = Signal(24), Signal()
        sends, has_byte, byte = Signal(), Signal(), Signal(8)
        counts, counted = Signal(), Signal()
        m.d.comb += [
            crc8.byte.eq(self.o.payload),
            crc32.byte.eq(self.o.payload),
            crc8.valid.eq(counted),
            crc32.valid.eq(counted),
        ]
        m.d.sync += [
            counted.eq(sends & counts),
            over.eq(left == 0),
            empty.eq(length == 0),
            sends.eq(has_byte & ~self.o.valid & ~sends & ~crc8.busy & ~crc32.busy),
        ]
        with m.If(sends):
            m.d.sync += [left.eq(left - 1), self.o.payload.eq(byte), self.o.valid.eq(1)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.header.ready.eq(1)
                m.d.comb += [crc8.start.eq(1), crc32.start.eq(1)]
                m.d.sync += [
                    header.eq(Cat(sync, self.header.payload)),
                    length.eq(self.header.payload.length),
                    left.eq(len(header) // 8 - 1),
                ]
                with m.If(self.header.valid):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [
                    has_byte.eq(1),
                    byte.eq(header[:8]),
                    # the CRCs do not cover the sync word
                    counts.eq(left[:3] <= HEADER.size // 8 - 1),
                ]
                with m.If(sends):
                    m.d.sync += header.eq(header[8:])
                    with m.If(over):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += [has_byte.eq(1), byte.eq(crc8.crc), counts.eq(1)]
                with m.If(sends):
                    m.d.sync += left.eq(Mux(empty, CRC_BYTES - 1, length - 1))
                    with m.If(empty):
                        m.next = "CRC"
                    with m.Else():
                        m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += [
                    has_byte.eq(self.i.valid),
                    self.i.ready.eq(sends),
                    byte.eq(self.i.payload),
                    counts.eq(1),
                ]
                with m.If(sends & over):
                    m.d.sync += left.eq(CRC_BYTES - 1)
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [
                    has_byte.eq(1),
                    byte.eq(crc32.crc.word_select((CRC_BYTES - 1 - left)[:2], 8)),
                ]
                with m.If(sends & over):
                    m.next = "IDLE"
        return m
