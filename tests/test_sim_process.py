"""Programs end with the work that they are part of, and hear of no variables that were set for others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.simulators import process

ROOT = Path(__file__).parents[1]
PARENT = """
import sys, time
from model import cli
from sim.simulators import process, store
from pathlib import Path
def make(folder):
    # a program that starts another one, as compilers do
    words = ["sh", "-c", "sleep 300 & echo $! > $0; wait", sys.argv[2]]
    if sys.argv[1] == "plain":
        process.run(words, folder)
    with process.threads(2) as pool:
        list(pool.map(lambda word: process.run(words, folder), range(2)))
sys.exit(cli.run(lambda argv: store.kept(Path("cache/entry"), make), []))
"""


def alive(number: int) -> bool:
    """Whether a process runs; one that has ended may wait to be reaped by a parent that does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="tells by /proc what runs")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", ["plain", "pool"])
def test_nothing_outlives_a_signal_to_the_parent_alone(how, number, tmp_path):
    told = tmp_path / "number"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, how, str(told)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as parent:
        while not told.is_file() or not told.read_text().strip():
            assert parent.poll() is None, parent.stderr.read()
            time.sleep(0.02)
        child = int(told.read_text())
        assert alive(child)
        parent.send_signal(number)
        said = parent.communicate(timeout=30)[1]
    assert parent.returncode == 128 + number and said.count("\n") == 1
    assert not alive(child) and not list((tmp_path / "cache").iterdir())


def test_a_program_that_does_not_heed_is_ended_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "GRACE", 0.1)
    stubborn = "import signal, time; signal.signal(2, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    program = subprocess.Popen(
        [sys.executable, "-c", stubborn], stdout=subprocess.PIPE, start_new_session=True
    )
    program.stdout.readline()
    process.end(program)
    program.stdout.close()
    assert program.returncode == -signal.SIGKILL


def test_what_a_program_says_is_read_whatever_it_is(tmp_path):
    result = process.run(["printf", "\\377 gr\\303\\266\\303\\237e\\nlast"], tmp_path)
    assert (result.returncode, result.stdout) == (0, "\ufffd größe\nlast")
    assert process.last_words(result) == "last"
    result = process.run(["sh", "-c", "echo fine; echo 'x: error: bad' >&2; exit 3"], tmp_path)
    assert (result.returncode, process.first_complaint(result)) == (3, "x: error: bad")
    assert process.first_complaint(process.run(["false"], tmp_path)) == "status 1"


NAMES = st.sampled_from(
    [
        *("AMARANTH_synth_opts", "AMARANTH_nextpnr_opts", "COCOTB_TESTCASE", "COCOTB_TEST_FILTER"),
        *("PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONSAFEPATH", "PYTHONSTARTUP"),
        *("GPI_USERS", "PYGPI_USERS", "MODULE", "TESTCASE", "PYTEST_CURRENT_TEST", "LANGUAGE"),
    ]
) | st.from_regex(r"(AMARANTH|COCOTB|PYTHON)_[A-Z]{1,8}", fullmatch=True)
FINE = st.sampled_from(["HOME", "PATH", "PYTHONPATH", "PYTHONHOME", "YOWASP_CACHE_DIR", "LD_LIBRARY_PATH"])


@given(foreign=st.dictionaries(NAMES, st.just("x")), fine=st.dictionaries(FINE, st.just("y")))
def test_foreign_variables_stay_outside(foreign, fine):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**foreign, **fine}.items():
            patch.setenv(name, value)
        before = dict(os.environ)
        seen = process.surroundings(MORE="1")
        assert not foreign.keys() & seen.keys() and seen["MORE"] == "1" and seen["LC_ALL"] == "C"
        assert fine.items() <= seen.items()
        with process.undisturbed():
            assert not any(name.startswith("AMARANTH_") for name in os.environ)
        assert dict(os.environ) == before
