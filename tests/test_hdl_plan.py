"""The planner's command: what fits, what does not and why, and files that come back."""

import functools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl import plan as module
from hdl.devices.budget import Budget, lacking, shortage
from hdl.devices.chips import find
from hdl.devices.ecp5 import ECP5
from hdl.folding.net import Plan
from hdl.planning.cost import planned_cycles
from hdl.planning.estimate import estimate, on_board
from hdl.planning.fit import Fitter
from hdl.planning.search import Search
from model import cli
from model.files import artifact

LENET = artifact.load("lenet")


def run(*options) -> int:
    return cli.run(module.main, list(map(str, options)))


def error(capsys, *options) -> str:
    """The one line of a command that is refused."""
    assert run(*options) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("board", ["ulx3s", "ulx3s-12f", "LFE5U-45F"])
def test_the_plan_of_a_board_fits_it(board, tmp_path, capsys):
    out, report = tmp_path / "plan.json", tmp_path / "report.json"
    assert run("lenet", "--board", board, "--out", out, "--json", report) == 0
    result, plan, budget = json.loads(report.read_text()), Plan.load(out, LENET), find(board).budget
    assert result["plan"] == json.loads(out.read_text())["stages"]
    taken = Budget(**result["estimate"])
    # what is shown is what has to fit: with the memory of images, and the rest of the shell
    assert taken == on_board(LENET, plan, ECP5) and not lacking(taken, budget)
    assert taken.bram > estimate(LENET, plan, ECP5).bram
    assert result["cycles"] == planned_cycles(LENET, plan)
    assert result["frames_per_second"] == round(1e8 / result["cycles"], 1)
    assert sum(row["macs"] for row in result["stages"]) == LENET.macs
    # One more step along the search would not fit.
    larger = Search(LENET).within(budget.dsp + 1)
    tight = lacking(estimate(LENET, larger, ECP5), budget)
    assert larger == plan or tight or planned_cycles(LENET, larger) >= result["cycles"]


def fitted(board: str, net):
    """The fastest plan that a board's chip has room for, its shell beside it."""
    chip = find(board)
    return Fitter(net, chip.device).fastest(chip.room)


def test_few_multipliers_are_tried_one_by_one():
    """Of tiny's plans for the iCE40 UP5K some with more multipliers take less beside them."""
    net, chip = artifact.load("tiny"), find("iCE40UP5K")
    fitter = Fitter(net, chip.device)
    plans = [fitter.fit(search.within(count)) for search in fitter.searches for count in range(1, 17)]
    fits = [not lacking(fit.need, chip.room) for fit in plans]
    # halving alone would miss some
    assert fits[:16] != sorted(fits[:16], reverse=True)
    best = min(fit.cycles for fit, good in zip(plans, fits) if good)
    assert fitted("iCE40UP5K", net).cycles <= 1.01 * best


def test_small_chips(tmp_path, capsys):
    """tiny on the iCE40 UP5K, whose multipliers make two products each, and on one that has none."""
    tiny, report = artifact.load("tiny"), tmp_path / "report.json"
    for chip in ("iCE40UP5K", "iCE40HX8K", "GW1NR-9C"):
        assert run("tiny", "--board", chip, "--clock", 20, "--json", report) == 0
        result, budget = json.loads(report.read_text()), find(chip).budget
        assert not lacking(Budget(**result["estimate"]), budget)
        assert result["cycles"] == fitted(chip, tiny).cycles and result["frames_per_second"] > 1000
    assert fitted("iCE40UP5K", tiny).plan.multipliers > 8
    assert fitted("iCE40HX8K", tiny).need.dsp == 0
    said = error(capsys, "large", "--board", "iCE40UP5K")
    assert "'large' with 1 multipliers does not fit iCE40UP5K" in said
    assert "block RAMs of 30" in said and "no plan fits: the smallest has 1 multipliers" in said
    assert "LUT and 31 block RAMs; a chip like GW1NR-9C has room" in said


def test_an_edited_plan_comes_back(tmp_path, capsys):
    path, report = tmp_path / "plan.json", tmp_path / "report.json"
    assert run("lenet", "--multipliers", 40, "--out", path) == 0
    stages = json.loads(path.read_text())["stages"]
    stages["conv2"] |= {"input_lanes": 7}
    path.write_text(json.dumps({"stages": stages}))
    assert run("lenet", "--plan", path, "--json", report) == 0
    assert json.loads(report.read_text())["plan"] == stages
    stages["conv2"] |= {"input_lanes": 151}
    path.write_text(json.dumps({"stages": stages}))
    assert "layer 'conv2': 151 lanes for 150 inputs" in error(capsys, "lenet", "--plan", path)


@pytest.mark.parametrize("rate", [100, 5_000, 60_000, 127_551])
def test_a_rate_is_reached_with_the_fewest_multipliers(rate, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert run("lenet", "--fps", rate, "--json", report) == 0
    result = json.loads(report.read_text())
    assert result["frames_per_second"] >= rate
    if result["multipliers"] > 8:
        fewer = Search(LENET).within(int(result["multipliers"] * 0.9))
        assert 1e8 / planned_cycles(LENET, fewer) < rate


def test_an_early_answer(tmp_path, capsys):
    report = tmp_path / "report.json"
    assert run("lenet", "--latency", 1184, "--json", report) == 0
    result = json.loads(report.read_text())
    assert result["latency_cycles"] <= 1184 and result["cycles"] == 784
    for more in (["--latency", 1184, "--board", "ulx3s-45f", "--lut", 15000], ["--latency", 700]):
        assert "no more multipliers make it" in error(capsys, "lenet", *more)


def test_an_early_answer_with_few_multipliers(tmp_path):
    """A pixel a cycle, and an answer 400 cycles behind the last, on a chip with 156 of them."""
    report = tmp_path / "report.json"
    assert run("lenet", "--latency", 1184, "--board", "ulx3s", "--json", report) == 0
    result = json.loads(report.read_text())
    assert result["latency_cycles"] <= 1184 and result["cycles"] == 784
    assert result["estimate"]["dsp"] <= 156 and result["plan"]["conv2"]["weights"] == "serial"


def test_what_does_not_fit_is_refused(capsys):
    said = error(capsys, "lenet", "--board", "ulx3s-12f", "--multipliers", 354)
    assert "'lenet' with 354 multipliers (150 of them hard-wired) does not fit LFE5U-12F" in said
    assert "about 204 multipliers of 28" in said and "LUT" not in said
    nearest = fitted("ulx3s-12f", LENET)
    assert nearest.plan.stages["conv1"].wired
    assert (
        f"nearest plan that fits has {nearest.plan.multipliers} multipliers (150 of them hard-wired)" in said
    )
    said = error(capsys, "lenet", "--lut", 500, "--bram", 0)
    assert "LUT of 500" in said and "block RAMs of 0" in said
    need = estimate(LENET, Search(LENET).within(1), ECP5)
    assert f"short of about {need.lut - 500:,} LUT and {need.bram} block RAMs; a chip like iCE40UP5K" in said
    assert "about 1 multipliers of 0" in error(capsys, "lenet", "--dsp", 0)


def test_where_even_the_largest_chip_is_too_small(capsys, monkeypatch):
    monkeypatch.setattr(module.chips, "CHIPS", {})
    need = estimate(LENET, Search(LENET).within(1), ECP5)
    said = error(capsys, "lenet", "--lut", 500)
    assert f"short of about {need.lut - 500:,} LUT; no chip known here has room" in said


@functools.cache
def few(name: str) -> tuple[Fitter, list[Budget]]:
    """What each plan of few multipliers takes."""
    fitter = Fitter(artifact.load(name), ECP5)
    plans = [search.within(count) for count in range(1, 9) for search in fitter.searches]
    return fitter, [fitter.fit(plan).need for plan in plans]


@given(
    name=st.sampled_from(["large", "record", "lecture"]),
    counted=st.integers(0, 15),
    more=st.tuples(*[st.integers(0, 9)] * 4),
)
def test_no_plan_fits_only_where_none_does(name, counted, more):
    """A budget that one of few plans just fits, or with some of anything to spare."""
    fitter, needs = few(name)
    budget = needs[counted] + Budget(*more)
    found = fitter.smallest(budget)
    assert not lacking(found.need, budget) and found.need == fitter.fit(found.plan).need


@given(st.sampled_from(["large", "record"]), st.integers(0, 15), st.integers(0, 20))
def test_the_smallest_lacks_least(name, counted, bram):
    """No plan of few multipliers lacks less than the one that is named where none fits."""
    fitter, needs = few(name)
    budget = replace(needs[counted], bram=bram)
    found = shortage(fitter.smallest(budget).need, budget)
    assert found == 0 or found <= min(shortage(need, budget) for need in needs)


def test_more_multipliers_may_take_less_memory(capsys):
    """Six multipliers take fewer block RAMs than one; the old search called that too small a chip."""
    net = artifact.load("large")
    one, six = (estimate(net, Search(net).within(count), ECP5).bram for count in (1, 6))
    assert six < one
    assert run("large", "--bram", six) == 0
    assert f"short of about {six} block RAMs" in error(capsys, "large", "--bram", 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["none"], "no net 'none'"),
        (["lenet", "--board", "ulx"], "unknown board or chip 'ulx'"),
        (["lenet", "--multipliers", "0"], "no whole number from 1"),
        (["lenet", "--multipliers", "4", "--fps", "3"], "exclude each other"),
        (["lenet", "--fps", "0"], "--fps is a number above 0"),
        (["lenet", "--fps", "nan"], "--fps is a number above 0"),
        (["lenet", "--fps", "1e6"], "at least 784 cycles a frame, not 100"),
        (["lenet", "--lut", "-1"], "--lut: '-1' is no whole number from 0"),
        (["lenet", "--plan", "none.json"], "none.json"),
        (["lenet", "--out", "/"], "is a folder"),
    ],
)
def test_bad_options(options, said, capsys):
    assert run(*options) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
