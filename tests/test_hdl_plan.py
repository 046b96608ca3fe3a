"""Plans: legal lanes, cost in cycles, the search, and files."""

import itertools
import json

import pytest

import stream_sim
from hdl.folding import Plan, StagePlan, weighted
from hdl.network import Accelerator
from hdl.plan import bound_cycles, choices, cost, default, divisors, search
from random_nets import NetDrawer


def drawn(seed: int, layers: int = 3, largest: int = 7):
    drawer = NetDrawer(seed)
    return drawer, drawer.net(layers, largest)


def slowest(net, plan) -> int:
    return max(stage.cycles for stage in cost(net, plan))


@pytest.mark.parametrize("number", range(1, 200))
def test_divisors(number):
    assert divisors(number) == [n for n in range(1, number + 1) if (number // n) * n == number]


@pytest.mark.parametrize("seed", range(12))
def test_search_is_as_good_as_trying_every_plan(seed):
    _, net = drawn(seed, layers=2, largest=5)
    layers = weighted(net)
    every = [
        Plan(dict(zip((spec.name for spec in layers), stages)))
        for stages in itertools.product(*(choices(spec) for spec in layers))
    ]
    for multipliers in (len(layers), 5, 12, 40):
        plan = search(net, max(multipliers, len(layers)))
        allowed = [other for other in every if other.multipliers <= max(multipliers, len(layers))]
        assert plan.multipliers <= max(multipliers, len(layers))
        rates = [slowest(net, other) for other in allowed]
        best = min(rates)
        assert slowest(net, plan) == best
        fewest = min(other.multipliers for other, cycles in zip(allowed, rates) if cycles == best)
        assert plan.multipliers == fewest


@pytest.mark.parametrize("seed", range(8))
def test_measured_interval_is_the_computed_one(seed):
    """A frame takes no longer than its slowest stage, and what a line buffer needs to fill again."""
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
    floor = max(stage.bound_cycles for stage in cost(net, plan) if stage.multipliers)
    assert floor <= measured <= slowest(net, plan) + fill + net.classes + 12


def test_bound_of_the_whole():
    _, net = drawn(3)
    plan = Plan.serial(net)
    assert plan.multipliers == len(weighted(net))
    assert bound_cycles(net, plan) == max(
        net.in_shape[0] * net.in_shape[1], -(-net.macs // len(weighted(net)))
    )


def test_default_plan_is_legal():
    for seed in range(6):
        _, net = drawn(seed)
        default(net).check(net)


def test_plan_survives_its_file(tmp_path):
    drawer, net = drawn(5)
    plan = drawer.plan(net)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json", net) == plan


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"stages": 3}',
        '{"stages": {"layer0": {"input_lanes": 0}}}',
        '{"stages": {"layer0": {"input_lanes": true}}}',
        '{"stages": {"layer0": {"input_lanes": 1.0}}}',
        '{"stages": {"layer0": {"lanes": 1}}}',
        '{"stages": {"elsewhere": {}}}',
        "{" * 5000,
        "[" * 100_000,
    ],
)
def test_a_bad_plan_is_one_line_that_names_the_file(tmp_path, text):
    _, net = drawn(5)
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"plan\.json") as caught:
        Plan.load(path, net)
    assert "\n" not in str(caught.value)


def test_a_plan_of_other_bytes_names_the_file(tmp_path):
    _, net = drawn(5)
    path = tmp_path / "plan.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"cannot use plan .*plan\.json"):
        Plan.load(path, net)


def test_lanes_that_do_not_divide_name_the_layer(tmp_path):
    _, net = drawn(5)
    spec = weighted(net)[0]
    _, inputs, outputs = spec.matrices.shape
    for stage in (StagePlan(inputs + 1, 1), StagePlan(1, outputs + 1), StagePlan(0, 1)):
        plan = Plan({**Plan.serial(net).stages, spec.name: stage})
        with pytest.raises(ValueError, match=f"{spec.name}.*divi"):
            plan.check(net)
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"stages": {spec.name: {"input_lanes": inputs + 1}}}))
    with pytest.raises(ValueError, match=r"p\.json"):
        Plan.load(path, net)


def test_too_few_multipliers():
    _, net = drawn(5)
    with pytest.raises(ValueError, match="multipliers"):
        search(net, len(weighted(net)) - 1)
