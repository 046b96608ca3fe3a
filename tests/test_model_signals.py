"""Ctrl-C and SIGTERM end a command at whatever moment they come, in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model import cli, signals

ROOT = Path(__file__).parents[1]


def started(code: str, *words, **options):
    """A Python that runs some code, as a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        **options,
    )


@pytest.mark.parametrize("number, status, word", [(2, 130, "interrupted"), (15, 143, "terminated")])
def test_either_is_one_line_and_undoes_what_was_begun(number, status, word, tmp_path):
    code = """
import os, sys, tempfile, time
from model import cli
def command(argv):
    with tempfile.TemporaryDirectory(dir=argv[0]):
        print("begun", flush=True)
        time.sleep(60)
sys.exit(cli.run(command))
"""
    process = started(code, str(tmp_path))
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    assert process.communicate(timeout=30) == ("", f"error: {word}\n")
    assert process.returncode == status and not list(tmp_path.iterdir())


@pytest.mark.parametrize("number, status", [(2, 130), (15, 143)])
@pytest.mark.parametrize("where", ["__del__", "weakref", "gc"])
def test_neither_is_lost_in_a_finaliser(where, number, status):
    """Python prints what is raised there, and goes on; a second such place is no better."""
    code = """
import gc, os, sys, weakref
from model import cli
where, number = sys.argv[1], int(sys.argv[2])
hits = []
def hit(*_):
    if len(hits) < 3:
        hits.append(1)
        os.kill(os.getpid(), number)
        for _ in range(1000):
            pass
class Thing:
    if where == "__del__":
        __del__ = hit
if where == "gc":
    gc.callbacks.append(hit)
def command(argv):
    for _ in range(10_000_000):
        thing = Thing()
        kept = weakref.ref(thing, hit) if where == "weakref" else None
        del thing
        if where == "gc":
            gc.collect()
    print("went on")
sys.exit(cli.run(command, []))
"""
    process = started(code, where, str(number))
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", status)
    assert err.count("\n") == 1 and err.startswith("error: ")


def test_other_faults_of_finalisers_are_told_as_before(capsys, monkeypatch):
    class Bad:
        def __del__(self):
            raise RuntimeError

    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: found.append(told.exc_type))
    hook = sys.unraisablehook

    def command(argv):
        Bad()

    assert cli.run(command, []) == 0 and found == [RuntimeError] and sys.unraisablehook is hook


def test_handlers_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert cli.run(lambda argv: None, []) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_is_ignored_stays_so():
    """As of a command that a script has put into the background."""
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from model import cli
def command(argv):
    os.kill(os.getpid(), signal.SIGINT)
    print("went on")
sys.exit(cli.run(command, []))
"""
    process = started(code)
    assert process.communicate(timeout=30) == ("went on\n", "") and process.returncode == 0


def test_forked_process_just_ends():
    """As helpers of the training do when they are ended."""
    code = """
import os, signal, sys, time
from model import cli
def command(argv):
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b".")
        time.sleep(60)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitpid(child, 0)[1], flush=True)
sys.exit(cli.run(command, []))
"""
    process = started(code)
    assert process.communicate(timeout=30) == ("15\n", "") and process.returncode == 0


@pytest.mark.parametrize("words", [["-m", "boards.build"], ["-m", "model.describe"], ["-m", "hdl.plan"]])
def test_imports_are_interrupted_in_one_line(words, tmp_path):
    """The first module that they want is held up, and the signal comes there."""
    for name in ("numpy", "rich", "amaranth"):
        (tmp_path / f"{name}.py").write_text("import sys, time\nprint('here', flush=True)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, *words, "--help"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=tmp_path,
    )
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("", "error: interrupted\n", 130)


def test_programs_that_import_us_are_left_alone():
    code = "import signal, boards.build; print(signal.getsignal(2) is signal.default_int_handler)"
    process = started(code)
    assert process.communicate(timeout=60) == ("True\n", "")


def test_status_of_a_terminated_command(capsys):
    def command(argv):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    assert cli.run(command, []) == signals.TERMINATED
    assert capsys.readouterr().err == "error: terminated\n"
