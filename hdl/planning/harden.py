"""Which layers need no multipliers: those whose shifts and additions, or tables of sums, cost less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.folding.layer import Folding
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import SERIAL, WIRED, StagePlan
from hdl.planning.estimate import counting, resources
from hdl.products.mac import MacPipe
from hdl.products.serial import SerialDots
from hdl.products.sharing import signed_digits
from hdl.products.wired import WiredPipe
from model.golden.qnetwork import QNetwork
from model.golden.spec import WeightedSpec

WORTH = 100
"""LUTs that a multiplier is worth; chips have some 500 for each of theirs."""
MOST = 17_500
"""LUTs that all products by constants together may take: nothing larger was seen routed; `lenet` at a
pixel a cycle has 17,238."""
LEAST = 3.4
"""LUTs of a signed power of two in the weights, at least; 3.5 to 6.5 were found."""


def all_lanes(spec: WeightedSpec) -> StagePlan:
    """The plan of a layer with hard-wired weights."""
    groups, inputs, outputs = spec.matrices.shape
    return StagePlan(inputs, groups * outputs, weights=WIRED)


def too_large(spec: WeightedSpec) -> bool:
    """Whether a layer has too many weights to hard-wire; no graph is needed to tell."""
    return LEAST * sum(len(signed_digits(weight)) for weight in spec.weights.ravel().tolist()) > MOST


@lru_cache(maxsize=256)
def wired_luts(spec: WeightedSpec, device: Device) -> int:
    """LUTs of a layer's sums with hard-wired weights."""
    with counting():
        return resources(WiredPipe(Folding(spec, all_lanes(spec)), device), device).luts(device)


@lru_cache(maxsize=256)
def cheaper(spec: WeightedSpec, device: Device) -> bool:
    """Whether the sums of a layer cost less with hard-wired weights than with all multipliers."""
    if too_large(spec) or wired_luts(spec, device) > MOST:
        return False
    with counting():
        plan = replace(all_lanes(spec), weights=None)
        multiplied = resources(MacPipe(Folding(spec, plan), device), device)
    return wired_luts(spec, device) <= multiplied.luts(device) + WORTH * multiplied.dsp


def hardened(net: QNetwork, plan: Plan, device: Device = ECP5) -> Plan:
    """The same plan, but that weights of layers with all lanes are hard-wired where that is cheaper."""
    stages = dict(plan.stages)
    for spec in weighted(net):
        wired = all_lanes(spec)
        if stages[spec.name] == replace(wired, weights=None) and cheaper(spec, device):
            stages[spec.name] = wired
    return replace(plan, stages=stages)


def wirable(net: QNetwork, device: Device, luts: int) -> Iterator[frozenset[str]]:
    """Layers to hard-wire, more and more of them, as far as so many LUTs go.

    First come those that save most work of multipliers for their LUTs.
    """
    found = []
    for spec in weighted(net):
        if not too_large(spec):
            found.append((wired_luts(spec, device), spec))
    names, total = frozenset(), 0
    for lut, spec in sorted(found, key=lambda pair: pair[0] / pair[1].macs):
        total += lut
        if total > min(luts, MOST):
            return
        names |= {spec.name}
        yield names


def serial_plan(spec: WeightedSpec, cycles: int) -> StagePlan | None:
    """The plan of a layer whose inputs come bit by bit, fast enough for a frame in so many cycles.

    None if there is none: a layer must have time for every bit of a position's inputs.
    """
    groups, inputs, outputs = spec.matrices.shape
    height, width, _ = spec.out_shape
    for lanes in range(1, outputs // spec.src.width + 1):
        if outputs % lanes == 0 and height * width * outputs // lanes <= cycles and groups == 1:
            return StagePlan(inputs, lanes, weights=SERIAL)
    return None


def serialised(net: QNetwork, plan: Plan, cycles: int, multipliers: int) -> Plan:
    """The same plan with layers bit by bit, those with most multipliers first, until these are enough."""
    stages = dict(plan.stages)
    for spec in sorted(weighted(net), key=lambda spec: -stages[spec.name].multipliers):
        own = stages[spec.name]
        left = sum(stage.multipliers for stage in stages.values() if not stage.weights)
        if left > multipliers and not own.weights and not own.array:
            stages[spec.name] = serial_plan(spec, cycles) or own
    return replace(plan, stages=stages)


def constant_luts(net: QNetwork, plan: Plan, device: Device) -> int:
    """LUTs of all products by constants that a plan has."""
    total = 0
    for spec in weighted(net):
        stage = plan.stages[spec.name]
        if stage.wired:
            total += wired_luts(spec, device)
        elif stage.serial:
            with counting():
                dots = SerialDots(spec.src, spec.matrices[0], stage.output_lanes)
                total += resources(dots, device).luts(device)
    return total
