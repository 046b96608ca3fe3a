"""Residual additions: a stream forks into two branches, and what they make is added value by value."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.folding.reach import depths
from hdl.parts.buffer import Buffer
from hdl.parts.chain import Chain, NoLayer
from hdl.parts.pipe import Pipe, delayed, lanes_of
from hdl.parts.repack import repack
from hdl.parts.rounding import RequantPipe
from model.layers.residual import ResidualSpec

Branch = tuple[list[tuple[str, wiring.Component]], int]
"""The parts of a branch with their layers' names, and the values in a beat behind them."""


class Joint(NoLayer):
    """What stands before and behind the branches of an addition."""

    AHEAD, OUT = "ahead", "out"


class Fork(wiring.Component):
    """Gives every beat to two streams, each of which takes it when it can.

    Latency: none. Throughput: one beat a cycle.

    Parameters
    ----------
    shape : ShapeLike
        Payload.

    Members
    -------
    i : stream, in
    body, shortcut : streams, out
    """

    def __init__(self, shape):
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "body": Out(stream.Signature(shape)),
                "shortcut": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        sides = {"body": self.body, "shortcut": self.shortcut}
        done = {name: Signal(name=f"{name}_done") for name in sides}
        served = {name: side.ready | done[name] for name, side in sides.items()}
        m.d.comb += self.i.ready.eq(served["body"] & served["shortcut"])
        for name, side in sides.items():
            m.d.comb += [side.payload.eq(self.i.payload), side.valid.eq(self.i.valid & ~done[name])]
            with m.If(self.i.valid):
                m.d.sync += done[name].eq(served[name] & ~self.i.ready)
        return m


class Join(wiring.Component):
    """Pairs the beats of two streams.

    Latency: none. Throughput: one beat a cycle.

    Parameters
    ----------
    shape : StructLayout
        `pair_layout`.

    Members
    -------
    body, shortcut : streams, in
    o : stream, out
    """

    def __init__(self, shape: data.StructLayout):
        super().__init__(
            {
                "body": In(stream.Signature(shape["body"].shape)),
                "shortcut": In(stream.Signature(shape["shortcut"].shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.o.payload.body.eq(self.body.payload),
            self.o.payload.shortcut.eq(self.shortcut.payload),
            self.o.valid.eq(self.body.valid & self.shortcut.valid),
            self.body.ready.eq(self.o.ready & self.shortcut.valid),
            self.shortcut.ready.eq(self.o.ready & self.body.valid),
        ]
        return m


def pair_layout(spec: ResidualSpec, lanes: int) -> data.StructLayout:
    """Payload of a `Join`: `lanes` values of each branch."""
    body, shortcut = (lanes_of(fmt, lanes) for fmt in spec.formats)
    return data.StructLayout({"body": body, "shortcut": shortcut})


class AddPipe(Pipe):
    """Adds the two values of every lane on the finer of their grids. Latency: 1 cycle.

    Parameters
    ----------
    spec : ResidualSpec
    lanes : int
    """

    def __init__(self, spec: ResidualSpec, lanes: int):
        self.spec, self.lanes = spec, lanes
        super().__init__(pair_layout(spec, lanes), lanes_of(spec.sum_format, lanes), 1)

    def elaborate(self, platform):
        m = Module()
        body, shortcut = self.spec.shifts
        for lane in range(self.lanes):
            m.d.sync += self.o.payload[lane].eq(
                self.i.payload.body[lane].shift_left(body)
                + self.i.payload.shortcut[lane].shift_left(shortcut)
            )
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, 1, "valid", reset_less=False))
        return m


class Branches(wiring.Component):
    """Both branches of an addition, from the fork to the join.

    Before each branch stands a FIFO that holds what the other branch is ahead by, so that neither waits
    for ever; its depth follows from the layers' windows (`hdl.folding.reach`).

    Parameters
    ----------
    spec : ResidualSpec
    branches : (Branch, Branch)
        Body and shortcut, fed with beats of `lanes` values.
    lanes : int
    device : Device

    Attributes
    ----------
    lanes : int
        Values of an output beat of each branch.

    Members
    -------
    i : stream of `lanes` values
    o : stream of `pair_layout`
    """

    def __init__(self, spec: ResidualSpec, branches: tuple[Branch, Branch], lanes: int, device: Device):
        beats = spec.in_shape[2] / lanes
        self.lanes = max(behind for _, behind in branches)
        shape = lanes_of(spec.src, lanes)
        self.fork, self.join = Fork(shape), Join(pair_layout(spec, self.lanes))
        self.chains = tuple(
            Chain(
                [
                    (Joint.AHEAD, Buffer(shape, max(int(pixels * beats), 2), device)),
                    *parts,
                    *((Joint.OUT, part) for part in repack(fmt, behind, self.lanes)),
                ],
                device,
            )
            for (parts, behind), fmt, pixels in zip(branches, spec.formats, depths(spec))
        )
        super().__init__({"i": In(self.fork.i.signature.flip()), "o": Out(self.join.o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fork, m.submodules.join = self.fork, self.join
        m.submodules.body, m.submodules.shortcut = self.chains
        for name, chain in zip(("body", "shortcut"), self.chains):
            wiring.connect(m, getattr(self.fork, name), chain.i)
            wiring.connect(m, chain.o, getattr(self.join, name))
        wiring.connect(m, wiring.flipped(self.i), self.fork.i)
        wiring.connect(m, self.join.o, wiring.flipped(self.o))
        return m


def residual_parts(
    spec: ResidualSpec, branches: tuple[Branch, Branch], lanes: int, device: Device
) -> list[wiring.Component]:
    """Stage of a `ResidualSpec`: beats of `lanes` values in, of as many as its wider branch gives out."""
    both = Branches(spec, branches, lanes, device)
    parts: list[wiring.Component] = [both, AddPipe(spec, both.lanes)]
    if spec.sum_format != spec.dst:
        parts.append(RequantPipe(spec.sum_format, spec.dst, both.lanes))
    return parts
