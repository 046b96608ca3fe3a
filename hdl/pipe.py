"""Fixed-latency pipelines, and the credits and FIFO that give them backpressure.

A `Pipe` never stalls: no ready signal runs against its data, so its clock is set by its arithmetic
alone. `Elastic` turns a run of pipes into a stream stage with full backpressure: it lets a beat in only if
the FIFO behind the pipes has room for what the beat yields.
"""

from __future__ import annotations

from functools import reduce

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value, signed, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from model.qformat import QFormat


def lanes_of(fmt: QFormat, lanes: int) -> data.ArrayLayout:
    """Payload of a beat: `lanes` values of a format."""
    return data.ArrayLayout(shape_of(fmt), lanes)


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

    def yields(self, payload):
        """Whether this input beat makes an output beat (1 bit); by default each does."""
        return 1


class Elastic(wiring.Component):
    """A run of pipes with backpressure.

    Latency: the pipes' and two cycles of the FIFO. Throughput: one beat a cycle.

    Parameters
    ----------
    pipes : list of Pipe
        In order; only the first may yield fewer beats than it takes.
    depth : int, optional
        Entries of the FIFO behind the pipes; by default as many as keep one beat a cycle flowing.

    Members
    -------
    i, o : streams, in and out
    """

    def __init__(self, pipes: list[Pipe], depth: int | None = None):
        self.pipes = pipes
        self.latency = sum(pipe.latency for pipe in pipes) + 2
        # One entry sits in the FIFO's output register, so that a power of two remains for its memory.
        enough = 1 << (self.latency + 1).bit_length()
        self.depth = (enough if depth is None else depth) + 1
        super().__init__(
            {
                "i": In(stream.Signature(pipes[0].in_shape)),
                "o": Out(stream.Signature(pipes[-1].out_shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for index, pipe in enumerate(self.pipes):
            m.submodules[f"pipe{index}"] = pipe
        for before, after in zip(self.pipes, self.pipes[1:]):
            wiring.connect(m, before.o, after.i)
        first, last = self.pipes[0], self.pipes[-1]
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(
            width=len(Value.cast(last.o.payload)), depth=self.depth
        )

        credits = Signal(range(self.depth + 1), init=self.depth)
        room = Signal()
        accepted, taken = Signal(), Signal()
        spent = Signal()
        m.d.comb += [
            room.eq(credits != 0),
            self.i.ready.eq(room),
            accepted.eq(self.i.valid & room),
            first.i.valid.eq(accepted),
            first.i.payload.eq(self.i.payload),
            spent.eq(accepted & first.yields(self.i.payload)),
            taken.eq(self.o.valid & self.o.ready),
            queue.w_en.eq(last.o.valid),
            queue.w_data.eq(Value.cast(last.o.payload)),
            self.o.valid.eq(queue.r_rdy),
            Value.cast(self.o.payload).eq(queue.r_data),
            queue.r_en.eq(self.o.ready),
        ]
        m.d.sync += credits.eq(credits + Mux(spent == taken, 0, Mux(spent, -1, 1)))
        return m
