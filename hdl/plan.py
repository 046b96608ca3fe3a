"""What a plan costs in cycles, and the search for the best one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hdl.folding import Folding, Plan, StagePlan, weighted
from model.layers import ConvSpec, PoolSpec, ReduceSpec
from model.qchain import walk
from model.qnetwork import QNetwork
from model.spec import Spec, WeightedSpec

DEFAULT_MULTIPLIERS = 80
"""Multipliers of a plan where nobody says how many: half of a large board's, quick to place."""


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


def beats_of(spec: Spec, lanes: int) -> int:
    """Cycles a frame in which a layer takes its input, fed with beats of `lanes` values."""
    height, width, channels = spec.in_shape
    if isinstance(spec, (PoolSpec, ReduceSpec)):
        height, width = spec.geometry.padded(spec.in_shape)
    beats = height * width * channels // lanes
    if isinstance(spec, ConvSpec):
        # The window slides by whole pixels, over the padding as well.
        height, width = spec.geometry.padded(spec.in_shape)
        beats = max(beats, height * width)
    return beats


def cycles_of(spec: Spec, stage: StagePlan | None, lanes: int) -> int:
    """Initiation interval of one layer alone, fed with beats of `lanes` values, cycles a frame."""
    if stage is None:
        return beats_of(spec, lanes)
    positions = spec.out_shape[0] * spec.out_shape[1]
    return max(beats_of(spec, lanes), positions * Folding(spec, stage).steps)


def cost(net: QNetwork, plan: Plan) -> list[StageCost]:
    """Cycles of every layer under a plan."""
    plan.check(net)
    costs = []
    for spec, lanes in plan.placed(net.specs, net.in_shape[2]):
        stage = plan.stages.get(spec.name)
        macs = 0 if spec.branches else spec.macs
        cycles = cycles_of(spec, stage, lanes)
        if spec.branches:
            cycles = max(cycles, int(np.prod(spec.out_shape)) // plan.lanes_after(spec, lanes))
        multipliers = stage.input_lanes * stage.output_lanes if stage else 0
        bound = -(-macs // multipliers) if multipliers else cycles
        costs.append(StageCost(spec.name, spec.kind, macs, multipliers, cycles, bound))
    return costs


def bound_cycles(net: QNetwork, plan: Plan) -> int:
    """Fewest cycles a frame that the input's width and the plan's multipliers allow."""
    beats = net.in_shape[0] * net.in_shape[1]
    return max(beats, -(-net.macs // max(plan.multipliers, 1)))


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [n for n in range(1, number + 1) if number % n == 0]


def choices(spec: WeightedSpec) -> Iterator[StagePlan]:
    """Every legal `StagePlan` of a layer."""
    _, inputs, outputs = spec.matrices.shape
    for output_lanes in divisors(outputs):
        for input_lanes in divisors(inputs):
            yield StagePlan(input_lanes, output_lanes)


def search(net: QNetwork, multipliers: int = DEFAULT_MULTIPLIERS) -> Plan:
    """The plan with the fewest cycles a frame, then the fewest multipliers.

    Parameters
    ----------
    net : QNetwork
    multipliers : int
        Not to be exceeded.

    Raises
    ------
    ValueError
        If there are fewer multipliers than layers with weights.
    """
    layers = weighted(net)
    if multipliers < len(layers):
        raise ValueError(
            f"net {net.name!r} has {len(layers)} layers with weights and needs at least as many multipliers,"
            f" not {multipliers}"
        )
    table = {}
    for spec in layers:
        best = {}
        for stage in choices(spec):
            count = stage.input_lanes * stage.output_lanes
            # Wide sums before many of them: a sum costs an accumulator.
            key = (cycles_of(spec, stage, spec.in_shape[2]), -stage.input_lanes)
            if count <= multipliers and (count not in best or key < best[count][0]):
                best[count] = (key, stage)
        table[spec.name] = [(count, key[0], stage) for count, (key, stage) in sorted(best.items())]

    # No plan is faster than the layers take their pixels, so no multiplier is spent on more.
    floor = max(beats_of(spec, spec.in_shape[2]) for spec in walk(net.specs))
    targets = {max(cycles, floor) for options in table.values() for _, cycles, _ in options}
    for target in sorted(targets):
        picks = {
            name: next((option for option in options if option[1] <= target), None)
            for name, options in table.items()
        }
        if all(picks.values()) and sum(count for count, _, _ in picks.values()) <= multipliers:
            return Plan({name: stage for name, (_, _, stage) in picks.items()})
    return Plan.serial(net)


def default(net: QNetwork) -> Plan:
    """The plan that simulation and boards take if the user names none."""
    return search(net, max(DEFAULT_MULTIPLIERS, len(weighted(net))))
