"""Weights that are written at run time: what of a net they are, where each goes, which sets a core takes.

A core with loadable weights is sized by the formats of its net, not by the weights that it begins with. So
any net of the same shapes and formats runs on it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import pairwise

import numpy as np
from amaranth.hdl import Module, Signal, Value

from hdl.devices.device import Device
from hdl.folding.layer import SHIFT_WIDTH, LoadableFolding, packed
from hdl.folding.net import Plan, weighted
from hdl.loadable.loadrom import LINK, LoadRom, Share
from hdl.parts.memory import Rom
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.layers.table import TableSpec

LAYOUT_BYTES = 8
"""Length of a `layout`."""
CRC_BYTES = 4
"""Length of the checksum at a set's end."""


@dataclass(frozen=True, eq=False)
class Loads:
    """The memories of a core with loadable weights, in the order of the chain.

    Parameters
    ----------
    shares : dict of Share
        By their names.
    links : dict of (Signal, Signal)
        What comes to each memory along the chain, and what it passes on.
    foldings : dict of LoadableFolding
        Of the layers with weights.
    """

    shares: dict[str, Share]
    links: dict[str, tuple[Signal, Signal]]
    foldings: dict[str, LoadableFolding]

    @classmethod
    def of(cls, net: QNetwork, plan: Plan) -> Loads:
        """The memories of a net, as `sized` returns it, under a loadable plan."""
        foldings = {spec.name: plan.folding(spec) for spec in weighted(net)}
        shares = {share.name: share for spec in walk(net.specs) for share in shares_of(spec, foldings)}
        wires = [Signal(LINK, name=f"link{index}") for index in range(len(shares) + 1)]
        return cls(shares, dict(zip(shares, pairwise(wires))), foldings)

    @property
    def first(self) -> Signal:
        """Where the chain begins."""
        return next(iter(self.links.values()))[0]

    @property
    def length(self) -> int:
        """Bytes of all memories."""
        return sum(share.length for share in self.shares.values())

    @property
    def latency(self) -> int:
        """Cycles until the last byte of a set is where it belongs."""
        return sum(share.latency for share in self.shares.values())

    def rom(self, m: Module, name: str, device: Device, copies: int = 1) -> LoadRom:
        """A memory, made a submodule and part of the chain."""
        rom = LoadRom(self.shares[name], device, copies)
        m.submodules[name.rpartition(".")[2]] = rom
        before, after = self.links[name]
        m.d.comb += [rom.i.eq(before), after.eq(rom.o)]
        return rom

    def encode(self, layout: bytes) -> bytes:
        """The set of weights that the memories begin with."""
        content = layout + b"".join(share.encode() for share in self.shares.values())
        return content + zlib.crc32(content).to_bytes(CRC_BYTES, "little")


def memory(
    m: Module,
    name: str,
    width: int,
    words: Sequence[int],
    addr: Value,
    device: Device,
    loads: Loads | None,
) -> Value:
    """The word at an address, two cycles later: of a `Rom`, or of the memory of that name in `loads`."""
    if loads is not None:
        rom = loads.rom(m, name, device)
        m.d.comb += rom.addr[0].eq(addr)
        return rom.data[0]
    m.submodules[name.rpartition(".")[2]] = rom = Rom(width, words, device)
    m.d.comb += rom.addr.eq(addr)
    return rom.data


def shares_of(spec: Spec, foldings: dict[str, LoadableFolding]) -> list[Share]:
    """The memories of a layer."""
    if isinstance(spec, TableSpec):
        words = [packed(entry, spec.dst.width) for entry in spec.table[:, None]]
        return [Share(f"{spec.name}.table", spec.dst.width, tuple(words))]
    if not isinstance(spec, WeightedSpec):
        return []
    folding = foldings[spec.name]
    lanes, outputs = folding.plan.input_lanes, folding.plan.output_lanes
    contents = [
        ("weights", spec.weight_format.width * lanes * outputs, folding.weight_words()),
        ("bias", folding.accumulator.width * folding.seed_lanes, folding.bias_words()),
    ]
    if folding.aligns:
        contents.append(("shifts", SHIFT_WIDTH * outputs, folding.shift_words()))
    return [Share(f"{spec.name}.{what}", width, tuple(words)) for what, width, words in contents]


def sized(net: QNetwork, plan: Plan) -> QNetwork:
    """The same net as a core with loadable weights computes it; every integer between its layers stays.

    Weights of fewer fraction bits than the plan's get shifts that make up for them. Logits are as wide as any
    set of weights may make them, where they are not rounded.
    """
    if not plan.loadable:
        return net
    last = net.specs[-1]
    exact = isinstance(last, WeightedSpec) and last.dst == last.accumulator
    specs = levelled(net.specs, plan)
    if exact:
        specs = (*specs[:-1], replace(specs[-1], dst=plan.folding(specs[-1]).aligned))
    return replace(net, specs=specs)


def levelled(chain: tuple[Spec, ...], plan: Plan) -> tuple[Spec, ...]:
    """The layers with the fraction bits of weights that the plan names."""
    made = []
    for spec in chain:
        if spec.branches:
            body, shortcut = (levelled(branch, plan) for branch in spec.branches)
            spec = replace(spec, body=body, shortcut=shortcut)
        elif spec.name in plan.fracs:
            fmt = replace(spec.weight_format, frac=plan.fracs[spec.name])
            more = fmt.frac - spec.weight_format.frac
            if spec.shifts.min() + more < 0:
                spec.fail(
                    f"weights of {spec.weight_format.frac} fraction bits are finer than the core's {fmt.frac}"
                )
            spec = replace(spec, weight_format=fmt, shifts=spec.shifts + more)
        made.append(spec)
    return tuple(made)


def comparable(net: QNetwork, plan: Plan) -> QNetwork:
    """A `sized` net without the fraction bits of logits that are not rounded: they are but a label."""
    net = sized(net, plan)
    last = net.specs[-1]
    if not isinstance(last, WeightedSpec) or last.dst != plan.folding(last).aligned:
        return net
    fmt = replace(last.weight_format, frac=0)
    dst = replace(last.dst, frac=last.src.frac)
    return replace(net, specs=(*net.specs[:-1], replace(last, weight_format=fmt, dst=dst)))


def weight_set(net: QNetwork, plan: Plan) -> bytes:
    """The weights of a net as a core with loadable weights takes them.

    Parameters
    ----------
    net : QNetwork
    plan : Plan
        The core's.

    Returns
    -------
    bytes
        The core's `layout`, the contents of all memories, and their CRC-32 (of zlib).

    Raises
    ------
    ValueError
        If the plan is not loadable, or the net has a bias or a shift that loadable memories have no room for.
    """
    if not plan.loadable:
        raise ValueError("the plan's weights are fixed: build with --weights loadable")
    plan.check(net)
    return Loads.of(sized(net, plan), plan).encode(layout(net, plan))


def layout(net: QNetwork, plan: Plan) -> bytes:
    """8 bytes that two nets share if and only if one core can run both."""
    net = comparable(net, plan)
    layers = [plain(spec) for spec in net.specs]
    stages = {
        name: [stage.input_lanes, stage.output_lanes, *([stage.pixel_lanes] if stage.pixel_lanes > 1 else [])]
        for name, stage in plan.stages.items()
    }
    text = json.dumps([asdict(net.input_format), layers, plan.weights, plan.fracs, stages], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()[:LAYOUT_BYTES]


def check_compatible(core: QNetwork, net: QNetwork, plan: Plan) -> None:
    """Raise a ValueError, naming the layer, if a core cannot be loaded with the weights of a net.

    Shapes, formats, geometry and the constants of layers without weights must be the same. Weights, biases,
    shifts and the entries of tables may be any that `LoadableFolding` has room for, and weights may have
    other fraction bits where the plan says how many.

    Parameters
    ----------
    core : QNetwork
        What the core was built from.
    net : QNetwork
    plan : Plan
        The core's.
    """
    core, net = comparable(core, plan), comparable(net, plan)
    if core.input_format != net.input_format:
        raise ValueError(f"net {net.name!r} takes {net.input_format} pixels, the core {core.input_format}")
    for ours, theirs in zip(walk(core.specs), walk(net.specs)):
        if (ours.kind, ours.name) != (theirs.kind, theirs.name):
            theirs.fail(f"the core has {ours.kind} {ours.name!r} in place of this {theirs.kind}")
        for name, value in constants(ours, deep=False).items():
            other = constants(theirs, deep=False).get(name, ours.later.get(name))
            if plain(other) != plain(value):
                theirs.fail(f"its {name} is {brief(other)}, the core's {brief(value)}")
    plan.check(net)
    if layout(core, plan) != layout(net, plan):
        raise ValueError(f"the layers of net {net.name!r} are put together otherwise than the core's")


def brief(value) -> str:
    """A field, short enough for a line."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def constants(spec: Spec, *, deep: bool = True) -> dict:
    """The fields of a layer that no set of weights changes, those of its branches only if `deep`."""
    left_out = set()
    if isinstance(spec, WeightedSpec):
        left_out = {"weights", "bias", "shifts"}
    elif isinstance(spec, TableSpec):
        left_out = {"table", "function"}
    elif not deep:
        left_out = {name for name in vars(spec) if getattr(spec, name) in spec.branches}
    found = {name: value for name, value in spec.fields.items() if name not in left_out}
    if isinstance(spec, WeightedSpec):
        found |= {f"shape of {name}": getattr(spec, name).shape for name in ("weights", "bias")}
    return found


def plain(value):
    """A field as JSON has it."""
    if isinstance(value, np.ndarray):
        return [list(value.shape), value.ravel().tolist()]
    if isinstance(value, Spec):
        return [value.kind, {name: plain(part) for name, part in constants(value).items()}]
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return asdict(value) if is_dataclass(value) else value
