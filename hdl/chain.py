"""Stream components one behind the other."""

from __future__ import annotations

from itertools import groupby, pairwise

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.pipe import Elastic, Pipe


class Chain(wiring.Component):
    """Connects parts in order; neighbouring pipes share one `Elastic`, so they cost one FIFO together.

    Parameters
    ----------
    parts : list of (str, Component)
        Names and components with streams ``i`` and ``o``; at least one.

    Members
    -------
    i, o : streams, of the first and last part
    """

    def __init__(self, parts: list[tuple[str, wiring.Component]]):
        self.stages = list(fused(parts))
        super().__init__(
            {
                "i": In(stream.Signature(self.stages[0][1].i.payload.shape())),
                "o": Out(stream.Signature(self.stages[-1][1].o.payload.shape())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for name, stage in self.stages:
            m.submodules[name] = stage
        for (_, before), (_, after) in pairwise(self.stages):
            wiring.connect(m, before.o, after.i)
        wiring.connect(m, wiring.flipped(self.i), self.stages[0][1].i)
        wiring.connect(m, self.stages[-1][1].o, wiring.flipped(self.o))
        return m


def fused(parts):
    """The parts, each run of pipes as one `Elastic`, with names that no two share."""
    used = {}
    for is_pipe, run in groupby(parts, lambda part: isinstance(part[1], Pipe)):
        run = list(run)
        stages = [(run[0][0], Elastic([pipe for _, pipe in run]))] if is_pipe else run
        for name, stage in stages:
            used[name] = used.get(name, 0) + 1
            yield f"{name}_{type(stage).__name__.lower()}_{used[name]}", stage
