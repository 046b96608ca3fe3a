"""Stream components one behind the other."""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum
from itertools import pairwise

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.parts.pipe import Elastic, Front, Pipe


class NoLayer(Enum):
    """Base of what parts are called that belong to no layer, even if a layer's name reads the same."""

    def __str__(self) -> str:
        return self.value


class Chain(wiring.Component):
    """Connects parts in order; neighbouring pipes share one `Elastic`, so they cost one FIFO together.

    Parameters
    ----------
    parts : list of (str or NoLayer, Component)
        Names of layers and components with streams ``i`` and ``o``; at least one.
    device : Device

    Attributes
    ----------
    stages : list of (str, Component)
        What is built, with names no two share.
    layers : list of str or NoLayer
        What each stage's first part was called.

    Members
    -------
    i, o : streams, of the first and last part
    """

    def __init__(self, parts: list[tuple[str, wiring.Component]], device: Device):
        made = list(fused(parts, device))
        self.stages = [(name, part) for name, part, _ in made]
        self.layers = [layer for _, _, layer in made]
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


def fused(parts, device):
    """Name, stage and layer of parts, each run of pipes (and the front before it) as one `Elastic`."""
    stages = []
    for layer, part in parts:
        if isinstance(part, Front):
            stages.append((layer, "compute", part, []))
        elif isinstance(part, Pipe):
            if not stages or stages[-1][3] is None:
                stages.append((layer, "compute", None, []))
            stages[-1][3].append(part)
        else:
            stages.append((layer, type(part).__name__.lower(), part, None))
    used = Counter()
    for layer, what, part, pipes in stages:
        # Verilog takes letters, digits and underscores.
        name = re.sub(r"\W", "_", f"{layer}_{what}", flags=re.ASCII)
        used[name] += 1
        yield (
            name if used[name] == 1 else f"{name}_{used[name]}",
            part if pipes is None else Elastic(pipes, device, part),
            layer,
        )
