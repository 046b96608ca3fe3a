"""Convolutions whose windows are read from memory: any geometry, frames at full rate, mutants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.folding.layer import Folding
from hdl.folding.stage import StagePlan
from hdl.parts.chain import Chain
from hdl.planning.search import divisors
from hdl.products.gather import Gather
from hdl.stages.conv import conv_parts
from model.arithmetic.qformat import QFormat
from model.layers import ConvSpec
from random_nets import NetDrawer


def drawn(seed: int) -> tuple[ConvSpec, StagePlan, int]:
    """A convolution, lanes with which it is gathered, and those of its input."""
    drawer = NetDrawer(seed)
    shape = tuple(drawer.integer(low, high) for low, high in ((1, 6), (1, 6), (1, 6)))
    geometry = drawer.spread_geometry(shape)
    kernels = drawer.integer(1, 6)
    spec = drawer.weighted(
        ConvSpec, "conv", shape, drawer.format(1, 6), (*geometry.kernel, shape[2], kernels), False,
        stride=geometry.stride, padding=geometry.padding, dilation=geometry.dilation,
    )  # fmt: skip
    plans = [StagePlan(inputs, outputs) for inputs in divisors(shape[2]) for outputs in divisors(kernels)]
    plans = [plan for plan in plans if Folding(spec, plan).gathered]
    lanes = divisors(shape[2])
    return spec, plans[seed % len(plans)] if plans else None, lanes[seed // 7 % len(lanes)]


def check(spec, plan, lanes, stalls=0.2, seed=0, frames=4):
    """Frames back to back; gives the cycle in which each frame's last beat came out."""
    images = np.random.default_rng(seed).integers(spec.src.min, spec.src.max + 1, (frames, *spec.in_shape))
    expected = spec.run(images).reshape(-1, plan.output_lanes).tolist()
    parts = conv_parts(spec, plan, lanes, PORTABLE)
    assert any(isinstance(part, Gather) for part in parts)
    chain = Chain([("conv", part) for part in parts], PORTABLE)
    beats = images.reshape(-1, lanes).tolist()
    got, cycles = stream_sim.run(chain, beats, len(expected), stalls, seed, longest=8)
    assert stream_sim.values(got) == expected
    return cycles[len(expected) // frames - 1 :: len(expected) // frames]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 9999))
def test_any_geometry(seed):
    spec, plan, lanes = drawn(seed)
    if plan is not None:
        check(spec, plan, lanes, seed=seed)


def layer(shape, kernel, kernels, **fields):
    """A convolution of random integers."""
    return NetDrawer(1).weighted(
        ConvSpec, "conv", shape, QFormat(4, 0, False), (*kernel, shape[2], kernels), False, **fields
    )


SAME = {"padding": ((1, 1), (1, 1))}
FULL = {
    "padded": (layer((6, 7, 4), (3, 3), 4, **SAME), StagePlan(4, 2)),
    "not padded": (layer((6, 7, 4), (3, 2), 6), StagePlan(2, 3)),
    "three steps a window": (layer((5, 5, 2), (1, 3), 2), StagePlan(2, 2)),
    "strides": (layer((9, 8, 4), (3, 3), 8, stride=(2, 2), **SAME), StagePlan(4, 2)),
    "one row": (layer((1, 9, 4), (1, 3), 4), StagePlan(2, 2)),
    "an image is a window": (layer((3, 3, 4), (3, 3), 6), StagePlan(2, 1)),
}


@pytest.mark.parametrize("case", FULL)
def test_no_cycle_is_lost(case):
    """While one frame is computed the next one comes in."""
    spec, plan = FULL[case]
    ends = check(spec, plan, spec.in_shape[2], stalls=0.0, frames=6)
    assert ends[-1] - ends[-2] == Folding(spec, plan).cycles


class Early(Gather):
    """Does not wait for the second half of a window."""

    def words(self):
        needed, freed = super().words()
        return needed // 2, freed


class Greedy(Gather):
    """Lets go of a row that the next windows need."""

    def words(self):
        needed, freed = super().words()
        return needed, [freed[0] + freed[1], 0, *freed[2:]]


class Straight(Gather):
    """Forgets that the words of a ring follow each other round."""

    def wrapped(self, *distances):
        return [max(distance, 0) for distance in distances]


@pytest.mark.parametrize("mutant", [Early, Greedy, Straight])
def test_mutants_fail(mutant, monkeypatch):
    spec, plan = layer((6, 5, 4), (3, 3), 4, **SAME), StagePlan(2, 2)
    # Pixels that come slowly are waited for, and those that come quickly wait.
    for pauses in (0.9, 0.0):
        check(spec, plan, 4, (pauses, 0.1), frames=2)
    monkeypatch.setattr("hdl.stages.conv.Gather", mutant)
    with pytest.raises(AssertionError):
        for pauses in (0.9, 0.0):
            check(spec, plan, 4, (pauses, 0.1), frames=2)
