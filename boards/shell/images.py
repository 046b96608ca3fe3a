"""Images between the serial line and the accelerator: received whole, then played at full rate."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from boards.link.protocol import QUEUE, value_bytes
from hdl.devices.device import PORTABLE, Device


class ImageBuffer(wiring.Component):
    """Two images in block RAM: one is received while the other is played into the accelerator.

    An image is played only after `keep`, and at one beat a cycle if the accelerator takes it.

    Parameters
    ----------
    payload : StructLayout
        Of the accelerator's input: `data` (an array of lanes), `first`, `last`.
    beats : int
        Beats an image.
    device : Device

    Members
    -------
    byte, byte_valid : in
        The image as `protocol.image_payload` writes it, one byte a cycle at most.
    restart : in
        The next byte is an image's first.
    keep : in
        The image that came in is right; `tag` is its name.
    full : out
        No room for another image: none may be restarted.
    empty : out
        None waits to be played.
    o : out, stream
        Beats of images that were kept, in order.
    play : in
        Lets the next image begin.
    began : out
        For one cycle: it does.
    playing_tag : out
        Tag of the image that `o` plays or has played last.
    replay : in
        For one cycle, while none is played or waits: the last image plays again, under the name of `tag`.
    again : in
        While an image ends that is replayed: it follows once more, without a gap.
    ended : out
        For one cycle: an image's last beat was read.
    some : out
        An image was played since the reset: there is one to replay.
    """

    def __init__(self, payload: data.StructLayout, beats: int, device: Device = PORTABLE):
        self.beats, self.device = beats, device
        lanes = payload["data"].shape
        self.lanes, self.width = lanes.length, len(Signal(lanes.elem_shape))
        self.bytes_per_beat = self.lanes * value_bytes(self.width)
        super().__init__(
            {
                "byte": In(8),
                "byte_valid": In(1),
                "restart": In(1),
                "keep": In(1),
                "tag": In(8),
                "full": Out(1),
                "empty": Out(1),
                "o": Out(stream.Signature(payload)),
                "play": In(1),
                "began": Out(1),
                "playing_tag": Out(8),
                "replay": In(1),
                "again": In(1),
                "ended": Out(1),
                "some": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        writing, reading = Signal(), Signal()  # which half
        kept = Signal(range(QUEUE + 1))
        tags = [Signal(8, name=f"tag{half}") for half in range(QUEUE)]
        freed = Signal()
        m.d.comb += [self.full.eq(kept == QUEUE), self.empty.eq(kept == 0)]
        m.d.sync += kept.eq(kept + self.keep - freed)

        # bytes are gathered to beats before they are written, so that a beat is read in one cycle
        value = 8 * value_bytes(self.width)
        gathered = Signal(8 * self.bytes_per_beat)
        place = Signal(range(self.bytes_per_beat))
        complete = Signal()
        address = Signal(range(self.beats))
        beat = Cat(gathered[lane * value :][: self.width] for lane in range(self.lanes))
        m.d.sync += complete.eq(0)
        with m.If(complete):
            m.d.sync += address.eq(address + 1)
        with m.If(self.restart):
            m.d.sync += [place.eq(0), address.eq(0)]
        with m.Elif(self.byte_valid):
            m.d.sync += [gathered.eq(Cat(gathered[8:], self.byte)), place.eq(place + 1)]
            with m.If(place == self.bytes_per_beat - 1):
                m.d.sync += [place.eq(0), complete.eq(1)]
        with m.If(self.keep):
            m.d.sync += [writing.eq(~writing), address.eq(0)]
            for half, tag in enumerate(tags):
                with m.If(writing == half):
                    m.d.sync += tag.eq(self.tag)

        # the RAM's first register is one stage of the stream, its output register the next
        active, index = Signal(), Signal(range(self.beats))
        # whether the next beat is an image's first or last: registers, as much hangs on that
        at_start, at_end = Signal(init=1), Signal(init=self.beats == 1)
        fetched, fetched_first, fetched_last = Signal(), Signal(), Signal()
        advance, taken, reads = Signal(), Signal(), Signal()
        place_written, place_read = (Signal(range(QUEUE * self.beats)) for _ in range(2))
        m.d.comb += [
            taken.eq(~self.o.valid | self.o.ready),
            advance.eq(~fetched | taken),
            reads.eq(active & advance),
            place_written.eq(Mux(writing, self.beats, 0) + address),
            place_read.eq(Mux(reading, self.beats, 0) + index),
            self.o.payload.data.as_value().eq(
                self.device.block_ram(
                    m,
                    QUEUE * self.beats,
                    (place_written, beat, complete),
                    (place_read, reads),
                    taken,
                )
            ),
        ]
        with m.If(advance):
            m.d.sync += [
                fetched.eq(active),
                fetched_first.eq(at_start),
                fetched_last.eq(at_end),
            ]
        with m.If(taken):
            m.d.sync += [
                self.o.valid.eq(fetched),
                self.o.payload.first.eq(fetched_first),
                self.o.payload.last.eq(fetched_last),
            ]
        replaying = Signal()
        m.d.comb += freed.eq(self.ended & ~replaying)
        with m.If(reads):
            m.d.sync += [index.eq(index + 1), at_start.eq(at_end)]
            if self.beats > 1:
                m.d.sync += at_end.eq(index == self.beats - 2)
            with m.If(at_end):
                m.d.comb += self.ended.eq(1)
                m.d.sync += index.eq(0)
                with m.If(~self.again):
                    m.d.sync += [active.eq(0), replaying.eq(0), reading.eq(~reading)]
        m.d.comb += self.began.eq(self.play & ~active & (kept != 0))
        with m.If(self.began):
            m.d.sync += [active.eq(1), self.playing_tag.eq(Mux(reading, tags[1], tags[0])), self.some.eq(1)]
        with m.If(self.replay):
            # an image stays where it was until its place is needed
            m.d.sync += [active.eq(1), replaying.eq(1), reading.eq(~reading), self.playing_tag.eq(self.tag)]
        return m
