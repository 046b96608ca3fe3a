"""Compiled simulators: kept whole or not at all, and refused with one line."""

import pytest

from model.cli import Failure
from sim.simulators import build, store


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
