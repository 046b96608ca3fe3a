"""Compiled simulators: kept whole or not at all, and refused with one line."""

import os
import time

import pytest

from model.cli import Failure
from sim.simulators import build, cxxrtl, netlist, store


def test_kept_is_made_once(tmp_path):
    def make(folder):
        (folder / "file").write_text("made")

    target = store.kept(tmp_path / "a" / "b", make)
    assert (target / "file").read_text() == "made"
    assert store.kept(target, lambda _: pytest.fail("made again")) == target


def test_kept_leaves_nothing_of_a_failure(tmp_path):
    def make(folder):
        (folder / "file").write_text("half")
        raise Failure("broken")

    with pytest.raises(Failure, match="broken"):
        store.kept(tmp_path / "a", make)
    assert list(tmp_path.iterdir()) == []


def test_kept_by_another_process_meanwhile(tmp_path):
    def make(folder):
        (folder / "file").write_text("ours")
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "file").write_text("theirs")

    target = store.kept(tmp_path / "a", make)
    assert (target / "file").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        store.kept(tmp_path / "file" / "a", lambda _: None)


def test_bad_verilog_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "compile_runtime", lambda _: None)
    with pytest.raises(Failure, match=r"verilator.* failed: %Error: bench\.sv:2:") as error:
        build.build({"bench.sv": "module bench;\n  oops;\nendmodule\n"}, {}, tmp_path)
    assert "\n" not in str(error.value)
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["runtime"]


def test_digest_tells_inputs_apart():
    assert build.digest(["a", "b"]) != build.digest(["ab"])
    assert build.digest({"a": 1, "b": 2}) == build.digest({"b": 2, "a": 1})


def test_the_least_used_go_but_not_what_is_in_use(tmp_path):
    def make(folder):
        (folder / "file").touch()

    now = time.time()
    for age, name in ((9000, "a"), (8000, "b"), (7000, "c"), (10, "d"), (5, "e")):
        os.utime(store.kept(tmp_path / name, make), (now - age, now - age))
    store.kept(tmp_path / "a", make, 2)  # its use counts
    store.kept(tmp_path / "f", make, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d", "e", "f"]


def test_leavings_of_killed_processes_go_when_they_are_old(tmp_path):
    old, running = tmp_path / ".old", tmp_path / ".run-x"
    for folder in (old, running):
        folder.mkdir()
        (folder / "file").touch()
        os.utime(folder, (0, 0))
    os.utime(old / "file", (0, 0))
    store.kept(tmp_path / "a", lambda folder: None, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run-x", "a"]


@pytest.mark.parametrize("make", [build.build, netlist.netlist, cxxrtl.build])
def test_every_kind_of_folder_is_pruned(make, tmp_path, monkeypatch):
    """Simulators of both kinds, and netlists."""
    asked = []
    monkeypatch.setattr(store, "prune", lambda folder, entries, used: asked.append((folder, entries)))
    monkeypatch.setattr(build, "compile_runtime", lambda _: None)
    for module in (build, cxxrtl, netlist):
        monkeypatch.setattr(module, "execute", lambda *_: None, raising=False)
    monkeypatch.setattr(build, "compile_units", lambda *_: [])
    if make is netlist.netlist:
        with pytest.raises(FileNotFoundError):  # nothing was synthesised
            make({"top.ys": ""}, "ecp5", tmp_path)
    else:
        make({"top.v": ""}, **({"parameters": {}} if make is build.build else {}), folder=tmp_path)
    assert asked == [(tmp_path, build.ENTRIES)]
