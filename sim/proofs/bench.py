"""What stands around a stage while it is proved: an environment that may do anything it is allowed to, and
monitors that say what must always be true.

Inputs of a bench are free: the checker chooses them anew in every cycle, the reset too. A stream that feeds
the stage is made to keep the rules of streams by construction, not by assumptions, so no trace is lost by
mistake. Monitors are reset with the stage.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from unittest import mock

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Fragment, Module, Mux, Signal, Value

CONTRACT = "stream contract"
INDEPENDENT = "valid without ready"
COUNTERS = "counters in range"
FIFOS = "no overflow"
OUTPUTS = "outputs as the shapes say"
VALUES = "values"


class Ready(Elaboratable):
    """A fragment as a submodule."""

    def __init__(self, fragment: Fragment):
        self.fragment = fragment

    def elaborate(self, platform):
        return self.fragment


class Bench(Elaboratable):
    """A stage, its environment and its monitors.

    Parameters
    ----------
    dut : Elaboratable
        The stage.
    loose : sequence of str
        Names of counters that may leave their range where nobody looks.
    meets : bool
        Whether a memory may be read where it is written, since the word is not used.

    Attributes
    ----------
    m : Module
        Where monitors are put.
    always : dict of list of Value
        By property: what must be true in every cycle.
    apart : list of (Value, Value)
        Pairs of a free input and a value that no path without a register may join.
    """

    def __init__(self, dut, *, loose: Sequence[str] = (), meets: bool = False):
        self.dut, self.m = dut, Module()
        self.free: list[Signal] = []
        self.always: dict[str, list[Value]] = defaultdict(list)
        self.apart: list[tuple[Signal, Value]] = []
        with watched() as seen:
            fragment = Fragment.get(dut, None)
        self.ranges, self.parts = seen
        self.m.submodules.dut = Ready(fragment)
        for counter, size in self.ranges:
            if size != 1 << len(counter) and counter.name not in loose:
                self.hold(COUNTERS, counter < size)
        for part in self.parts:
            if type(part).__name__ == "Ram" and not meets:
                collides = part.write_en & part.read_en & (part.write_addr == part.read_addr)
                self.hold(FIFOS, ~collides)

    def elaborate(self, platform):
        return self.m

    def any(self, shape, name: str) -> Signal:
        """A value that is free in every cycle; of a range, what is in it."""
        signal = Signal(shape, name=f"{name}_{len(self.free)}")
        self.free.append(signal)
        if not isinstance(shape, range):
            return signal
        within = Signal(shape, name=f"{name}_within")
        self.m.d.comb += within.eq(Mux(signal < len(shape), signal, 0))
        return within

    def hold(self, name: str, condition: Value) -> None:
        """A property: the condition is true in every cycle."""
        self.always[name].append(Value.cast(condition).bool())

    def feed(self, stream, name: str = "feed") -> None:
        """Drive a stream with any beats at any time, within the rules."""
        m, payload = self.m, Value.cast(stream.payload)
        offers, drawn = self.any(1, f"{name}_offers"), self.any(len(payload), f"{name}_payload")
        waits, kept = Signal(name=f"{name}_waits"), Signal(len(payload), name=f"{name}_kept")
        m.d.comb += [stream.valid.eq(waits | offers), payload.eq(Mux(waits, kept, drawn))]
        m.d.sync += [waits.eq(stream.valid & ~stream.ready), kept.eq(payload)]

    def drain(self, stream, name: str = "drain", *, promised: bool = False) -> None:
        """Take a stream's beats at any time; its own side of the contract must hold.

        Parameters
        ----------
        stream : stream
        name : str
        promised : bool
            Whether `valid` may hang on `ready` all the same.
        """
        ready = self.any(1, f"{name}_ready")
        self.m.d.comb += stream.ready.eq(ready)
        self.obeys(stream, CONTRACT, name)
        if not promised:
            self.apart.append((ready, stream.valid))

    def obeys(self, stream, prop: str, name: str) -> None:
        """What waits in a stream stays, and stays the same."""
        payload = Value.cast(stream.payload)
        waited, before = Signal(name=f"{name}_waited"), Signal(len(payload), name=f"{name}_before")
        self.m.d.sync += [waited.eq(stream.valid & ~stream.ready), before.eq(payload)]
        self.hold(prop, ~waited | (stream.valid & (payload == before)))

    def no_overflow(self) -> None:
        """No FIFO within the stage is offered a beat that it has no room for."""
        for part in self.parts:
            if type(part).__name__ == "Buffer":
                self.hold(FIFOS, ~part.i.valid | part.room)

    def frames(
        self,
        i,
        o,
        count_in: int,
        count_out: int,
        relation: Callable[[list[Value], int, Value], Value],
        *,
        flight: int = 3,
        owed: Sequence[int] | None = None,
        settle: int = 0,
        held: bool = False,
        halts: Value | int = 0,
    ) -> None:
        """Every `count_in` beats in make `count_out` beats out, and these are what a relation says.

        One frame is chosen freely among all; its beats are noted as they go in, and what comes out in its
        place is compared.

        Parameters
        ----------
        i, o : streams
        count_in, count_out : int
        relation : callable
            The noted beats, the number of an output beat of the frame, and its payload; says whether it is
            right.
        flight : int
            Frames that may have begun to go in and not wholly come out.
        owed : sequence of int, optional
            Output beats that must have come once so many of a frame's beats are in; of all lengths less than
            `count_in`. By default none before the frame is in.
        settle : int
            Cycles without input, in which the output is taken, after which what is owed must have come; and
            cycles in which a beat waits and nothing moves. 0 leaves both out.
        held : bool
            Whether input may be taken only after the output that it makes (as a `Join` does).
        halts : Value
            The stage is told to wait: such cycles settle nothing.
        """
        m = self.m
        takes, gives = Signal(), Signal()
        place_in, place_out = Signal(range(count_in + 1)), Signal(range(count_out + 1))
        flying = Signal(range(flight + 1))
        begins, ends = Signal(), Signal()
        m.d.comb += [
            takes.eq(i.valid & i.ready),
            gives.eq(o.valid & o.ready),
            begins.eq(takes & (place_in == 0)),
            ends.eq(gives & (place_out == count_out - 1)),
        ]
        with m.If(takes):
            m.d.sync += place_in.eq(Mux(place_in == count_in - 1, 0, place_in + 1))
        with m.If(gives):
            m.d.sync += place_out.eq(Mux(place_out == count_out - 1, 0, place_out + 1))
        m.d.sync += flying.eq(flying + begins - ends)

        if not held:
            self.hold(OUTPUTS, ~o.valid | (flying != 0) | begins | (i.valid & (place_in == 0)))
        self.hold(OUTPUTS, (flying != flight) | ~begins | ends)
        if settle:
            owed = [0, *(owed or [0] * (count_in - 1))]
            quiet, stuck = Signal(range(settle + 1)), Signal(range(settle + 1))
            with m.If(i.valid | ~o.ready | halts):
                m.d.sync += quiet.eq(0)
            with m.Elif(quiet != settle):
                m.d.sync += quiet.eq(quiet + 1)
            with m.If(takes | gives | ~i.valid | ~o.ready | halts):
                m.d.sync += stuck.eq(0)
            with m.Elif(stuck != settle):
                m.d.sync += stuck.eq(stuck + 1)
            due, open_ = Signal(range(count_out + 1)), Signal()
            with m.Switch(place_in):
                for place, count in enumerate(owed):
                    with m.Case(place):
                        m.d.comb += [due.eq(count % count_out), open_.eq(place > 0 and count < count_out)]
            settled = ~o.valid & (place_out == due) & (flying == open_)
            self.hold(OUTPUTS, (quiet != settle) | settled)
            self.hold(OUTPUTS, stuck != settle)

        picks, chosen, now = self.any(1, "picks"), Signal(), Signal()
        noting, done, before = Signal(), Signal(), Signal(range(flight + 1))
        m.d.comb += now.eq(picks & begins & ~chosen)
        with m.If(now):
            m.d.sync += [chosen.eq(1), noting.eq(count_in > 1), before.eq(flying - ends)]
            if not held:
                # a stage without a register gives the beat in the cycle in which it takes it
                m.d.sync += done.eq(ends & (flying == 0))
        with m.Elif(chosen & ends):
            m.d.sync += [before.eq(Mux(before == 0, 0, before - 1)), done.eq(done | (before == 0))]
        with m.If(noting & takes & (place_in == count_in - 1)):
            m.d.sync += noting.eq(0)
        beats = []
        for place in range(count_in):
            noted, here = (
                Signal.like(Value.cast(i.payload), name=f"noted{place}"),
                Signal(name=f"here{place}"),
            )
            m.d.comb += here.eq(takes & (place_in == place) & (now | noting))
            with m.If(here):
                m.d.sync += noted.eq(Value.cast(i.payload))
            beats.append(Mux(here, Value.cast(i.payload), noted))
        ours = Signal()
        m.d.comb += ours.eq(gives & ~done & ((chosen & (before == 0)) | (now & (flying == 0))))
        for place in range(count_out):
            right = relation(beats, place, o.payload)
            self.hold(VALUES, ~(ours & (place_out == place)) | right)

    def pipe(self, dut, relation: Callable[[Value, Value], Value]) -> None:
        """A pipe's beats come out its latency later, and are what a relation of input and output says."""
        m = self.m
        valid, payload = self.any(1, "valid"), self.any(len(Value.cast(dut.i.payload)), "payload")
        m.d.comb += [dut.i.valid.eq(valid), Value.cast(dut.i.payload).eq(payload)]
        beat = dut.i.payload
        for cycle in range(dut.latency):
            later = Signal.like(dut.i.payload, name=f"payload_{cycle}")
            marked = Signal(name=f"valid_{cycle}")
            m.d.sync += [later.eq(beat), marked.eq(valid)]
            beat, valid = later, marked
        self.hold(OUTPUTS, dut.o.valid == valid)
        self.hold(VALUES, ~valid | relation(beat, dut.o.payload))

    def rtlil(self) -> str:
        """The bench in RTLIL; an output ``bad_N`` for each property, by their order, and the values of
        `apart` as ``apart_N``.
        """
        outputs = []
        for number, conditions in enumerate(self.always.values()):
            bad = Signal(name=f"bad_{number}")
            fails = Value.cast(0)
            for condition in conditions:
                fails = fails | ~condition
            self.m.d.comb += bad.eq(fails)
            outputs.append(bad)
        for number, (_, value) in enumerate(self.apart):
            probe = Signal(name=f"apart_{number}")
            self.m.d.comb += probe.eq(value)
            outputs.append(probe)
        return rtlil.convert(self, ports=[*self.free, *outputs], emit_src=False)


@contextlib.contextmanager
def watched():
    """Notes every signal that is made with a range for its shape, and every component that is elaborated.

    So a counter's size is what its stage said, and no list of counters can be out of date.
    """
    made, elaborated = [], []
    init, get = Signal.__init__, Fragment.get

    def noting(self, shape=None, **kwargs):
        kwargs["src_loc_at"] = kwargs.get("src_loc_at", 0) + 1
        init(self, shape, **kwargs)
        if isinstance(shape, range) and shape.start == 0 and shape.step == 1:
            made.append((self, len(shape)))

    def getting(obj, platform):
        if not isinstance(obj, (Fragment, Module)):
            elaborated.append(obj)
        return get(obj, platform)

    with (
        mock.patch.object(Signal, "__init__", noting),
        mock.patch.object(Fragment, "get", staticmethod(getting)),
    ):
        yield made, elaborated
