"""Answers: what the shell found out, as frames on the serial line."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from boards.protocol import FAILED, REPLY, Command, Identity, logit_bytes, result_bytes
from boards.shell.frames import FrameWriter
from hdl.devices.device import PORTABLE, Device
from hdl.parts.buffer import Buffer
from hdl.parts.memory import Rom

NOTES = 8
"""Answers without a result that can wait for their turn; what a sender asks for beyond them is lost."""

NOTE = data.StructLayout({"tag": 8, "kind": 8, "code": 8})
"""An answer without a result: the request's tag and kind, and an error's code or 0 (identify, load)."""


class Answerer(wiring.Component):
    """Writes the answers' frames.

    Parameters
    ----------
    identity : Identity
    answer : StructLayout
        Of the accelerator's output: `cls`, and `logits`, an array.
    device : Device

    Members
    -------
    note : in, stream of `NOTE`
        Lost while `NOTES` of them wait.
    result : in, stream of `answer`
        With it come `tag`, the request's, `cycles`, what it took, and `bench`, whether that asked for one.
        All of it stays until it is sent, and is taken then: no copy is made.
    o : out, stream of bytes
    """

    def __init__(self, identity: Identity, answer: data.StructLayout, device: Device = PORTABLE):
        self.description, self.answer, self.device = identity.encode(), answer, device
        self.loadable = identity.set_bytes > 0
        super().__init__(
            {
                "note": In(stream.Signature(NOTE)),
                "result": In(stream.Signature(answer)),
                "tag": In(8),
                "bench": In(1),
                "cycles": In(32),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.writer = writer = FrameWriter()
        m.submodules.chosen = chosen = Buffer(8, 2, self.device)
        wiring.connect(m, chosen.o, writer.i)
        # one more of them waits in its output register
        m.submodules.notes = notes = Buffer(NOTE, NOTES - 1, self.device)
        wiring.connect(m, writer.o, wiring.flipped(self.o))
        # what is noted follows from a byte and a CRC: a register stands behind that
        m.d.sync += [notes.i.payload.eq(self.note.payload), notes.i.valid.eq(self.note.valid)]
        m.d.comb += self.note.ready.eq(1)
        note = notes.o.payload

        elements = self.answer["logits"].shape
        width, classes = Signal(elements.elem_shape).shape().width, elements.length
        size = logit_bytes(width)
        # a result is taken the cycle after its last byte: many registers hang on that
        takes = Signal()
        m.d.sync += takes.eq(0)
        m.d.comb += self.result.ready.eq(takes)
        seen = Signal()
        m.d.sync += seen.eq(self.result.valid & ~takes)
        waiting = seen & ~takes

        # the answer in work
        begin, byte = writer.header.payload, chosen.i.payload
        # class (16 bits) and cycles (32 bits), or an error's code and kind
        short = Signal(48, reset_less=True)
        left = Signal(range(max(6, size)))
        index = Signal(range(max(classes, len(self.description))))
        sent = Signal()
        m.d.comb += sent.eq(chosen.i.valid & chosen.i.ready)
        m.submodules.identity = rom = Rom(8, self.description, self.device)
        moved = Signal(Rom.latency)
        m.d.comb += rom.addr.eq(index)
        m.d.sync += moved.eq(Cat(sent, moved))
        # Bytes are selected from an unsigned value. Of a signed one yosys 0.70 loses the sign: `wreduce`
        # takes its copies away, and `peepopt`, which makes multiplexers of shifts, does not put them back.
        logit = Signal(8 * size)
        # a tree of multiplexers, where a number of bits times their number would be a multiplier; registers
        # stand behind it and within it, and a byte waits for them as it does for the ROM
        bits = (classes - 1).bit_length()
        places = [self.result.payload.logits[n] if n < classes else 0 for n in range(1 << bits)]
        for level, bit in enumerate(index[:bits]):
            places = [Mux(bit, *pair) for pair in zip(places[1::2], places[::2])]
            if level == 1 and bits > 2:
                near = [Signal(elements.elem_shape, name=f"near{n}") for n in range(-(-classes // 4))]
                m.d.sync += [register.eq(place) for register, place in zip(near, places)]
                places = near + places[len(near) :]
        selected = Signal(elements.elem_shape)
        m.d.comb += logit.eq(selected)
        m.d.sync += selected.eq(places[0])

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += writer.header.valid.eq(waiting | notes.o.valid)
                m.d.sync += index.eq(0)
                with m.If(waiting):
                    m.d.comb += [
                        begin.tag.eq(self.tag),
                        begin.kind.eq(REPLY | Mux(self.bench, Command.BENCH, Command.CLASSIFY)),
                        begin.length.eq(result_bytes(classes, width)),
                    ]
                    m.d.sync += [short.eq(self.result.payload.cls | (self.cycles << 16)), left.eq(5)]
                    with m.If(writer.header.ready):
                        m.next = "RESULT"
                with m.Elif(note.code != 0):
                    m.d.comb += [begin.tag.eq(note.tag), begin.kind.eq(FAILED), begin.length.eq(2)]
                    m.d.sync += [short.eq(Cat(note.code, note.kind)), left.eq(1)]
                    with m.If(notes.o.valid & writer.header.ready):
                        m.d.comb += notes.o.ready.eq(1)
                        m.next = "ERROR"
                if self.loadable:
                    with m.Elif(note.kind == Command.LOAD):
                        m.d.comb += [begin.tag.eq(note.tag), begin.kind.eq(REPLY | Command.LOAD)]
                        m.d.comb += notes.o.ready.eq(notes.o.valid & writer.header.ready)
                with m.Else():
                    m.d.comb += [
                        begin.tag.eq(note.tag),
                        begin.kind.eq(REPLY | Command.IDENTIFY),
                        begin.length.eq(len(self.description)),
                    ]
                    with m.If(notes.o.valid & writer.header.ready):
                        m.d.comb += notes.o.ready.eq(1)
                        m.next = "IDENTITY"
            for state, following in ("ERROR", "IDLE"), ("RESULT", "LOGITS"):
                with m.State(state):
                    m.d.comb += [chosen.i.valid.eq(1), byte.eq(short[:8])]
                    with m.If(sent):
                        m.d.sync += [short.eq(short[8:]), left.eq(left - 1)]
                        with m.If(left == 0):
                            m.d.sync += left.eq(size - 1)
                            m.next = following
            with m.State("LOGITS"):
                m.d.comb += [
                    chosen.i.valid.eq(moved == 0),
                    byte.eq(logit.word_select((size - 1 - left)[: exact_log2(size)], 8)),
                ]
                with m.If(sent):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 0):
                        m.d.sync += [left.eq(size - 1), index.eq(index + 1)]
                        with m.If(index == classes - 1):
                            m.d.sync += takes.eq(1)
                            m.next = "IDLE"
            with m.State("IDENTITY"):
                m.d.comb += [chosen.i.valid.eq(moved == 0), byte.eq(rom.data)]
                with m.If(sent):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == len(self.description) - 1):
                        m.next = "IDLE"
        return m
