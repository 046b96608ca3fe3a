"""The whole accelerator: a quantised net and a plan, as one stream component."""

from __future__ import annotations

import math

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import PORTABLE, Device
from hdl.folding.net import Plan
from hdl.folding.reach import ahead_rows
from hdl.loadable.loader import BYTE, Loader
from hdl.loadable.loading import Loads, layout, sized
from hdl.parts.buffer import Buffer
from hdl.parts.chain import Chain, NoLayer
from hdl.parts.gate import FrameVerdict, Gate, Verdict, frame_layout
from hdl.parts.pipe import lanes_of
from hdl.parts.repack import repack
from hdl.products.gather import Gather
from hdl.products.share import Array, Client
from hdl.stages.classify import Argmax, answer_layout
from hdl.stages.conv import conv_parts
from hdl.stages.dense import dense_parts
from hdl.stages.grey import grey_parts
from hdl.stages.pool import pool_parts
from hdl.stages.reduce import reduce_parts
from hdl.stages.requant import requant_parts
from hdl.stages.rescale import rescale_parts
from hdl.stages.residual import Branch, residual_parts
from hdl.stages.table import table_parts
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec

PLANNED = {"conv": conv_parts, "dense": dense_parts}
FOLLOWING = {
    "grey": grey_parts,
    "reduce": reduce_parts,
    "pool": pool_parts,
    "requant": requant_parts,
    "rescale": rescale_parts,
}
LOADED = {"table": table_parts}
BRANCHING = {"residual": residual_parts}

REPORTED = ("whole", "foreign", "bad", "done")
"""What an accelerator with loadable weights tells of its `Loader`."""


class End(NoLayer):
    """What stands before the first layer and behind the last."""

    FRAME, LOGITS, ARGMAX = "frame", "logits", "argmax"


def chain_parts(
    specs: tuple[Spec, ...],
    plan: Plan,
    lanes: int,
    device: Device,
    clients: dict[str, Client],
    loads: Loads | None,
) -> Branch:
    """The parts of layers one behind the other, fed with beats of `lanes` values.

    Parameters
    ----------
    specs, plan, lanes, device
    clients : dict of Client
        Of the layers that share their multipliers, by their names.
    loads : Loads or None
        Memories of weights that are written at run time.

    Raises
    ------
    ValueError
        If the plan does not fit a layer.
    """
    parts: list[tuple[str, wiring.Component]] = []
    for spec in specs:
        if spec.kind in PLANNED:
            made = PLANNED[spec.kind](
                spec, plan.stages[spec.name], lanes, device, clients.get(spec.name), loads
            )
        elif spec.branches:
            if lanes > spec.in_shape[2]:
                parts += [(spec.name, part) for part in repack(spec.src, lanes, spec.in_shape[2])]
                lanes = spec.in_shape[2]
            branches = tuple(
                chain_parts(branch, plan, lanes, device, clients, loads) for branch in spec.branches
            )
            made = BRANCHING[spec.kind](spec, branches, lanes, device)
        elif spec.kind in LOADED:
            made = LOADED[spec.kind](spec, lanes, device, loads)
        else:
            made = FOLLOWING[spec.kind](spec, lanes, device)
        # A memory of windows is such a FIFO itself.
        if parts and isinstance(spec, WeightedSpec) and not any(isinstance(part, Gather) for part in made):
            made = [ahead(spec, lanes, device), *made]
        parts += [(spec.name, part) for part in made]
        lanes = plan.lanes_after(spec, lanes)
    return parts, lanes


def ahead(spec: WeightedSpec, lanes: int, device: Device) -> Buffer:
    """The FIFO in which the layers before work ahead while this one is still busy.

    Layers keep different hours: a convolution computes nothing while the rows of its first window come
    in, and takes none but a row at a time later. With as many rows of room as a window has, each runs
    at its own rate.
    """
    _, width, channels = spec.in_shape
    return Buffer(lanes_of(spec.src, lanes), max(ahead_rows(spec) * width * channels // lanes, 2), device)


class Accelerator(wiring.Component):
    """Classifies frames, or computes values of them.

    Parameters
    ----------
    net : QNetwork
    plan : Plan
    device : Device

    Members
    -------
    i : stream, in
        ``frame_layout``: `lanes` values of pixels in raster order, channels last, with marks on the first
        and last beat of a frame. A frame whose marks are wrong is dropped whole and counted.
    o : stream, out
        ``answer_layout``: one beat a frame, the class (the first of the largest logits) and all logits. Of
        a net that does not classify ``frame_layout``: the values of its output in raster order, channels
        last, with marks as those of the input.
    dropped : out, 16 bits
        Broken frames since reset, saturating.
    load, keep, whole, foreign, bad, done : only with loadable weights
        As those of `Loader`, `load` its `i`. While not `whole` no frame is taken.

    Attributes
    ----------
    lanes : int
        Values of an input beat: the channels of a pixel, or of several with pixel lanes.
    beats : int
        Input beats of a frame.
    out_lanes : int
        Values of an output beat of a net that does not classify.
    out_beats : int
        Output beats of a frame: one of a net that classifies.
    """

    def __init__(self, net: QNetwork, plan: Plan, device: Device = PORTABLE):
        plan.check(net)
        self.net, self.plan, self.device = sized(net, plan), plan, device
        net = self.net
        self.loads = Loads.of(net, plan) if plan.loadable else None
        self.lanes = plan.lanes_before(net)
        self.beats = math.prod(net.in_shape) // self.lanes
        self.out_lanes = plan.lanes_behind(net.specs, self.lanes)
        self.out_beats = 1 if net.classifies else net.outputs // self.out_lanes
        answer = (
            answer_layout(net.output_format, net.outputs)
            if net.classifies
            else frame_layout(net.output_format, self.out_lanes)
        )
        members = {
            "i": In(stream.Signature(frame_layout(net.input_format, self.lanes))),
            "o": Out(stream.Signature(answer)),
            "dropped": Out(16),
        }
        if self.loads is not None:
            members |= {"load": In(stream.Signature(BYTE)), "keep": In(1)}
            members |= {name: Out(1) for name in REPORTED}
        super().__init__(members)

    def parts(self) -> tuple[list[tuple[str | End, wiring.Component]], list[Array]]:
        """Every part between the gate and the verdict, with its layer's name or its end; and shared arrays.

        The first is a FIFO, so that the first layer's ready signal and the gate's begin at registers.
        """
        arrays = [Array(foldings, self.device) for foldings in self.plan.shared(self.net)]
        clients = {name: client for array in arrays for name, client in array.clients.items()}
        parts, lanes = chain_parts(self.net.specs, self.plan, self.lanes, self.device, clients, self.loads)
        fmt, classes = self.net.output_format, self.net.outputs
        parts = [
            (End.FRAME, Buffer(lanes_of(self.net.input_format, self.lanes), 2, self.device)),
            *parts,
        ]
        if self.net.classifies:
            parts += [(End.LOGITS, part) for part in repack(fmt, lanes, classes)]
            parts.append((End.ARGMAX, Argmax(fmt, classes)))
        return parts, arrays

    def verdict(self) -> Verdict | FrameVerdict:
        """What drops the answers to broken frames."""
        if self.net.classifies:
            return Verdict(self.o.payload.shape())
        return FrameVerdict(self.net.output_format, self.out_lanes, self.out_beats, self.device)

    def elaborate(self, platform):
        m = Module()
        loadable = self.loads is not None
        m.submodules.gate = gate = Gate(
            self.net.input_format, self.lanes, self.beats, self.device, holds=loadable
        )
        parts, arrays = self.parts()
        m.submodules.stages = stages = Chain(parts, self.device)
        for number, array in enumerate(arrays):
            m.submodules[f"array{number}"] = array
        if loadable:
            self.loading(m, gate)
        m.submodules.verdict = verdict = self.verdict()
        wiring.connect(m, wiring.flipped(self.i), gate.i)
        wiring.connect(m, gate.o, stages.i)
        wiring.connect(m, stages.o, verdict.i)
        wiring.connect(m, gate.verdict, verdict.verdict)
        wiring.connect(m, verdict.o, wiring.flipped(self.o))
        m.d.comb += self.dropped.eq(gate.dropped)
        return m

    def loading(self, m: Module, gate: Gate) -> None:
        """Adds the loader."""
        own = layout(self.net, self.plan)
        m.submodules.loader = loader = Loader(own, self.loads.length, self.loads.latency)
        wiring.connect(m, wiring.flipped(self.load), loader.i)
        m.d.comb += [
            loader.keep.eq(self.keep),
            loader.idle.eq(~gate.busy),
            gate.hold.eq(loader.hold),
            self.loads.first.eq(loader.link),
            *(getattr(self, name).eq(getattr(loader, name)) for name in REPORTED),
        ]
