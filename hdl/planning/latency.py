"""When each layer is done with a frame, computed from the layers' windows and the plan's lanes."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import numpy as np

from hdl.folding.layer import Folding
from hdl.folding.net import Plan, weighted
from hdl.folding.reach import reach
from hdl.network import End
from hdl.planning.search import choices
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.layers import DenseSpec

LATE = 60
"""Cycles by which a computed latency may miss the measured one, whatever the plan."""
OWN, SHARED = 0.02, 0.2
"""Share of it by which it may do so, where layers have multipliers of their own, and where some share them:
in which order these take turns is not computed."""


class Timeline:
    """A frame on its way through an idle accelerator, a beat of pixels a cycle.

    Layers that wait because the FIFO behind them is full, and turns on shared multipliers, are left out,
    but for this: a layer is not done before its array has done all of the layers up to it.

    Parameters
    ----------
    net : QNetwork
    plan : Plan
    delays : dict of int
        Cycles from a value to what comes of it in a layer's pipelines and FIFOs, by the layer's name;
        `End.FRAME` is what stands before the first.

    Attributes
    ----------
    done : dict of int
        Cycle of each layer's last output; the frame's first pixel comes in cycle 0.
    """

    def __init__(self, net: QNetwork, plan: Plan, delays: dict[str | End, int]):
        self.plan, self.delays, self.done = plan, delays, {}
        self.busy = {}
        for foldings in plan.shared(net):
            self.busy |= dict(zip(foldings, accumulate(f.cycles for f in foldings.values())))
        height, width, channels = net.in_shape
        lanes = plan.lanes_before(net)
        beats = np.arange(height * width) // (lanes // channels)
        self.after(net.specs, beats + delays.get(End.FRAME, 0), lanes)

    def after(self, chain: tuple[Spec, ...], times: np.ndarray, lanes: int) -> np.ndarray:
        """When the pixels behind a chain come out, from when those before it come in; raster order."""
        for spec in chain:
            if spec.branches:
                times = np.maximum(*(self.after(branch, times, lanes) for branch in spec.branches))
            else:
                times = self.layer(spec, times, lanes)
            times = times + self.delays.get(spec.name, 0)
            lanes = self.plan.lanes_after(spec, lanes)
            self.done[spec.name] = int(times[-1])
        return times

    def layer(self, spec: Spec, times: np.ndarray, lanes: int) -> np.ndarray:
        """When the pixels behind one layer leave its arithmetic."""
        if isinstance(spec, DenseSpec):
            pixels = spec.in_shape[0] * spec.in_shape[1]
            times = paced(times, Folding(spec, self.plan.stages[spec.name]).steps / pixels)[-1:]
        else:
            needed = np.concatenate([[0], times])[reach(spec)]
            weighted = isinstance(spec, WeightedSpec)
            if weighted:
                stage = self.plan.stages[spec.name]
                steps, beat = Folding(spec, stage).steps, stage.pixel_lanes
            else:
                made = self.plan.lanes_after(spec, lanes)
                steps, beat = max(spec.in_shape[2] / made, 1), max(made // spec.out_shape[2], 1)
            # Pixels side by side wait for the last of them.
            times = np.repeat(paced(needed.reshape(-1, beat).max(axis=1), steps), beat)
        return times + max(self.busy.get(spec.name, 0) - times[-1], 0)


def tolerance(plan: Plan, latency: int) -> int:
    """Cycles by which a computed latency may miss the measured one, as tests of the shipped nets hold it."""
    shared = any(len(names) > 1 for names in plan.arrays)
    return max(LATE, round((SHARED if shared else OWN) * latency))


def paced(ready: np.ndarray, step: float) -> np.ndarray:
    """When jobs are done that take `step` cycles each, one after another, none before it is ready."""
    turns = np.arange(len(ready)) * step
    return np.maximum.accumulate(ready - turns) + turns + step


def quickened(net: QNetwork, plan: Plan, delays: dict[str | End, int], cycles: int, multipliers: int) -> Plan:
    """A plan with more lanes for the layers that a frame waits for most.

    Layers with multipliers of their own get more, one layer at a time, each time where a cycle is cheapest;
    those without any stay as they are.

    Parameters
    ----------
    net, plan, delays
        As of a `Timeline`.
    cycles : int
        From the first pixel to the last layer's last output.
    multipliers : int
        Not to be exceeded.

    Raises
    ------
    ValueError
        If that is not enough.
    """
    last = net.specs[-1].name
    own = [
        spec for spec in weighted(net) if [spec.name] in plan.arrays and not plan.stages[spec.name].weights
    ]
    while (now := Timeline(net, plan, delays).done[last]) > cycles:
        best, left = None, multipliers - plan.real_multipliers
        for spec in own:
            for stage in choices(spec):
                more = stage.multipliers - plan.stages[spec.name].multipliers
                if not 0 < more <= left:
                    continue
                tried = replace(plan, stages={**plan.stages, spec.name: stage})
                saved = now - max(Timeline(net, tried, delays).done[last], cycles)
                if saved > 0 and (best is None or saved / more > best[0]):
                    best = saved / more, tried
        if best is None:
            raise ValueError(
                f"net {net.name!r}: the last layer is done {now:,} cycles after the first pixel, and no more"
                f" multipliers make it {cycles:,}"
            )
        plan = best[1]
    return plan
