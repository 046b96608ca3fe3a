"""Teams of processes and of threads: who does what, what is told when it fails, and who is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic.chunks import CHUNK
from model.layers import Conv, Dense
from model.net.network import Network
from model.training import team
from model.training.learner import Learner
from model.training.loop import fit
from model.training.recipe import Recipe
from model.training.team import Team, shared

ROOT = Path(__file__).parent.parent
NETWORK = Network([Conv(8, 1), Dense(2)], (40, 40, 1), np.random.default_rng(0))
"""Large enough for chunks of the smallest size."""
KINDS = (True, False)


def numbers(message, chunk, caches):
    """Who did it, whose memory it was, and the chunk's numbers."""
    caches[0].setdefault("owner", os.getpid())
    return os.getpid(), caches[0]["owner"], id(caches), list(range(*message))[chunk]


@given(members=st.integers(1, 5), count=st.integers(0, 200))
@settings(max_examples=15)
@pytest.mark.parametrize("forks", KINDS)
def test_every_chunk_once_and_in_order(forks, members, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(team, "FORKS", forks)
        with Team.of(NETWORK, {"numbers": numbers}, members) as workers:
            for start in (0, 1000):
                parts = workers.map("numbers", (start, start + count), count)
                assert [n for *_, part in parts for n in part] == list(range(start, start + count))
                assert all(len(part) == CHUNK for *_, part in parts[:-1])
                for index, (process, owner, memory, _) in enumerate(parts):
                    mate = parts[index % min(members, len(parts))]
                    assert process == owner and (process, memory) == (mate[0], mate[2])
        assert len({process for process, *_ in parts}) == (min(members, len(parts)) if forks else bool(parts))


@pytest.mark.parametrize("forks", KINDS)
@pytest.mark.parametrize("failing", [0, CHUNK, 2 * CHUNK])
def test_a_failing_chunk_is_reported_and_leaves_nothing_behind(forks, failing, monkeypatch):
    def work(message, chunk, caches):
        if chunk.start == message:
            raise FloatingPointError("in a chunk")
        return message, chunk.start

    monkeypatch.setattr(team, "FORKS", forks)
    with Team.of(NETWORK, {"work": work}, 3) as workers:
        with pytest.raises(FloatingPointError, match="in a chunk"):
            workers.map("work", failing, 3 * CHUNK)
        assert workers.map("work", None, 3 * CHUNK) == [(None, start * CHUNK) for start in range(3)]


@pytest.mark.parametrize("members", [0, -1, 65])
def test_number_of_members_is_checked(members):
    with pytest.raises(ValueError, match="between 1 and 64"), Team.of(None, {}, members):
        pass


def test_a_helper_that_was_ended_is_told():
    with Team.of(NETWORK, {"numbers": numbers}, 2) as workers:
        process = workers.helpers[0].process
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with pytest.raises(ChildProcessError, match="ended from outside"):
            workers.map("numbers", (0, 99), 99)


def gone(pids, seconds=30):
    """Whether all processes end in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        alive = [pid for pid in pids if Path(f"/proc/{pid}/stat").exists()]
        if all(Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z" for pid in alive):
            return True
        time.sleep(0.05)
    return False


def test_helpers_end_with_the_team():
    with pytest.raises(KeyboardInterrupt), Team.of(NETWORK, {"numbers": numbers}, 4) as workers:
        pids = {process for process, *_ in workers.map("numbers", (0, 200), 200)} - {os.getpid()}
        assert len(pids) == 3
        raise KeyboardInterrupt
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_helpers_end_when_their_parent_is_killed():
    code = """
import os, sys, time
sys.path.insert(0, "tests")
from test_model_team import NETWORK, Team, numbers
with Team.of(NETWORK, {"numbers": numbers}, 3) as workers:
    print(*{part[0] for part in workers.map("numbers", (0, 99), 99)} - {os.getpid()}, flush=True)
    time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2 and not gone(pids, 0.2)
    parent.kill()
    parent.communicate()
    assert gone(pids)


def test_shared_arrays():
    array = shared((3, 2), np.float32)

    def work(message, chunk, caches):
        array[chunk.start // CHUNK] = message

    with Team.of(NETWORK, {"work": work}, 3) as workers:
        workers.map("work", 7, 3 * CHUNK)
    np.testing.assert_array_equal(array, np.full((3, 2), 7, np.float32))
    assert shared((0,), np.float64).size == 0


def trained(forks, threads, monkeypatch):
    """The weights that a training ends with, and its validation accuracies."""
    monkeypatch.setattr(team, "FORKS", forks)
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 3
    images = rng.integers(0, 200, (200, 6, 5, 1)).astype(np.uint8)
    images[np.arange(200), :, labels] += 55
    network = Network([Dense(8), Dense(3)], (6, 5, 1), rng)
    recipe = Recipe(2, batch=150, rate=0.3)
    history = fit(network, recipe, images, labels, (images[:99], labels[:99]), rng, threads)
    return [network.vector, *(epoch.validation for epoch in history)]


def test_processes_and_threads_train_the_same_net(monkeypatch):
    wanted = trained(True, 1, monkeypatch)
    for forks in KINDS:
        for found, value in zip(trained(forks, 3, monkeypatch), wanted):
            np.testing.assert_array_equal(found, value)


def test_a_mutant_whose_helpers_keep_their_first_weights_differs(monkeypatch):
    wanted = trained(True, 3, monkeypatch)[0]
    gradient = Learner.gradient

    def stale(learner, *rest):
        if os.getpid() != parent:
            learner.vector = first
        return gradient(learner, *rest)

    parent, first = os.getpid(), np.zeros_like(wanted)
    monkeypatch.setattr(Learner, "gradient", stale)
    assert (trained(True, 3, monkeypatch)[0] != wanted).any()
