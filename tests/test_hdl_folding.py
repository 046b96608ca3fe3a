"""Plans: legal lanes, shared arrays, and files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdl.folding.layer import packed
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import StagePlan
from random_nets import NetDrawer


def drawn(seed: int, layers: int = 3, largest: int = 7):
    drawer = NetDrawer(seed)
    return drawer, drawer.net(layers, largest)


def test_plan_survives_its_file(tmp_path):
    drawer, net = drawn(5)
    for _ in range(5):
        plan = drawer.plan(net)
        for made in (plan, replace(plan, clock_mhz=60), replace(plan, seed=0), replace(plan, seed=7)):
            made.save(tmp_path / "plan.json")
            assert Plan.load(tmp_path / "plan.json", net) == made


NUMBERS = st.integers(-1, 3) | st.sampled_from([10**9, 2**70, True])
NAMES = st.sampled_from([None, "", "a", "x" * (1 << 20), "\ud800"])
STAGES = st.builds(StagePlan, NUMBERS, NUMBERS, NAMES, st.sampled_from([None, "wired", "serial", "soft"]))
PLANS = st.builds(
    Plan,
    st.dictionaries(st.sampled_from(["conv1", "é"]), STAGES, max_size=2),
    st.sampled_from(["fixed", "scaled"]),
    st.dictionaries(st.sampled_from(["conv1", "b"]), NUMBERS | st.just(1.5), max_size=1),
    st.none() | st.floats(),
    st.none() | NUMBERS,
)


@given(plan=PLANS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_plan_is_written_if_it_can_be_read_and_else_not_at_all(tmp_path, plan):
    path = tmp_path / "plan.json"
    path.write_text("before")
    try:
        plan.save(path)
    except ValueError as error:
        assert "plan.json is not written, as it could not be read again" in str(error)
        assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    else:
        assert Plan.load(path, None) == plan


def test_integers_side_by_side_do_not_run_into_each_other():
    for values in ([3, -2], [-4, 7], [0, 0]):
        word = packed(np.array(values), 3)
        assert [word & 7, word >> 3] == [value % 8 for value in values]
    for values in ([8, 0], [0, -5]):
        with pytest.raises(ValueError, match="do not fit 3 bits each"):
            packed(np.array(values), 3)


def test_multipliers_of_shared_arrays():
    """As many as the widest of the layers has input lanes, times as many as the widest has output lanes."""
    plan = Plan(
        {
            "a": StagePlan(3, 2, "x"),
            "b": StagePlan(1, 4, "x"),
            "c": StagePlan(5, 2, "y"),
            "d": StagePlan(2, 2),
            "x": StagePlan(1, 3),
        }
    )
    assert plan.arrays == [["a", "b"], ["c"], ["d"], ["x"]]
    assert [plan.array_multipliers(names) for names in plan.arrays] == [12, 10, 4, 3]
    assert plan.multipliers == 29


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
        '{"stages": {"layer0": {"array": 3}}}',
        '{"stages": {"layer0": {"array": ""}}}',
        '{"stages": {"elsewhere": {}}}',
        '{"stages": {}, "fracs": {"layer0": Infinity}}',
        '{"stages": {}, "fracs": {"layer0": 1.5}}',
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
        with pytest.raises(ValueError, match=f"{spec.name}.*(divi|choose 1 to)"):
            plan.check(net)
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"stages": {spec.name: {"input_lanes": inputs + 1}}}))
    with pytest.raises(ValueError, match=r"p\.json"):
        Plan.load(path, net)
