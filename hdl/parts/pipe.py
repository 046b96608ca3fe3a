"""Fixed-latency pipelines, and the credits and FIFO that give them backpressure.

A `Pipe` never stalls: no ready signal runs against its data, so its clock is set by its arithmetic
alone. `Elastic` turns a run of pipes into a stream stage with full backpressure: it lets a beat in only if
the FIFO behind the pipes has room for what the beat yields.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import reduce
from itertools import pairwise

from amaranth.hdl import Format, Module, Mux, ShapeLike, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.parts.buffer import Buffer
from hdl.parts.counting import counted_down, counted_up, counter
from model.arithmetic.qformat import QFormat

UNSEEN = ContextVar("unseen", default=False)
"""Whether signals are made that nobody will look at: then it is not described how their lanes are shown."""


class Lanes(data.ArrayLayout):
    """Values side by side. Of wide signals most time would go into how a simulator shows each lane."""

    def format(self, value, format_spec):
        return Format("{}", Value.cast(value)) if UNSEEN.get() else super().format(value, format_spec)


def lanes_of(fmt: QFormat, lanes: int) -> data.ArrayLayout:
    """Payload of a beat: `lanes` values of a format."""
    return Lanes(shape_of(fmt), lanes)


def shape_of(fmt: QFormat):
    """Amaranth shape of one value of a format."""
    return signed(fmt.width) if fmt.signed else unsigned(fmt.width)


def delayed(m: Module, value, cycles: int, name: str, *, reset_less: bool = True):
    """A value `cycles` clock cycles later.

    Registers of data need no reset; give ``reset_less=False`` for valid bits.
    """
    for index in range(cycles):
        later = Signal.like(value, name=f"{name}_{index + 1}", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value


def looked_up(m: Module, beats) -> tuple[Signal, Signal, Signal, Signal]:
    """Whether there is a beat, and the beat, when a memory is asked for its word; both when that is there.

    That is one and two cycles later: what lets a beat in moves counters, and the memory stands elsewhere.
    """
    sought = delayed(m, beats.valid, 1, "sought", reset_less=False)
    there = delayed(m, beats.payload, 1, "there")
    read = delayed(m, sought, 1, "read", reset_less=False)
    return sought, there, read, delayed(m, there, 1, "place")


FAN = 128
"""Registers that one enable loads: a net that goes to more of them is far-flung and slow."""


def shares(width: int, copies: int = 1) -> list[slice]:
    """A word, each bit of which has so many registers, in parts with enables of their own.

    The copies of an enable must not follow from the same signals alone, or synthesis merges them: each
    follows from itself too.
    """
    size = max(FAN // copies, 1)
    return [slice(start, min(start + size, width)) for start in range(0, width, size)]


def tree(m: Module, values: list, combine, name: str) -> tuple:
    """Reduce values pairwise, a register after each level.

    Parameters
    ----------
    m : Module
    values : list of Value
    combine : callable
        Two values to one.
    name : str

    Returns
    -------
    (Value, int)
        The result and its latency in cycles, ``tree_latency(len(values))``.
    """
    level = 0
    while len(values) > 1:
        above = []
        for index in range(0, len(values), 2):
            pair = values[index : index + 2]
            combined = reduce(combine, pair)
            register = Signal(
                Value.cast(combined).shape(), name=f"{name}_{level}_{index // 2}", reset_less=True
            )
            m.d.sync += register.eq(combined)
            above.append(register)
        values, level = above, level + 1
    return values[0], level


def tree_latency(count: int) -> int:
    """Cycles of a `tree` over `count` values: ceil(log2(count))."""
    return (count - 1).bit_length()


class Pipe(wiring.Component):
    """Base of the fixed-latency pipelines.

    Parameters
    ----------
    in_shape, out_shape : ShapeLike
        Payloads.
    latency : int
        Cycles from a beat to what it yields; one beat a cycle, always.

    Members
    -------
    i : stream, in, always ready
    o : stream, out, always ready
    """

    def __init__(self, in_shape: ShapeLike, out_shape: ShapeLike, latency: int):
        self.in_shape, self.out_shape, self.latency = in_shape, out_shape, latency
        super().__init__(
            {
                "i": In(stream.Signature(in_shape, always_ready=True)),
                "o": Out(stream.Signature(out_shape, always_ready=True)),
            }
        )


class Front(wiring.Component):
    """Base of what stands before the pipes of an `Elastic` and decides when a beat may enter.

    Parameters
    ----------
    in_shape, out_shape : ShapeLike
        Payloads.
    burst : int
        Beats that one spending of credits will bring out of the pipes.
    steps : int
        Cycles that an input beat occupies the pipes.

    Members
    -------
    i : stream, in
    o : stream, out, always ready
    room : in
        The FIFO has room for a burst; not in the first cycle after a reset.
    spend : out
        The beat accepted in this cycle will bring a burst out.
    """

    def __init__(self, in_shape: ShapeLike, out_shape: ShapeLike, burst: int = 1, steps: int = 1):
        self.in_shape, self.burst, self.steps = in_shape, burst, steps
        super().__init__(
            {
                "i": In(stream.Signature(in_shape)),
                "o": Out(stream.Signature(out_shape, always_ready=True)),
                "room": In(1),
                "spend": Out(1),
            }
        )

    def begun(self, m: Module) -> Signal:
        """Whether the first cycle after a reset is over: in that one a front may count a place ahead.

        It follows from `room`. Of registers that are only set, synthesis would make one for all fronts, and
        placement would pull them together.
        """
        begun = Signal()
        m.d.sync += begun.eq(begun | ~self.room)
        return begun


class Door(Front):
    """Lets a beat in whenever there is room; each brings one out."""

    def __init__(self, shape: ShapeLike):
        super().__init__(shape, shape)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.i.ready.eq(self.room),
            self.o.valid.eq(self.i.valid & self.room),
            self.o.payload.eq(self.i.payload),
            self.spend.eq(self.o.valid),
        ]
        return m


class Elastic(wiring.Component):
    """A run of pipes with backpressure.

    Latency: the pipes' and the FIFO's. Throughput: the front's.

    Parameters
    ----------
    pipes : list of Pipe
        In order.
    device : Device
    front : Front, optional
        By default a `Door`.

    Members
    -------
    i, o : streams, in and out
    """

    def __init__(self, pipes: list[Pipe], device: Device, front: Front | None = None):
        self.pipes, self.device = pipes, device
        self.front = front or Door(pipes[0].in_shape)
        self.latency = sum(pipe.latency for pipe in pipes) + Buffer.latency
        # Bursts under way while the first one's credits come back.
        bursts = 1 + -(-(self.latency + 5) // self.front.steps)
        self.depth = 1 << (self.front.burst * bursts - 1).bit_length()
        super().__init__(
            {
                "i": In(stream.Signature(self.front.in_shape)),
                "o": Out(stream.Signature(pipes[-1].out_shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.front = front = self.front
        for index, pipe in enumerate(self.pipes):
            m.submodules[f"pipe{index}"] = pipe
        for before, after in pairwise([front, *self.pipes]):
            wiring.connect(m, before.o, after.i)
        last = self.pipes[-1]
        m.submodules.fifo = queue = Buffer(last.o.payload.shape(), self.depth, self.device, sure=True)
        wiring.connect(m, wiring.flipped(self.i), front.i)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        m.d.comb += [queue.i.valid.eq(last.o.valid), queue.i.payload.eq(last.o.payload)]

        # A credit is a burst. Room is a register of its own, and credits come back two cycles late: no
        # counter stands between two stages' ready signals, nor near what takes from the FIFO. What is left
        # is compared before it is known whether one is spent.
        most = self.depth // front.burst
        credits = Signal(range(most + 1), init=most)
        room, leaves, gone = Signal(), Signal(), Signal()
        _, ends = counter(m, "leaving", front.burst, leaves)

        def enough(count: int) -> Value:
            return (credits >= count) | (gone & (credits == count - 1))

        m.d.comb += front.room.eq(room)
        m.d.sync += [
            leaves.eq(self.o.valid & self.o.ready),
            gone.eq(leaves & ends),
            room.eq(Mux(front.spend, enough(2), enough(1))),
        ]
        with m.If(front.spend != gone):
            m.d.sync += credits.eq(Mux(gone, counted_up(credits), counted_down(credits)))
        return m
