"""A tiny core with the accelerator's interface, and a shell round it at the end of a serial line."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from boards.link.protocol import Decoder, Frame, Identity
from boards.shell.shell import Link, Shell
from boards.shell.uart import Baud
from hdl.parts.gate import frame_layout
from model.arithmetic.qformat import QFormat

CLOCK = 100e6
LINK = Link(Baud(CLOCK, 12_500_000), timeout=4e-6)
"""8 cycles a bit; 400 cycles of pause end a frame."""


class FakeCore(wiring.Component):
    """Logits that depend on every pixel and its place; each frame takes `delay` cycles more.

    Logit k is the sum of (value + k) * (beat number + 1) over lane k modulo lanes, the class its last pixel.
    It takes some `pixels` a beat.
    """

    def __init__(
        self, shape=(2, 3, 2), pixel=QFormat(8, 0, False), classes=3, width=24, delay=0, pixels=1  # noqa: B008
    ):  # fmt: skip
        self.shape, self.pixel, self.classes, self.width, self.delay = shape, pixel, classes, width, delay
        self.beats, self.lanes = shape[0] * shape[1] // pixels, shape[2] * pixels
        value = signed(pixel.width) if pixel.signed else unsigned(pixel.width)
        beat = data.StructLayout({"data": data.ArrayLayout(value, self.lanes), "first": 1, "last": 1})
        answer = data.StructLayout({"cls": 8, "logits": data.ArrayLayout(signed(width), classes)})
        super().__init__({"i": In(stream.Signature(beat)), "o": Out(stream.Signature(answer))})

    def elaborate(self, platform):
        m = Module()
        beat, pause, full = Signal(16), Signal(range(self.delay + 2)), Signal()
        place = Signal(16)
        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(full & (pause == 0)),
            place.eq(Mux(self.i.payload.first, 1, beat)),
        ]
        sums = [Signal(signed(self.width), name=f"sum{k}") for k in range(self.classes)]
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [beat.eq(place + 1), full.eq(self.i.payload.last), pause.eq(self.delay)]
            for k, total in enumerate(sums):
                value = self.i.payload.data[k % self.lanes] + k
                m.d.sync += total.eq(Mux(self.i.payload.first, 0, total) + value * place)
            m.d.sync += self.o.payload.cls.eq(self.i.payload.data[0])
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += full.eq(0)
        m.d.comb += [logit.eq(total) for logit, total in zip(self.o.payload.logits, sums)]
        return m

    def golden(self, image: np.ndarray) -> tuple[int, tuple[int, ...]]:
        """Class and logits of an image."""
        beats = np.asarray(image).reshape(self.beats, self.lanes)
        places = np.arange(1, self.beats + 1)
        logits = [int(((beats[:, k % self.lanes] + k) * places).sum()) for k in range(self.classes)]
        return int(beats[-1, 0]) & 255, tuple(logits)

    @property
    def identity(self) -> Identity:
        """What a shell round this core answers."""
        return identified(self, classes=self.classes, logit=QFormat(self.width, 0))


class FakeValues(wiring.Component):
    """Answers with values, and no class.

    Value n is the sum of the first lane's values, each times its beat's number, and 7 n.

    Parameters
    ----------
    fmt : QFormat
        Of a value, in which the sum wraps.
    lanes, out_beats : int
        Of the answer.
    delay : int
        Cycles from the last pixel on, for which an answer waits.
    """

    def __init__(self, fmt=QFormat(8, 0), lanes=1, out_beats=5, delay=0, shape=(2, 3, 2)):  # noqa: B008
        self.shape, self.fmt, self.out_lanes, self.out_beats = shape, fmt, lanes, out_beats
        self.pixel, self.beats, self.delay = QFormat(8, 0), shape[0] * shape[1], delay
        super().__init__(
            {
                "i": In(stream.Signature(frame_layout(self.pixel, shape[2]))),
                "o": Out(stream.Signature(frame_layout(fmt, lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat, place, pause = Signal(16), Signal(16), Signal(range(self.delay + 2))
        full, total, index = Signal(), Signal(signed(32)), Signal(range(self.out_beats))
        m.d.comb += [
            place.eq(Mux(self.i.payload.first, 1, beat)),
            self.i.ready.eq(~full),
            self.o.valid.eq(full & (pause == 0)),
            self.o.payload.first.eq(index == 0),
            self.o.payload.last.eq(index == self.out_beats - 1),
        ]
        m.d.comb += [
            value.eq(total + 7 * (index * self.out_lanes + lane))
            for lane, value in enumerate(self.o.payload.data)
        ]
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [beat.eq(place + 1), full.eq(self.i.payload.last), pause.eq(self.delay)]
            m.d.sync += total.eq(Mux(self.i.payload.first, 0, total) + self.i.payload.data[0] * place)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += index.eq(index + 1)
            with m.If(self.o.payload.last):
                m.d.sync += [index.eq(0), full.eq(0)]
        return m

    def golden(self, image: np.ndarray) -> tuple[None, tuple[int, ...]]:
        """No class, and the values of an image."""
        first = np.asarray(image).reshape(self.beats, -1)[:, 0]
        total = int((first * np.arange(1, self.beats + 1)).sum())
        values = total + 7 * np.arange(self.out_lanes * self.out_beats) - self.fmt.min
        return None, tuple((values % (1 << self.fmt.width) + self.fmt.min).tolist())

    @property
    def identity(self) -> Identity:
        """What a shell round this core answers."""
        return identified(self, classes=0, logit=self.fmt, values=(1, self.out_beats, self.out_lanes))


def identified(core, **answer) -> Identity:
    """The identity of a shell round a core; `answer` says what that answers."""
    return Identity(
        net="fake",
        board="test",
        shape=core.shape,
        pixel=core.pixel,
        clock_hz=int(CLOCK),
        build=bytes(8),
        bench=True,
        **answer,
    )


def converse(core, items, cycles_after: int = 4000, link: Link = LINK) -> tuple[list[Frame], int, int]:
    """Send bytes and pauses (whole numbers: clock cycles) to a shell.

    Returns
    -------
    (list of Frame, int, int)
        The answers, the bytes among them that were no frame, and the LEDs at the end.
    """
    shell = Shell(core, core.identity, link)
    bit = CLOCK / link.baud.rate
    decoder, frames = Decoder(), []

    async def send(ctx):
        await ctx.tick().repeat(10)
        for item in items:
            if isinstance(item, int):
                await ctx.tick().repeat(item)
                continue
            for byte in item:
                for level in (0, *((byte >> place) & 1 for place in range(8)), 1):
                    ctx.set(shell.rx, level)
                    await ctx.tick().repeat(round(bit))
        await ctx.tick().repeat(cycles_after)

    async def listen(ctx):
        while True:
            await ctx.changed(shell.tx)
            await ctx.tick().repeat(round(1.5 * bit))
            byte = 0
            for place in range(8):
                byte |= ctx.get(shell.tx) << place
                await ctx.tick().repeat(round(bit))
            assert ctx.get(shell.tx) == 1
            frames.extend(decoder.feed(bytes([byte])))

    simulator = Simulator(shell)
    simulator.add_clock(1 / CLOCK)
    simulator.add_testbench(send)
    simulator.add_testbench(listen, background=True)
    leds = []

    async def look(ctx):
        leds.append(ctx.get(shell.leds))
        async for (value,) in ctx.changed(shell.leds):
            leds.append(value)

    simulator.add_testbench(look, background=True)
    simulator.run()
    return frames, decoder.skipped, leds[-1]
