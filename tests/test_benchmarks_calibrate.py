"""The calibrated estimator: what the file says is what the code counts, fits and keeps to."""

import json
from statistics import median

import pytest

from benchmarks import calibrate, packed
from benchmarks import held_out as boards_held_out
from benchmarks.grid import Builder, grid, rescaled, small
from benchmarks.held_out import drawn, held_out, rounded
from boards.catalogue.targets import find
from hdl.devices.ice40 import PLAIN
from hdl.folding.stage import StagePlan
from hdl.planning.estimate import on_board
from hdl.planning.tally import KINDS, PIECES, Tally, coefficients, recorded
from model import cli

GRID, HELD, RESCALED, ICE40 = (recorded()[part] for part in ("grid", "held_out", "rescaled", "ice40"))
FITTED, WEIGHTS = recorded()["coefficients"]["ecp5"], coefficients("ecp5")
BOARD, SMALL_BOARD = find("ulx3s"), find("icebreaker")
DEVICE, SMALL_DEVICE = BOARD.family, SMALL_BOARD.family


def described(point, device=DEVICE) -> dict:
    """What the file says of a net before any tool ran."""
    tally = calibrate.made_of(point, device)
    taken = {"ff": tally.ff, "dsp": tally.dsp, "bram": tally.bram}
    return {"name": point.name, "kinds": dict(tally.kinds), "estimated": taken}


def test_the_file_is_of_this_code():
    """Every seventh net of the grid, and the held-out ones that are not shipped."""
    names = [point.name for point in grid()]
    assert names == [row["name"] for row in GRID] and len(set(names)) == len(names)
    assert [point.name for point in held_out()] == [row["name"] for row in HELD]
    assert [point.name for point in rescaled()] == [row["name"] for row in RESCALED]
    rows = GRID + HELD + RESCALED
    known = {row["name"]: {key: row[key] for key in ("name", "kinds", "estimated")} for row in rows}
    for point in [*grid()[::7], *rescaled(), *drawn(), *boards_held_out.rescaled(), *rounded()]:
        assert described(point) == known[point.name]


def test_the_coefficients_are_those_of_the_grid():
    others = calibrate.fit(GRID)
    assert others | calibrate.fit(RESCALED, others) == FITTED
    assert (
        not others.keys() & set(calibrate.RESCALING)
        and others.keys() | set(calibrate.RESCALING) == FITTED.keys()
    )
    assert min(FITTED.values()) >= 0 and KINDS.keys() >= FITTED.keys() and KINDS.keys() >= PIECES.keys()
    # a count that is another gives others
    first = GRID[0] | {"counted": GRID[0]["counted"] | {"lut": 2 * GRID[0]["counted"]["lut"]}}
    assert calibrate.fit([first, *GRID[1:]]) != others


def test_the_fit_finds_what_made_the_counts():
    true = {"adder": 1.25, "choice": 0.5, "control": 0.0}
    rows = [
        {"kinds": kinds, "counted": {"lut": sum(true[kind] * amount for kind, amount in kinds.items())}}
        for kinds in (
            {"adder": 8, "choice": 4, "control": 3},
            {"adder": 2, "choice": 12},
            {"choice": 2, "adder": 20, "control": 40},
            {"control": 2, "adder": 4},
        )
    ]
    assert calibrate.fit(rows) == pytest.approx(true, abs=1e-3)


def test_multipliers_and_block_rams_are_exact_in_the_grid():
    rows = [calibrate.compared(row, WEIGHTS, DEVICE) for row in GRID + RESCALED]
    assert all(map(calibrate.exact, rows))


def test_held_out_boards_as_recorded(tmp_path):
    """LUTs are within bounds, multipliers and block RAMs exact, and the command says so."""
    assert len(HELD) == 25 and not {row["name"] for row in HELD} & {row["name"] for row in GRID + RESCALED}
    path = tmp_path / "rows.json"
    assert cli.run(calibrate.main, ["--recorded", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    for some in (
        [row for row in rows if "scale" not in row["kinds"]],
        [row for row in rows if "scale" in row["kinds"]],
    ):
        errors = [abs(row["error"]) for row in some]
        assert len(errors) >= 6 and median(errors) <= 8 and max(errors) <= 20
    assert all(row["estimated"][key] == row["counted"][key] for row in rows for key in ("dsp", "bram"))


@pytest.mark.parametrize("change", [{"lut": 1.3}, {"dsp": 2}, {"bram": 2}])
def test_one_bad_build_is_enough_to_fail(change):
    first = HELD[0]
    rows = [calibrate.compared(row, WEIGHTS, DEVICE) for row in HELD]
    counted = {name: round(count * change.get(name, 1)) for name, count in first["counted"].items()}
    bad = calibrate.compared(first | {"counted": counted}, WEIGHTS, DEVICE)
    assert calibrate.holds(rows) and not calibrate.holds([bad, *rows[1:]])


def test_the_planner_says_what_the_benchmark_compares():
    point = next(drawn())
    row = next(row for row in HELD if row["name"] == point.name)
    taken = on_board(point.net, point.plan, BOARD.family)
    expected = calibrate.compared(row, WEIGHTS, DEVICE)["estimated"]
    assert {name: getattr(taken, name) for name in ("lut", "ff", "dsp", "bram")} == expected


def test_what_stands_round_an_accelerator_on_an_ice40():
    """Its cells are those of the structure but for the shell's, which are fitted to whole boards."""
    assert [point.name for point in small()] == [row["name"] for row in ICE40]
    for point, row in list(zip(small(), ICE40))[::3]:
        expected = {key: row[key] for key in ("name", "kinds", "estimated")}
        assert described(point, SMALL_DEVICE) == expected
    found = calibrate.fit_shell(ICE40, SMALL_DEVICE)
    assert found == recorded()["coefficients"]["ice40"]
    weights = coefficients("ice40")
    assert weights == coefficients("portable") | found == coefficients(PLAIN.name)
    rows = [calibrate.compared(row, weights, SMALL_DEVICE) for row in ICE40]
    assert all(map(calibrate.exact, rows)) and max(abs(row["error"]) for row in rows) <= 10
    # no other shell is as near
    for change in (0.8, 1.25):
        others = weights | {"shell": change * found["shell"]}
        worse = [calibrate.compared(row, others, SMALL_DEVICE) for row in ICE40]
        assert sum(row["error"] ** 2 for row in worse) > sum(row["error"] ** 2 for row in rows)


def test_families_that_were_not_calibrated_count_by_structure():
    each = coefficients("portable")
    assert each["adder"] == 1 and each["accelerator"] == PIECES["accelerator"]
    double = Tally(adder=3, ff=1) + Tally(adder=3, ff=1)
    assert double.kinds == Tally(adder=3).times(2).kinds and double.ff == 2


def test_the_tools_count(tmp_path, monkeypatch):
    """A net that is not in the file, with whatever versions of the tools are here."""
    monkeypatch.setattr(packed, "FOLDER", tmp_path)
    point = Builder((5, 5, 1), 3).conv(3, 2, StagePlan(3, 1), bits=3, to=3).point("small")
    (row,) = calibrate.measured([point], BOARD)
    found = calibrate.compared(row, WEIGHTS, DEVICE)
    assert calibrate.exact(found) and abs(found["error"]) < 25
    # kept: no tool runs again
    monkeypatch.setattr(packed.subprocess, "run", None)
    assert calibrate.measured([point], BOARD) == [row]
