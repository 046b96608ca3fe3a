"""Runs programs: none outlives the work that it is part of, and none hears of variables meant for others."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

RUNNING: set[subprocess.Popen] = set()
"""The programs that run now, started by whichever thread."""
GRACE = 2.0
"""Seconds in which an interrupted program may clear up."""
POLL = 0.02
"""Seconds between two looks at what still runs."""
FOREIGN = ("AMARANTH_", "COCOTB_", "GPI_", "PYGPI_", "PYTHON", "PYTEST_")
"""How variables begin that change what our tools do, and were set for other programs. Tools of PyPI are
Python's."""
OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
"""Those that say where a Python is, and how it keeps what it has compiled."""
OLD = ("MODULE", "PLUSARGS", "RANDOM_SEED", "TESTCASE", "TOPLEVEL", "GUI", "WAVES", "LANGUAGE")
"""What cocotb's variables were called once, some of them still heard; and one that translates messages."""


def surroundings(**more: str) -> dict[str, str]:
    """The environment of a tool: ours without what is meant for others; messages in English, in UTF-8."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in OWN or not (name.startswith(FOREIGN) or name in OLD)
    }
    return {**kept, "LC_ALL": "C", "PYTHONUTF8": "1", **more}


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Meanwhile this process' own environment is without Amaranth's variables.

    Amaranth takes them for orders that go before what it is asked for in Python.
    """
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AMARANTH_")}
    try:
        yield
    finally:
        os.environ.update(taken)


def run(
    command: list, folder, *, environment: dict[str, str] | None = None, stdout=subprocess.PIPE
) -> subprocess.CompletedProcess:
    """Run a program to its end; where the work is interrupted, it ends too, with all it started.

    Parameters
    ----------
    command : list
        Of words or paths.
    folder : path
        It works in this one.
    environment : dict of str, optional
        Variables besides its `surroundings`.
    stdout : file, optional
        Takes standard output and error together; otherwise they are in the result, as text.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=surroundings(**(environment or {})),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE if stdout == subprocess.PIPE else subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        # a group of its own, which is ended as a whole: a compiler is several programs
        start_new_session=True,
    )
    RUNNING.add(process)
    try:
        said, complaints = process.communicate()
    except BaseException:
        end(process)
        raise
    finally:
        RUNNING.discard(process)
    return subprocess.CompletedProcess(process.args, process.returncode, said, complaints)


def end(process: subprocess.Popen) -> None:
    """End a program and what it has started: asked first, as by Ctrl-C, then without asking."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


@contextlib.contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that run programs; where the main thread is interrupted the programs end."""
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except Exception:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        except BaseException:
            ending = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True})
            ending.start()
            # a thread that was about to start a program does so yet
            while ending.is_alive():
                for process in list(RUNNING):
                    end(process)
                ending.join(POLL)
            raise


def last_words(result: subprocess.CompletedProcess) -> str:
    """What a program said last, or the number that it ended with."""
    lines = ((result.stderr or "").strip() or (result.stdout or "").strip()).splitlines()
    return lines[-1].strip() if lines else f"status {result.returncode}"


def first_complaint(result: subprocess.CompletedProcess) -> str:
    """The first line that speaks of an error, or the first of all."""
    said = [line.strip() for line in ((result.stderr or "") + (result.stdout or "")).splitlines()]
    lines = [line for line in said if "rror" in line] or [line for line in said if line]
    return lines[0] if lines else f"status {result.returncode}"
