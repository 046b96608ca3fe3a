"""Answers: what the shell found out, as frames on the serial line."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from boards.link.protocol import FAILED, REPLY, Command, Identity
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
        Of the accelerator's output: `cls`, and `logits`, an array. Of a net that does not classify, of its
        `HeldAnswer`'s bytes.
    device : Device

    Members
    -------
    note : in, stream of `NOTE`
        Lost while `NOTES` of them wait.
    result : in, stream of `answer`
        With it come `tag`, the request's, `cycles`, what it took, and `bench`, whether that asked for one.
        All of it stays until it is sent, and is taken then, or byte by byte: no copy is made.
    o : out, stream of bytes
    """

    def __init__(self, identity: Identity, answer: data.StructLayout, device: Device = PORTABLE):
        self.description, self.answer, self.device = identity.encode(), answer, device
        self.identity = identity
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
        # one more of them waits in its output register
        m.submodules.notes = notes = Buffer(NOTE, NOTES - 1, self.device)
        wiring.connect(m, writer.o, wiring.flipped(self.o))
        # what is noted follows from a byte and a CRC: a register stands behind that
        m.d.sync += [notes.i.payload.eq(self.note.payload), notes.i.valid.eq(self.note.valid)]
        m.d.comb += self.note.ready.eq(1)
        note = notes.o.payload

        classes, size = self.identity.classes, self.identity.output_bytes
        # a result is taken the cycle after its last byte: many registers hang on that
        takes, waiting = Signal(), Signal()
        m.d.sync += [takes.eq(0), waiting.eq(self.result.valid & ~takes)]
        if classes:
            m.d.comb += self.result.ready.eq(takes)

        # the answer in work: whose it is, and the byte that waits for the writer
        begin, byte = writer.header.payload, Signal(8)
        ours, failed, loaded, noted = Signal(), Signal(), Signal(), Signal()
        m.d.sync += noted.eq(0)
        m.d.comb += notes.o.ready.eq(noted)
        # class (16 bits) and cycles (32 bits), or an error's code and kind
        short = Signal(48, reset_less=True)
        left = Signal(range(max(6, size)))
        index, last_index = Signal(range(max(classes, len(self.description)))), Signal()
        # a byte is taken a cycle after it is decided that it will be, as in the writer
        takes_byte, has_byte = Signal(), Signal()
        m.submodules.identity = rom = Rom(8, self.description, self.device)
        moved = Signal(Rom.latency)
        m.d.comb += rom.addr.eq(index)
        m.d.sync += [
            takes_byte.eq(has_byte & ~writer.i.valid & ~takes_byte & (moved == 0)),
            moved.eq(Cat(takes_byte, moved)),
        ]
        with m.If(takes_byte):
            m.d.sync += [writer.i.payload.eq(byte), writer.i.valid.eq(1)]
        with m.Elif(writer.i.ready):
            m.d.sync += writer.i.valid.eq(0)
        if classes:
            logit = self.logit(m, index)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [
                    index.eq(0),
                    ours.eq(waiting & ~takes),
                    failed.eq(note.code != 0),
                    loaded.eq(note.kind == Command.LOAD if self.loadable else 0),
                ]
                with m.If((waiting & ~takes) | (notes.o.valid & ~noted)):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [writer.header.valid.eq(1), begin.tag.eq(Mux(ours, self.tag, note.tag))]
                with m.If(ours):
                    m.d.comb += [
                        begin.kind.eq(REPLY | Mux(self.bench, Command.BENCH, Command.CLASSIFY)),
                        begin.length.eq(self.identity.result_bytes),
                    ]
                    head = (self.result.payload.cls | (self.cycles << 16), 5) if classes else (self.cycles, 3)
                    m.d.sync += [short.eq(head[0]), left.eq(head[1])]
                with m.Elif(failed):
                    m.d.comb += [begin.kind.eq(FAILED), begin.length.eq(2)]
                    m.d.sync += [short.eq(Cat(note.code, note.kind)), left.eq(1)]
                with m.Elif(loaded):
                    m.d.comb += begin.kind.eq(REPLY | Command.LOAD)
                with m.Else():
                    m.d.comb += [
                        begin.kind.eq(REPLY | Command.IDENTIFY),
                        begin.length.eq(len(self.description)),
                    ]
                with m.If(writer.header.ready):
                    m.d.sync += noted.eq(~ours)
                    with m.If(ours | failed):
                        m.next = "SHORT"
                    with m.Elif(loaded):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "IDENTITY"
            with m.State("SHORT"):
                m.d.comb += [has_byte.eq(1), byte.eq(short[:8])]
                with m.If(takes_byte):
                    m.d.sync += [short.eq(short[8:]), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.d.sync += left.eq(size - 1)
                        with m.If(ours):
                            m.next = "LOGITS" if classes else "VALUES"
                        with m.Else():
                            m.next = "IDLE"
            if classes:
                with m.State("LOGITS"):
                    m.d.sync += last_index.eq(index == classes - 1)
                    m.d.comb += [
                        has_byte.eq(1),
                        byte.eq(logit.word_select((size - 1 - left)[: exact_log2(size)], 8)),
                    ]
                    with m.If(takes_byte):
                        m.d.sync += left.eq(left - 1)
                        with m.If(left == 0):
                            m.d.sync += [left.eq(size - 1), index.eq(index + 1)]
                            with m.If(last_index):
                                m.d.sync += takes.eq(1)
                                m.next = "IDLE"
            else:
                with m.State("VALUES"):
                    m.d.comb += [has_byte.eq(self.result.valid), byte.eq(self.result.payload.data)]
                    with m.If(takes_byte):
                        m.d.comb += self.result.ready.eq(1)
                        with m.If(self.result.payload.last):
                            m.d.sync += takes.eq(1)
                            m.next = "IDLE"
            with m.State("IDENTITY"):
                m.d.sync += last_index.eq(index == len(self.description) - 1)
                m.d.comb += [has_byte.eq(1), byte.eq(rom.data)]
                with m.If(takes_byte):
                    m.d.sync += index.eq(index + 1)
                    with m.If(last_index):
                        m.next = "IDLE"
        return m

    def logit(self, m: Module, index: Signal) -> Signal:
        """The logit of a number, a few cycles later: a byte waits for it as it does for the ROM.

        Bytes are selected from an unsigned value. Of a signed one yosys 0.70 loses the sign: `wreduce` takes
        its copies away, and `peepopt`, which makes multiplexers of shifts, does not put them back.
        """
        elements = self.answer["logits"].shape
        classes = elements.length
        logit = Signal(8 * self.identity.output_bytes)
        # a tree of multiplexers, where a number of bits times their number would be a multiplier; registers
        # stand behind it and within it
        bits = (classes - 1).bit_length()
        places = [self.result.payload.logits[n] if n < classes else 0 for n in range(1 << bits)]
        for level, bit in enumerate(index[:bits]):
            places = [Mux(bit, *pair) for pair in zip(places[1::2], places[::2])]
            if level == 1 and bits > 2:
                near = [
                    Signal(elements.elem_shape, name=f"near{n}", reset_less=True)
                    for n in range(-(-classes // 4))
                ]
                m.d.sync += [register.eq(place) for register, place in zip(near, places)]
                places = near + places[len(near) :]
        selected = Signal(elements.elem_shape, reset_less=True)
        m.d.comb += logit.eq(selected)
        m.d.sync += selected.eq(places[0])
        return logit
