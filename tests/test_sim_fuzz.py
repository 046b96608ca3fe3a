"""Some damaged inputs against every command, and that the fuzzer notices what it is for."""

import json
import sys
import time
from random import Random

import pytest

from model import cli
from sim import fuzz
from sim.damage import mutators
from sim.damage.inputs import Target, quiet, targets

GOOD = b'{"a": [1, 2]}'


def test_some_of_every_kind(tmp_path):
    out = tmp_path / "out.json"
    assert cli.run(fuzz.main, ["--cases", "150", "--seed", "3", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["cases"] >= 150 and all(row["failures"] == [] for row in result["rows"])
    assert {row["input"] for row in result["rows"]} >= {
        "idx",
        "picture",
        "plan",
        "tflite",
        "description",
        "checkpoint",
    }
    assert sum(row["refused"] for row in result["rows"]) > 75


@pytest.mark.slow
def test_many():
    assert cli.run(fuzz.main, []) == 0


def test_what_is_not_damaged_is_good(tmp_path):
    """Otherwise nothing but refusals would be tried."""
    known = targets(fuzz.COMMANDS)
    del known["command line"]
    for name, target in known.items():
        folder = tmp_path / name
        folder.mkdir()
        for path, content in target.seeds.items():
            (folder / path).write_bytes(content)
        for victim in target.seeds:
            command, argv = target.command(folder, victim)
            with quiet() as (_, err):
                assert (cli.run(command, argv), name, victim) == (0, name, victim), err.getvalue()


def test_a_list_of_problems_is_one_report(tmp_path, monkeypatch):
    def several(argv):
        print("- one\n- two", file=sys.stderr)
        raise ValueError("2 problems")

    def remarks(argv):
        print("note: something", file=sys.stderr)
        several(argv)

    for command in (several, remarks):
        tally = ends(command, tmp_path, monkeypatch)
        assert (tally.statuses, tally.failures) == ({2: 3}, [])


def ends(command, tmp_path, monkeypatch):
    """What the fuzzer says of a command's cases."""
    monkeypatch.setattr(fuzz, "SLOW", 0.3)
    target = Target({"a.json": GOOD}, mutators.as_json, lambda folder, name: (command, [str(folder / name)]))
    return fuzz.fuzz("one", target, 3, 0, tmp_path)


def crash(argv):
    raise KeyError("x")


def fail(argv):
    raise cli.Failure("no")


def two_lines(argv):
    print("error: one\nand two")
    raise SystemExit(2)


def half(argv):
    with open(argv[-1], "w") as file:
        file.write("[")
    raise ValueError("too late")


def left(argv):
    with open(f"{argv[-1]}.part", "w") as file:
        file.write("[")


def hang(argv):
    time.sleep(9)


def swallow(argv):
    try:
        hang(argv)
    except Exception:
        raise ValueError("something") from None


@pytest.mark.parametrize(("command", "said"), [
    (crash, "KeyError"), (fail, "exit status 1: error: no"), (two_lines, "not one line"),
    (half, "and yet wrote out.json"), (left, "not whole"), (hang, "still busy"), (swallow, "still busy"),
])  # fmt: skip
def test_mutants_fail(command, said, tmp_path, monkeypatch):
    tally = ends(command, tmp_path, monkeypatch)
    assert len(tally.failures) == 3
    assert all(said in problem for problem, _, _ in tally.failures)
    assert list(tmp_path.iterdir()) == []


def refuse(argv):
    raise ValueError("no")


def test_good_endings_pass(tmp_path, monkeypatch):
    assert ends(refuse, tmp_path, monkeypatch).statuses == {2: 3}
    assert ends(lambda argv: None, tmp_path, monkeypatch).statuses == {0: 3}


@pytest.mark.parametrize("mutate", [mutators.damaged, mutators.as_json, mutators.as_text, mutators.as_tflite])
def test_damage_is_drawn_from_the_seed(mutate):
    twice = [[mutate(random, GOOD) for _ in range(50)] for random in (Random(1), Random(1))]
    assert twice[0] == twice[1]
    assert sum(one != GOOD for one in twice[0]) > 40


def test_what_broke_is_kept(tmp_path):
    tally = fuzz.Tally(failures=[("KeyError", "a.json", GOOD)])
    fuzz.keep(tmp_path / "found", {"plan": tally})
    assert (tmp_path / "found" / "plan_0_a.json").read_bytes() == GOOD
    assert (tmp_path / "found" / "plan_0.txt").read_text() == "KeyError"


@pytest.mark.parametrize(("argv", "message"), [
    (["--cases", "0"], "python -m sim.fuzz: error: argument --cases: '0' is no whole number from 1"),
    (["--only", "x"], "error: --only 'x': there are idx"),
])  # fmt: skip
def test_bad_input(argv, message, capsys):
    assert cli.run(fuzz.main, argv) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(message) and printed.count("\n") == 1
