"""Bugs put into hdl: every one still fits, is put into a copy only, and what kills it is told."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import mutations
from model import cli
from sim.proofs.faults import Fault

ROOT = Path(__file__).parents[1]


def test_every_bug_fits():
    found = mutations.mutations()
    assert len(found) >= 25
    for fault in found:
        text = (ROOT / "hdl" / fault.path).read_text()
        compile(fault.applied(text), fault.module, "exec")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A tree of one module with one test, and two bugs of which the test sees one."""
    for name in ("hdl", "tests"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root/hdl/__init__.py").touch()
    (tmp_path / "root/hdl/one.py").write_text("def double(x):\n    return 2 * x  # twice\n")
    (tmp_path / "root/tests/test_hdl_one.py").write_text(
        "from hdl.one import double\n\n\ndef test():\n    assert double(2) == 4\n"
    )
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "root/tests")
    seen = Fault("one", "2 * x", "3 * x", "triples")
    unseen = Fault("one", "twice", "thrice", "says so")
    monkeypatch.setattr(mutations, "ROOT", tmp_path / "root")
    monkeypatch.setattr(mutations, "COPIED", ("hdl", "tests"))
    monkeypatch.setattr(mutations, "PROOFS", ("tests/test_hdl_one.py",))
    monkeypatch.setattr(mutations, "mutations", lambda: [seen, unseen])
    return tmp_path / "root"


def test_survivors_are_told(small, tmp_path, capsys):
    before = {path: path.read_text() for path in small.rglob("*.py")}
    out = tmp_path / "out.json"
    assert cli.run(mutations.main, ["--jobs", "1", "--json", str(out)]) == 1
    result = json.loads(out.read_text())
    assert {row["meaning"]: row["killed_by"] for row in result["rows"]} == {
        "triples": "tests",
        "says so": None,
    }
    assert result["killed_share"] == 0.5
    assert "1 of 2 mutants survive, first: says so" in capsys.readouterr().err
    assert {path: path.read_text() for path in small.rglob("*.py")} == before


def test_tests_that_fail_without_a_bug_kill_nothing(small, capsys):
    with (small / "tests/test_hdl_one.py").open("a") as file:
        file.write("    assert False\n")
    assert cli.run(mutations.main, ["--jobs", "1"]) == 1
    assert "tests/test_hdl_one.py: fails without a bug" in capsys.readouterr().err


def test_a_bug_that_no_longer_fits(small, capsys):
    (small / "hdl/one.py").write_text("")
    assert cli.run(mutations.main, []) == 2
    assert "hdl/one.py holds '2 * x' 0 times, not once: triples" in capsys.readouterr().err


def test_tests_that_do_not_run_kill_nothing(small):
    shutil.rmtree(small / "tests")
    tree = small.parent / "tree"
    tree.mkdir()
    (tree / "tests").mkdir()
    shutil.copy(ROOT / "tests/conftest.py", tree / "tests")
    (tree / "tests/test_hdl_one.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(ValueError, match="pytest ends with 2"):
        mutations.fails(["tests/test_hdl_one.py"], tree)


@pytest.mark.parametrize(("argv", "message"), [
    (["--only", "x"], "--only 'x': no mutant is of that module"),
    (["--jobs", "0"], "--jobs: '0' is no whole number from 1"),
])  # fmt: skip
def test_bad_input(argv, message, capsys):
    assert cli.run(mutations.main, argv) == 2
    assert message in capsys.readouterr().err
