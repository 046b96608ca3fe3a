"""Frames at the doors: only whole ones count."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.parts.buffer import Buffer
from hdl.parts.counting import counter
from hdl.parts.pipe import lanes_of
from model.arithmetic.qformat import QFormat

VERDICTS = 16
"""Frames that may be under way between the gate and the answer."""


def frame_layout(fmt: QFormat, lanes: int) -> data.StructLayout:
    """Payload of a stream of frames: the values of a beat, and the marks of a frame's ends."""
    return data.StructLayout({"data": lanes_of(fmt, lanes), "first": 1, "last": 1})


class Gate(wiring.Component):
    """Passes frames on, always of the right length, and says of each whether it was whole.

    A frame that ends too early, or is overtaken by the next one's first beat, is filled up with zeros and
    called broken; what follows a frame that should have ended is swallowed up to its last mark or the next
    first one. So the stages behind never lose step, and the answer to a broken frame is dropped at the
    end. No frame waits here: the first beat leaves in the cycle it came.

    Parameters
    ----------
    fmt : QFormat
    lanes : int
    beats : int
        Beats of a frame.
    device : Device
    holds : bool
        Whether it can be told to let no frame begin.

    Members
    -------
    i : stream of `frame_layout`
    o : stream of `lanes` values
    verdict : stream of 1 bit a frame, after the frame's last beat: whether it was whole
    dropped : out, 16 bits
        Broken frames since reset, saturating.
    hold : in, only if it `holds`
        No frame may begin.
    busy : out, only if it `holds`
        A frame is open, or its verdict not yet taken.
    """

    def __init__(self, fmt: QFormat, lanes: int, beats: int, device: Device, *, holds: bool = False):
        self.beats, self.device, self.holds = beats, device, holds
        members = {
            "i": In(stream.Signature(frame_layout(fmt, lanes))),
            "o": Out(stream.Signature(lanes_of(fmt, lanes))),
            "verdict": Out(stream.Signature(1)),
            "dropped": Out(16),
        }
        super().__init__(members | ({"hold": In(1), "busy": Out(1)} if holds else {}))

    def elaborate(self, platform):
        m = Module()
        m.submodules.verdicts = verdicts = Buffer(1, VERDICTS, self.device)
        wiring.connect(m, verdicts.o, wiring.flipped(self.verdict))

        count = Signal(range(self.beats))
        # Whether the next beat is the first or the last: registers, as these begin the longest paths here.
        at_start, at_end = Signal(init=1), Signal(init=self.beats == 1)
        passes, fills, swallows = Signal(), Signal(), Signal()
        filling, skipping = Signal(), Signal()
        broken = Signal()
        frame = self.i.payload
        overtaken = ~at_start & frame.first
        # A verdict is noted the cycle after its frame's last beat, and whether there is room a cycle later
        # still: two frames of one beat may have begun meanwhile; one waits in the FIFO's output register.
        due, whole, room, waiting = Signal(), Signal(), Signal(init=1), Signal(range(VERDICTS + 2))
        # What was offered cannot be taken back: such a frame has begun.
        offered = Signal()
        m.d.sync += [
            waiting.eq(waiting + due - (self.verdict.valid & self.verdict.ready)),
            room.eq(waiting < VERDICTS - 1),
            offered.eq(self.o.valid & ~self.o.ready),
        ]
        may_begin = (room & ~self.hold if self.holds else room) | offered
        if self.holds:
            m.d.comb += self.busy.eq(~at_start | filling | offered | due | (waiting != 0))
        m.d.comb += [
            # A beat is swallowed where no frame is open and none begins.
            swallows.eq(self.i.valid & ~filling & at_start & ~frame.first),
            passes.eq(self.i.valid & ~filling & ~swallows & ~overtaken & (~at_start | may_begin)),
            fills.eq(filling),
            self.o.valid.eq(passes | fills),
            self.i.ready.eq(swallows | (passes & self.o.ready)),
            verdicts.i.valid.eq(due),
            verdicts.i.payload.eq(whole),
        ]
        m.d.sync += due.eq(0)
        with m.If(passes):
            m.d.comb += Value.cast(self.o.payload).eq(Value.cast(frame.data))

        with m.If(swallows):
            # The tail of a frame that was counted already, or a frame without a beginning.
            m.d.comb += broken.eq(~skipping)
            m.d.sync += skipping.eq(~frame.last)
        with m.If(self.i.valid & ~filling & overtaken):
            m.d.comb += broken.eq(1)
            m.d.sync += filling.eq(1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [
                count.eq(Mux(at_end, 0, count + 1)),
                at_start.eq(at_end),
                at_end.eq(at_end if self.beats == 1 else count == self.beats - 2),
            ]
            with m.If(passes):
                m.d.sync += skipping.eq(0)
                with m.If(frame.last & ~at_end):
                    m.d.comb += broken.eq(1)
                    m.d.sync += filling.eq(1)
                with m.If(at_end & ~frame.last):
                    m.d.comb += broken.eq(1)
                    m.d.sync += skipping.eq(1)
            with m.If(at_end):
                m.d.sync += [due.eq(1), whole.eq(passes & frame.last), filling.eq(0)]
        with m.If(broken & (self.dropped != 0xFFFF)):
            m.d.sync += self.dropped.eq(self.dropped + 1)
        return m


class Verdict(wiring.Component):
    """Lets the answers to whole frames out and drops the others.

    Members
    -------
    i, o : streams of `shape`, one beat a frame
    verdict : stream of 1 bit a frame, in
    """

    def __init__(self, shape):
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "verdict": In(stream.Signature(1)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        both = self.i.valid & self.verdict.valid
        done = both & (self.o.ready | ~self.verdict.payload)
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(both & self.verdict.payload),
            self.i.ready.eq(done),
            self.verdict.ready.eq(done),
        ]
        return m


class FrameVerdict(wiring.Component):
    """Lets frames of values out, with marks on their ends, and drops those that broken frames have led to.

    A frame's verdict follows its last input beat, and its first values may come long before: they wait here
    in a FIFO that holds a frame. So a frame leaves whole or not at all.

    Latency: two cycles, and not before the verdict. Throughput: one beat a cycle.

    Parameters
    ----------
    fmt : QFormat
    lanes : int
    beats : int
        Beats of a frame.
    device : Device

    Members
    -------
    i : stream of `lanes` values
    verdict : stream of 1 bit a frame, in
    o : stream of `frame_layout`
    """

    latency = 2

    def __init__(self, fmt: QFormat, lanes: int, beats: int, device: Device):
        self.beats, self.device = beats, device
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, lanes))),
                "verdict": In(stream.Signature(1)),
                "o": Out(stream.Signature(frame_layout(fmt, lanes))),
            }
        )

    @property
    def depth(self) -> int:
        """Words of the FIFO's memory."""
        return max(self.beats, 2)

    def elaborate(self, platform):
        m = Module()
        m.submodules.frame = frame = Buffer(self.i.payload.shape(), self.depth, self.device)
        wiring.connect(m, wiring.flipped(self.i), frame.i)
        moves, at_start = Signal(), Signal(init=1)
        _, at_end = counter(m, "beat", self.beats, moves)
        judged = frame.o.valid & self.verdict.valid
        m.d.comb += [
            self.o.valid.eq(judged & self.verdict.payload),
            self.o.payload.data.eq(frame.o.payload),
            self.o.payload.first.eq(at_start),
            self.o.payload.last.eq(at_end),
            moves.eq(judged & (self.o.ready | ~self.verdict.payload)),
            frame.o.ready.eq(moves),
            self.verdict.ready.eq(moves & at_end),
        ]
        with m.If(moves):
            m.d.sync += at_start.eq(at_end)
        return m
