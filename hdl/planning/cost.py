"""What a plan costs in cycles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdl.folding.lanes import pooled
from hdl.folding.layer import Folding
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import StagePlan, pixels_in
from hdl.parts.window import coupled, pace
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.layers import ConvSpec, PoolSpec, ReduceSpec


@dataclass(frozen=True)
class StageCost:
    """What a layer takes.

    Attributes
    ----------
    name, kind : str
    macs : int
        Products a frame.
    multipliers : int
    cycles : int
        Initiation interval of the stage alone, cycles a frame.
    bound_cycles : int
        The least that so many multipliers could take; of a stage without multipliers, its beats.
    """

    name: str
    kind: str
    macs: int
    multipliers: int
    cycles: int
    bound_cycles: int


def beats_of(spec: Spec, lanes: int, pixels: int = 1) -> int:
    """Cycles a frame in which a layer takes its input, fed with beats of `lanes` values.

    The window of a convolution takes so many `pixels` at a time.
    """
    height, width, channels = spec.in_shape
    beats = height * width * channels // lanes
    if isinstance(spec, ConvSpec):
        # The window slides by whole pixels.
        lines, slide = pace(spec.in_shape, spec.geometry, pixels)
        return max(beats + lines - height * width // pixels, lines, slide)
    if isinstance(spec, (PoolSpec, ReduceSpec)):
        taken, _ = pooled(spec, lanes)
        if taken > channels:
            return max(beats, *pace(spec.in_shape, spec.geometry, taken // channels))
        return max(beats, coupled(spec.in_shape, spec.geometry) * channels // taken)
    return beats


def cycles_of(spec: Spec, stage: StagePlan | None, lanes: int) -> int:
    """Initiation interval of one layer alone, fed with beats of `lanes` values, cycles a frame."""
    if stage is None:
        return beats_of(spec, lanes)
    pixels = pixels_in(spec, stage) if isinstance(spec, ConvSpec) else 1
    return max(beats_of(spec, lanes, pixels), Folding(spec, stage).cycles)


def cost(net: QNetwork, plan: Plan) -> list[StageCost]:
    """Cycles of every layer under a plan."""
    plan.check(net)
    costs = []
    for spec, lanes in plan.placed(net.specs, plan.lanes_before(net)):
        stage = plan.stages.get(spec.name)
        macs = 0 if spec.branches else spec.macs
        cycles = cycles_of(spec, stage, lanes)
        if spec.branches:
            cycles = max(cycles, int(np.prod(spec.out_shape)) // plan.lanes_after(spec, lanes))
        multipliers = stage.multipliers if stage else 0
        bound = -(-macs // multipliers) if multipliers else cycles
        costs.append(StageCost(spec.name, spec.kind, macs, multipliers, cycles, bound))
    return costs


def bound_cycles(net: QNetwork, plan: Plan) -> int:
    """Fewest cycles a frame that the input's width and the plan's multipliers allow."""
    beats = int(np.prod(net.in_shape)) // plan.lanes_before(net)
    return max(beats, -(-net.macs // max(plan.multipliers, 1)))


def load_of(net: QNetwork, plan: Plan, names: list[str]) -> int:
    """Cycles a frame for which layers need the multipliers that they share.

    A window that takes one cycle is done as soon as it has slid in, and nothing else fills the gaps.
    """
    return sum(
        max(Folding(spec, plan.stages[spec.name]).cycles, slide_of(spec, plan.stages[spec.name]))
        for spec in weighted(net)
        if spec.name in names
    )


def slide_of(spec: WeightedSpec, stage: StagePlan) -> int:
    """Cycles a frame that a layer's windows take to slide in; none of a layer without."""
    if not isinstance(spec, ConvSpec):
        return 0
    return pace(spec.in_shape, spec.geometry, pixels_in(spec, stage))[1]


def planned_cycles(net: QNetwork, plan: Plan) -> int:
    """Initiation interval of the whole, cycles a frame: of its slowest layer, busiest array, or answer."""
    return max(
        answer_cycles(net),
        *(stage.cycles for stage in cost(net, plan)),
        *(load_of(net, plan, names) for names in plan.arrays),
    )


def answer_cycles(net: QNetwork) -> int:
    """Initiation interval of the search for the largest logit, see `hdl.stages.classify.Argmax`.

    Values that are the answer themselves leave as fast as the last layer gives them.
    """
    return net.outputs + 3 if net.classifies else 1
