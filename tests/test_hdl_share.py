"""Layers that use the same multipliers in turns: exact, work-conserving, and mutants that are neither."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Const
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.folding.layer import Folding
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import StagePlan
from hdl.network import Accelerator
from hdl.planning.cost import answer_cycles, load_of
from hdl.products import mac
from hdl.products.share import Array, union
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec
from random_nets import NetDrawer


def run(net, plan, images, stalls=0.0, seed=0, longest=1):
    """Compares all logits; gives the cycles of the answers."""
    beats = stream_sim.frames(net, images)
    got, cycles = stream_sim.run(
        Accelerator(net, plan), beats, len(images), stalls, seed, limit=100_000, longest=longest
    )
    np.testing.assert_array_equal(np.array([list(answer.logits) for answer in got]), net.logits(images))
    return cycles


def all_shared(plan: Plan) -> Plan:
    return Plan({name: replace(stage, array="all") for name, stage in plan.stages.items()})


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    st.integers(0, 999),
    st.sampled_from([("conv", "pool"), ("general",), ("residual",)]),
    st.sampled_from([0.0, 0.2, (0.0, 0.4), (0.3, 0.0)]),
)
def test_one_array_for_all_layers(seed, inner, stalls):
    """Whatever their formats, lanes, groups and folds are."""
    drawer = NetDrawer(seed)
    net = drawer.net(3, 6, inner=inner)
    run(net, all_shared(drawer.plan(net)), drawer.images(net, 3), stalls, seed, longest=30)


def chain(kernels=(3, 4), shape=(6, 6, 1), seed=0):
    """Convolutions of 3 x 3, padded."""
    drawer, specs, src = NetDrawer(seed), [], QFormat(4, 0, False)
    for index, count in enumerate(kernels):
        spec = drawer.weighted(
            ConvSpec, f"conv{index}", shape, src, (3, 3, shape[2], count), index == len(kernels) - 1,
            padding=((1, 1), (1, 1)) if index else ((0, 0), (0, 0)),
        )  # fmt: skip
        specs.append(spec)
        shape, src = spec.out_shape, spec.dst
    return QNetwork("chain", QFormat(4, 0, False), tuple(specs)), drawer


@pytest.mark.parametrize(
    "lanes",
    [((1, 1), (1, 1)), ((3, 1), (3, 1)), ((9, 3), (27, 4)), ((3, 1), (9, 1)), ((2, 3), (27, 1))],
)
def test_no_cycle_is_lost(lanes):
    """While one layer waits for its inputs the others have work for as long."""
    net, drawer = chain()
    plan = Plan({f"conv{n}": StagePlan(*pair, "all") for n, pair in enumerate(lanes)})
    cycles = run(net, plan, drawer.images(net, 6))
    load = load_of(net, plan, ["conv0", "conv1"])
    # Windows of one cycle slide in no faster than they are wide.
    assert load >= sum(
        spec.out_shape[0] * spec.out_shape[1] * Folding(spec, plan.stages[spec.name]).steps
        for spec in weighted(net)
    )
    assert np.diff(cycles[3:]).tolist() == [max(load, answer_cycles(net))] * 2


@pytest.mark.parametrize(
    ("formats", "expected"),
    [
        ([QFormat(8, 3, False), QFormat(5, 0, False)], QFormat(8, 0, False)),
        ([QFormat(8, 3, False), QFormat(5, 0)], QFormat(9, 0)),
        ([QFormat(3, 3, False), QFormat(5, 0)], QFormat(5, 0)),
        ([QFormat(1, 0), QFormat(1, 0, False)], QFormat(2, 0)),
    ],
)
def test_union(formats, expected):
    assert union(formats) == expected
    low, high = min(fmt.min for fmt in formats), max(fmt.max for fmt in formats)
    assert expected.min <= low and high <= expected.max


class Displaced(Array):
    """Every layer starts at the weights of the first."""

    def __init__(self, foldings, device):
        super().__init__(foldings, device)
        for client in self.clients.values():
            client.first = 0


class Crowded(Array):
    """All layers that ask get their turn."""

    def elaborate(self, platform):
        for client in self.clients.values():
            client.asks = Const(1)
        return super().elaborate(platform)


class Hasty(mac.Sequencer):
    """Steps without a turn."""

    def elaborate(self, platform):
        if self.client:
            self.client.turn = self.client.asks
        return super().elaborate(platform)


class Early(mac.MacPipe):
    """The sums of the step before."""

    def __init__(self, folding, device, client=None, *others):
        if client:
            client.latency -= 1
        super().__init__(folding, device, client, *others)


@pytest.mark.parametrize(
    ("module", "name", "mutant"),
    [
        ("hdl.network", "Array", Displaced),
        ("hdl.network", "Array", Crowded),
        ("hdl.products.mac", "Sequencer", Hasty),
        ("hdl.products.mac", "MacPipe", Early),
        ("hdl.products.share", "union", lambda formats: QFormat(max(fmt.width for fmt in formats), 0, False)),
    ],
)
def test_mutants_fail(module, name, mutant, monkeypatch):
    net, drawer = chain(seed=3)
    plan = Plan({"conv0": StagePlan(4, 1, "all"), "conv1": StagePlan(9, 2, "all")})
    images = drawer.images(net, 3)
    run(net, plan, images)
    monkeypatch.setattr(f"{module}.{name}", mutant)
    with pytest.raises(AssertionError):
        run(net, plan, images)
