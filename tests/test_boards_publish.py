"""Products take their places all or none, wherever the process is stopped."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from boards.tools import publish
from hdl.folding.net import Plan

PRODUCTS = ["top.bit", "top.svf"]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Publishes a result of a given text into ``out``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publish.reports, "markdown", lambda result: result["bitstream"]["sha256"])

    def put(text: str, *, met: bool = True) -> None:
        entry = tmp_path / text
        (entry / "logs").mkdir(parents=True)
        for name in (*PRODUCTS, "logs/pack.log"):
            (entry / name).write_text(text)
        result = {"bitstream": {"sha256": hashlib.sha256(text.encode()).hexdigest()}}
        publish.publish(entry, Path("out"), PRODUCTS if met else [], PRODUCTS, Plan({}), result)

    return put


def check(text: str) -> None:
    """Asserts that the folder holds one build, whole."""
    names = ["logs", "plan.json", "report.json", "report.md", *PRODUCTS]
    assert sorted(os.listdir("out")) == sorted(names)
    assert {Path("out", name).read_text() for name in (*PRODUCTS, "logs/pack.log")} == {text}
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(Path("out/report.json").read_text())["bitstream"]["sha256"] == digest
    assert Path("out/report.md").read_text() == digest


def test_a_build_replaces_another_whole(places):
    places("first")
    check("first")
    Path("out/notes.txt").write_text("the user's")
    places("second")
    assert Path("out/notes.txt").read_text() == "the user's"
    os.unlink("out/notes.txt")
    check("second")


def test_a_missed_clock_takes_the_old_bitstream_away(places):
    places("first")
    places("second", met=False)
    assert sorted(os.listdir("out")) == ["logs", "plan.json", "report.json", "report.md"]


class Stop(BaseException):
    """A process that ends here."""


def stopping(monkeypatch, call: int, killed: bool) -> None:
    """Let the process stop at the n-th change that `publish` makes; nothing is tidied up if it is killed."""
    count = 0

    def counted(change):
        def changed(*arguments, **options):
            nonlocal count
            count += 1
            if count == call:
                if killed:
                    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
                raise Stop
            return change(*arguments, **options)

        return changed

    monkeypatch.setattr(publish.os, "replace", counted(os.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(shutil, "copyfile", counted(shutil.copyfile))
    monkeypatch.setattr(shutil, "copytree", counted(shutil.copytree))


CHANGES = 14
"""That a build makes: 2 products, the logs and their file copied, the plan written, 3 old reports taken away,
2 products, the logs and 3 reports put in place."""


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("call", range(1, CHANGES + 1))
def test_stopped_anywhere_a_report_tells_the_truth(places, monkeypatch, call, killed):
    places("first")
    with monkeypatch.context() as patch:
        stopping(patch, call, killed)
        with pytest.raises(Stop):
            places("second")
    report = Path("out/report.json")
    if report.exists():
        digest = json.loads(report.read_text())["bitstream"]["sha256"]
        assert digest == hashlib.sha256(Path("out/top.bit").read_bytes()).hexdigest()
    # and the next build is not disturbed by what was left
    places("third")
    check("third")


def test_there_are_no_more_changes_than_those(places, monkeypatch):
    places("first")
    with monkeypatch.context() as patch:
        stopping(patch, CHANGES + 1, False)
        places("second")
    check("second")


def test_logs_of_a_failure_replace_the_logs_alone(places, tmp_path):
    places("first")
    (tmp_path / "failed" / "logs").mkdir(parents=True)
    (tmp_path / "failed" / "logs" / "synthesis.log").write_text("ERROR")
    publish.publish_logs(tmp_path / "failed", Path("out"))
    assert os.listdir("out/logs") == ["synthesis.log"]
    assert Path("out/top.bit").read_text() == "first"
