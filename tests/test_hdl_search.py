"""What plans cost in cycles, and the search for the best of them."""

import itertools

import pytest

import stream_sim
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import StagePlan
from hdl.network import Accelerator
from hdl.planning.cost import bound_cycles, cost, load_of, planned_cycles
from hdl.planning.search import SHARING, Search, choices, default, divisors, folds, multipliers_of, search
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import TableSpec
from random_nets import NetDrawer


def drawn(seed: int, layers: int = 3, largest: int = 7):
    drawer = NetDrawer(seed)
    return drawer, drawer.net(layers, largest)


@pytest.mark.parametrize("number", range(1, 200))
def test_divisors_and_folds(number):
    assert divisors(number) == [n for n in range(1, number + 1) if (number // n) * n == number]
    fewest = {}
    for lanes in range(number, 0, -1):
        fewest[-(-number // lanes)] = lanes
    assert folds(number) == sorted(fewest.values())


def every_plan(net):
    """All plans of a net of one or two layers with weights, shared or not."""
    layers = weighted(net)
    for stages in itertools.product(*(choices(spec) for spec in layers)):
        for array in [None, "a"][: len(layers)]:
            yield Plan(
                {
                    spec.name: StagePlan(stage.input_lanes, stage.output_lanes, array)
                    for spec, stage in zip(layers, stages)
                }
            )


@pytest.mark.parametrize("seed", range(16))
def test_search_is_as_good_as_trying_every_plan(seed):
    _, net = drawn(seed, layers=2, largest=5)
    every = [(planned_cycles(net, plan), plan.multipliers) for plan in every_plan(net)]
    for multipliers in (1, 2, 3, 5, 12, 40):
        plan = search(net, multipliers)
        assert plan.multipliers <= multipliers
        best = min(cycles for cycles, count in every if count <= multipliers)
        assert planned_cycles(net, plan) == best
        fewest = min(count for cycles, count in every if cycles == best)
        assert multipliers_of(Search(net).cheapest(best)) == fewest
        assert plan.multipliers <= fewest * (1 + SHARING * len(weighted(net)))


def test_plans_in_which_multipliers_wait_are_passed_over():
    for seed in range(8):
        _, net = drawn(seed)
        planner = Search(net)
        for multipliers in (1, 6, 25, 90):
            fast, busy = planner.within(multipliers), planner.within(multipliers, 0.9)
            efficiency = bound_cycles(net, busy) / planned_cycles(net, busy)
            assert efficiency >= 0.9 or busy == planner.plan(planner.rates[-1])
            assert planned_cycles(net, fast) <= planned_cycles(net, busy)
            if bound_cycles(net, fast) / planned_cycles(net, fast) >= 0.9:
                assert busy == fast


@pytest.mark.parametrize("seed", range(8))
def test_long_nets(seed):
    """More layers than may share in any way: still one multiplier is enough for all of them."""
    drawer = NetDrawer(seed)
    net = drawer.net(10, 9, inner=("conv",))
    assert len(weighted(net)) == 10
    last = None
    for multipliers in (1, 4, 16, 64):
        plan = search(net, multipliers)
        assert plan.multipliers <= multipliers and (last is None or planned_cycles(net, plan) <= last)
        last = planned_cycles(net, plan)


@pytest.mark.parametrize("seed", range(12))
def test_measured_interval_is_the_computed_one(seed):
    """A frame takes no longer than its slowest stage or array, and what a line buffer needs to fill again."""
    drawer, net = drawn(seed, layers=2, largest=7)
    plan = drawer.plan(net)
    images = drawer.images(net, 5)
    beats = stream_sim.frames(net, images)
    _, cycles = stream_sim.run(Accelerator(net, plan), beats, len(images))
    measured = cycles[-1] - cycles[-2]
    fill = sum(
        spec.geometry.extent[0] * spec.geometry.padded(spec.in_shape)[1] * spec.in_shape[2]
        for spec in net.specs
        if hasattr(spec, "geometry")
    )
    floor = max(load_of(net, plan, names) for names in plan.arrays)
    assert floor <= measured <= planned_cycles(net, plan) + fill + net.outputs + 12


def test_bound_of_the_whole():
    _, net = drawn(3)
    plan = Plan.serial(net)
    assert plan.multipliers == len(weighted(net))
    assert bound_cycles(net, plan) == max(
        net.in_shape[0] * net.in_shape[1], -(-net.macs // len(weighted(net)))
    )
    shared = search(net, 1)
    assert shared.multipliers == 1 and planned_cycles(net, shared) >= net.macs
    assert {stage.cycles for stage in cost(net, shared) if stage.multipliers} == {
        stage.macs for stage in cost(net, shared) if stage.multipliers
    }


def test_layers_that_must_not_share():
    for seed in range(6):
        _, net = drawn(seed)
        layers = len(weighted(net))
        for multipliers in (layers, layers + 3, 40):
            plan = search(net, multipliers, shares=False)
            plan.check(net)
            assert plan.multipliers <= multipliers
            assert all(len(names) == 1 for names in plan.arrays)
        message = (
            f"{layers} multipliers at least, one for each layer" if layers > 1 else "a multiplier at least"
        )
        with pytest.raises(ValueError, match=f"{message}, not {layers - 1}"):
            search(net, layers - 1, shares=False)


def test_default_plan_is_legal():
    for seed in range(6):
        _, net = drawn(seed)
        default(net).check(net)


def test_a_net_without_weights():
    fmt = QFormat(3, 0)
    spec = TableSpec(name="t", in_shape=(1, 2, 1), src=fmt, dst=fmt, function="f", table=list(range(-4, 4)))
    net = QNetwork("table", fmt, (spec,))
    assert search(net, 1) == Plan({}) and planned_cycles(net, Plan({})) == 2 + 3


def test_no_multiplier_and_no_rate():
    _, net = drawn(5)
    with pytest.raises(ValueError, match="multiplier at least, not 0"):
        search(net, 0)
    with pytest.raises(ValueError, match=r"at least .* cycles a frame, not 0"):
        Search(net).plan(0)
