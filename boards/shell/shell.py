"""The shell round an accelerator: requests by a serial line, answers, the class on LEDs."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.link.protocol import BENCH_BYTES, Command, Error, Identity
from boards.shell.answers import Answerer
from boards.shell.frames import FrameParser
from boards.shell.held import HeldAnswer
from boards.shell.images import ImageBuffer
from boards.shell.repeat import Repeater
from boards.shell.uart import Baud, Receiver, Transmitter
from hdl.devices.device import PORTABLE, Device
from hdl.parts.buffer import Buffer

DOOR = 4
"""Beats that may wait between the image buffer and the core."""


@dataclass(frozen=True)
class Link:
    """The serial link.

    Parameters
    ----------
    baud : Baud
    timeout : float
        Longest pause inside a frame, seconds.
    """

    baud: Baud
    timeout: float = 0.05

    @property
    def timeout_cycles(self) -> int:
        """The timeout in clock cycles, never less than three bytes' time."""
        return max(round(self.timeout * self.baud.clock_hz), self.baud.cycles(30))


class Shell(wiring.Component):
    """An accelerator that answers requests.

    One image is in the accelerator at a time, so that the cycles it takes can be told; a bench fills it with
    copies of the last one.

    Parameters
    ----------
    core : Component
        With the accelerator's interface: streams `i` (data, first, last) and `o` (cls, logits, or if
        `identity` tells of no classes as `i`), and `beats` and `out_beats`, the beats of an image and of an
        answer. It becomes a submodule.
    identity : Identity
        If it tells of sets of weights, the core has the members of one with loadable weights too. If it
        tells of benches, the shell does them.
    link : Link
    leds : int
    device : Device

    Members
    -------
    rx : in
        Serial line towards the board, asynchronous.
    tx : out
    leds : out
        The class that was found last, in binary, 0 after a reset. Where there are no classes, how many images
        were answered.
    """

    def __init__(self, core, identity: Identity, link: Link, leds: int = 8, device: Device = PORTABLE):
        self.core, self.identity, self.link, self.device = core, identity, link, device
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "leds": Out(leds)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        m.submodules.receiver = receiver = Receiver(self.link.baud)
        m.submodules.parser = parser = FrameParser(self.link.timeout_cycles)
        m.submodules.images = images = ImageBuffer(core.i.payload.shape(), core.beats, self.device)
        held = None
        if not self.identity.classes:
            m.submodules.held = held = HeldAnswer(core.o.payload.shape(), core.out_beats, self.device)
        result = (core if held is None else held).o
        m.submodules.answerer = answerer = Answerer(self.identity, result.payload.shape(), self.device)
        m.submodules.transmitter = transmitter = Transmitter(self.link.baud)
        m.d.sync += [parser.i.payload.eq(receiver.o.payload), parser.i.valid.eq(receiver.o.valid)]
        # neither the image buffer's ready chain nor the core's reaches beyond it
        m.submodules.door = door = Buffer(core.i.payload.shape(), DOOR, self.device)
        wiring.connect(m, images.o, door.i)
        wiring.connect(m, door.o, core.i)
        wiring.connect(m, answerer.o, transmitter.i)
        m.d.comb += [receiver.line.eq(self.rx), self.tx.eq(transmitter.line)]

        # a request is refused as soon as its header tells, and its payload then skipped
        header, busy, loadable = parser.header, Signal(), self.identity.set_bytes > 0
        refusal, refused = Signal(8), Signal()
        expected, no_room, unknown = Signal(24), Signal(), Signal()
        repeating, last, unready = Signal(), Signal(init=1), Signal()
        with m.Switch(header.kind):
            with m.Case(Command.IDENTIFY):
                m.d.comb += expected.eq(0)
            with m.Case(Command.CLASSIFY):
                m.d.comb += [expected.eq(self.identity.image_bytes), no_room.eq(images.full | repeating)]
                m.d.comb += unready.eq(~core.whole if loadable else 0)
            if self.identity.bench:
                with m.Case(Command.BENCH):
                    m.d.comb += [expected.eq(BENCH_BYTES), no_room.eq(busy | ~images.empty)]
                    m.d.comb += unready.eq(~images.some | (~core.whole if loadable else 0))
            if loadable:
                with m.Case(Command.LOAD):
                    m.d.comb += [expected.eq(self.identity.set_bytes), no_room.eq(busy | ~images.empty)]
            with m.Default():
                m.d.comb += unknown.eq(1)
        # the header stands for a byte's time before it is known to be right: the comparisons have cycles of
        # their own
        misfit = Signal()
        m.d.sync += [misfit.eq(header.length != expected), refusal.eq(0)]
        with m.If(unknown):
            m.d.sync += refusal.eq(Error.UNKNOWN_COMMAND)
        with m.Elif(misfit):
            m.d.sync += refusal.eq(Error.BAD_LENGTH)
        with m.Elif(no_room):
            m.d.sync += refusal.eq(Error.BUSY)
        with m.Elif(unready):
            m.d.sync += refusal.eq(Error.NOT_READY)
        keep, replay = Signal(), Signal()
        m.d.sync += [images.keep.eq(keep), images.replay.eq(replay)]
        # whose byte it is follows from the whole header: it is taken a cycle later
        byte, image_valid, bench_valid = Signal(8, reset_less=True), Signal(), Signal()
        valid = parser.byte_valid & ~refused
        m.d.sync += [
            byte.eq(parser.byte),
            image_valid.eq(valid & (header.kind == Command.CLASSIFY)),
            bench_valid.eq(valid & (header.kind == Command.BENCH)),
        ]
        note, noted = answerer.note.payload, answerer.note.valid
        m.d.comb += [note.tag.eq(header.tag), note.kind.eq(header.kind)]
        with m.If(parser.begin):
            m.d.sync += refused.eq(refusal != 0)
            m.d.comb += [noted.eq(refusal != 0), note.code.eq(refusal)]
        with m.If(parser.done & ~refused):
            with m.If(parser.timed_out):
                m.d.comb += [noted.eq(1), note.code.eq(Error.TIMEOUT)]
            with m.Elif(~parser.good):
                m.d.comb += [noted.eq(1), note.code.eq(Error.BAD_CRC)]
            with m.Elif(header.kind == Command.IDENTIFY):
                m.d.comb += noted.eq(1)
            if loadable:
                with m.Elif(header.kind == Command.LOAD):
                    pass  # its answer waits for the core's word
            if self.identity.bench:
                with m.Elif(header.kind == Command.BENCH):
                    m.d.comb += replay.eq(1)
            with m.Else():
                m.d.comb += keep.eq(1)
        if loadable:
            self.load(m, parser, answerer.note, refused)
        if self.identity.bench:
            m.submodules.repeater = repeater = Repeater()
            m.d.comb += [
                repeater.byte.eq(byte),
                repeater.byte_valid.eq(bench_valid),
                repeater.start.eq(images.replay),
                repeater.played.eq(images.ended),
                repeater.result.eq(self.given(held, last)),
                images.again.eq(repeater.again),
                repeating.eq(repeater.active),
                last.eq(repeater.last),
            ]
        m.d.comb += [
            images.restart.eq(parser.begin),
            images.byte.eq(byte),
            images.byte_valid.eq(image_valid),
            images.tag.eq(header.tag),
        ]

        # one image at a time through the core, or one bench, timed from its first beat to its last result
        running, cycles, final = Signal(), Signal(32), Signal()
        m.d.comb += [images.play.eq(~busy), final.eq(core.o.valid & last if held is None else held.came)]
        # noticed a cycle late, at the end of the gate's ready chain: one cycle is over then, and
        # this one, unless the result is there already
        started = Signal()
        m.d.sync += started.eq(~running & ~started & core.i.valid & core.i.ready & core.i.payload.first)
        with m.If(started):
            m.d.sync += [running.eq(~final), cycles.eq(Mux(final, 1, 2))]
        with m.Elif(final):
            m.d.sync += running.eq(0)
        with m.Elif(running):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(images.began | images.replay):
            m.d.sync += busy.eq(1)
        if held is None:
            m.d.comb += [
                answerer.result.valid.eq(final),
                core.o.ready.eq(answerer.result.ready | ~last),
                answerer.result.payload.eq(core.o.payload),
            ]
            answered, shown = final & core.o.ready, core.o.payload.cls
        else:
            wiring.connect(m, core.o, held.i)
            wiring.connect(m, held.o, answerer.result)
            m.d.comb += held.keep.eq(last)
            answered, shown = held.sent, self.leds + 1
        m.d.comb += [
            answerer.tag.eq(images.playing_tag),
            answerer.cycles.eq(cycles),
            answerer.bench.eq(repeating),
        ]
        with m.If(answered):
            m.d.sync += [busy.eq(0), self.leds.eq(shown)]
        return m

    def given(self, held: HeldAnswer | None, last: Signal) -> Value:
        """Whether the core's result is dealt with: dropped in a bench, or the last one sent."""
        moves = self.core.o.valid & self.core.o.ready
        return moves if held is None else Mux(last, held.sent, moves & self.core.o.payload.last)

    def load(self, m: Module, parser: FrameParser, note, refused: Signal) -> None:
        """Hands sets of weights to the core, which uses one only after the CRC of its frame was right."""
        core, loads = self.core, parser.header.kind == Command.LOAD
        first, pending, tag = Signal(), Signal(), Signal(8)
        m.d.comb += [
            core.load.valid.eq(parser.byte_valid & loads & ~refused),
            core.load.payload.data.eq(parser.byte),
            core.load.payload.first.eq(first),
        ]
        with m.If(parser.byte_valid):
            m.d.sync += first.eq(0)
        with m.If(parser.begin):
            m.d.sync += [first.eq(1), pending.eq(0)]
        with m.Elif(parser.done):
            m.d.sync += [pending.eq(parser.good & loads & ~refused), tag.eq(parser.header.tag)]
        with m.Elif(pending):
            # what the core thinks of the set
            m.d.comb += [core.keep.eq(1), note.payload.tag.eq(tag), note.payload.kind.eq(Command.LOAD)]
            for outcome, code in (core.foreign, Error.WRONG_BUILD), (core.bad, Error.BAD_SET), (core.done, 0):
                with m.If(outcome):
                    m.d.comb += [note.valid.eq(1), note.payload.code.eq(code)]
                    m.d.sync += pending.eq(0)
