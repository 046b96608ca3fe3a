"""``python -m model.train`` killed with SIGKILL at random moments, and gone on with ``--resume``."""

import csv
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import idx
from model import cli, train
from model.training import checkpoint
from model.training import loop as training
from model.training.loop import Training

ROOT = Path(__file__).parent.parent
# The command itself, but for the checkpoint of the end, which holds all that the training remembers.
KEEPING = """
import runpy, sys
from model.training.checkpoint import Checkpoint
Checkpoint.remove = lambda self: None
sys.argv[0] = "model.train"
runpy.run_module("model.train", run_name="__main__")
"""
MOVES = "rotation=10,shift=1,strength=1"


def start(data, out, epochs, *more):
    """A process that trains."""
    arguments = ["lenet", "--data", data, "--out", out, "--epochs", epochs, "--save-every", 0.01]
    arguments += ["--qat-epochs", epochs // 3, "--weight-bits", 3]
    arguments += ["--augment", MOVES, "--batch", 32, "--no-pictures", *more]
    return subprocess.Popen(
        [sys.executable, "-c", KEEPING, *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def results(out):
    """What a run left: its artifact, its history but for the times, and all that its training remembered."""
    with open(out.with_name("net.history.csv")) as file:
        history = [row[:-2] for row in csv.reader(file)]
    run, states = checkpoint.read(out.with_name("net.checkpoint.npz"))
    found = {"artifact": out.read_bytes(), "history": history, "run": run}
    assert states.keys() == {"training", "tuning"}
    for name, state in states.items():
        for epoch in state.values["place"]["history"]:
            del epoch["seconds"]
        found.update({f"{name} {key}": value for key, value in {**state.values, **state.arrays}.items()})
    return found


def check(out, wanted):
    """The results are those of the other run, bit for bit, and nothing else was left."""
    found = results(out)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, name)
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "net.checkpoint.npz", "net.history.csv", "net.npz",
    ]  # fmt: skip


def ended(process):
    """Wait for a process that nobody kills."""
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    return error


def kill_and_resume(folder, kills, epochs, seed):
    """Kill a run so often at random moments and let it end; compare with one that was left alone."""
    data = idx.write_dataset(folder / "data", (28, 28), classes=4, count=400)
    out = folder / "out" / "net.npz"
    begin = time.monotonic()
    process = start(data, out, epochs)
    while not out.with_name("net.checkpoint.npz").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    first = time.monotonic() - begin  # what it takes to come to the first save
    ended(process)
    span = (time.monotonic() - begin - first) / kills
    wanted = results(out)
    shutil.rmtree(out.parent)
    moments, killed = random.Random(seed), 0
    while killed < kills:
        process = start(data, out, epochs, "--resume")
        try:
            process.wait(max(0.0, first + moments.uniform(-0.5, 1.5) * span))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        error = process.communicate()[1]
        if process.returncode == -signal.SIGKILL:
            killed += 1
        else:  # it was quicker: another one
            assert process.returncode == 0, error
            check(out, wanted)
            shutil.rmtree(out.parent)
    error = ended(start(data, out, epochs, "--resume"))
    assert error.count("\n") <= 1
    check(out, wanted)


def test_killed_a_few_times(tmp_path):
    kill_and_resume(tmp_path, kills=3, epochs=20, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 3))
def test_killed_twenty_times(tmp_path, seed):
    kill_and_resume(tmp_path, kills=20, epochs=100, seed=seed)


def command(*arguments):
    return cli.run(train.main, [str(argument) for argument in arguments])


@pytest.fixture
def cut_short(tmp_path, monkeypatch):
    """A run that ended in its second epoch; gives the arguments that began it."""
    data = idx.write_dataset(tmp_path / "data", (28, 28))
    arguments = ["lenet", "--data", data, "--out", tmp_path / "net.npz", "--epochs", 3, "--no-pictures"]
    with monkeypatch.context() as patch:
        steps = iter(range(3))

        def step(training, *rest):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return Training.step(training, *rest)

        patch.setattr(training, "Training", type("Ending", (Training,), {"step": step}))
        assert command(*arguments, "--batch", 30, "--save-every", 0) == 130
    return [*arguments, "--batch", 30]


def test_resumes_and_clears_away(cut_short, tmp_path, capsys):
    assert (tmp_path / "net.checkpoint.npz").exists() and not (tmp_path / "net.npz").exists()
    capsys.readouterr()
    assert command(*cut_short, "--resume") == 0
    assert not capsys.readouterr().err
    resumed = (tmp_path / "net.npz").read_bytes()
    assert not (tmp_path / "net.checkpoint.npz").exists()
    assert command(*cut_short) == 0
    assert not capsys.readouterr().err
    assert (tmp_path / "net.npz").read_bytes() == resumed
    assert len((tmp_path / "net.history.csv").read_text().splitlines()) == 4


def test_nothing_to_resume_from(cut_short, tmp_path, capsys):
    (tmp_path / "net.checkpoint.npz").unlink()
    capsys.readouterr()
    assert command(*cut_short, "--resume") == 0
    error = capsys.readouterr().err
    assert "net.checkpoint.npz" in error and error.count("\n") == 1


def test_a_new_run_says_what_it_replaces(cut_short, capsys):
    capsys.readouterr()
    assert command(*cut_short) == 0
    error = capsys.readouterr().err
    assert "--resume" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seed", 1], "seed is 0, not 1"),
        (["--epochs", 4], "recipe epochs is 3, not 4"),
        (["--optimiser", "adam"], "recipe optimiser is momentum, not adam"),
        (["--weight-bits", 4], "weight bits is"),
        (["--augment", "none"], "recipe augment is {"),
    ],
)
def test_other_options_are_refused(cut_short, options, told, tmp_path, capsys):
    before = (tmp_path / "net.checkpoint.npz").read_bytes()
    capsys.readouterr()
    assert command(*cut_short, *options, "--resume") == 2
    error = capsys.readouterr().err
    assert told in error and "net.checkpoint.npz" in error and error.count("\n") == 1
    assert (tmp_path / "net.checkpoint.npz").read_bytes() == before


def test_another_net_of_the_same_name_is_refused(cut_short, tmp_path, capsys):
    (tmp_path / "lenet.toml").write_text('layers = [{conv = 6, kernel = 3}, "relu", {dense = "classes"}]')
    capsys.readouterr()
    assert command(tmp_path / "lenet.toml", *cut_short[1:], "--resume") == 2
    assert "its layers" in capsys.readouterr().err


def test_other_images_are_refused(cut_short, tmp_path, capsys):
    idx.write_dataset(tmp_path / "data", (28, 28), seed=1)
    capsys.readouterr()
    assert command(*cut_short, "--resume") == 2
    error = capsys.readouterr().err
    assert "its data is" in error and error.count("\n") == 1


def test_a_damaged_checkpoint_is_refused(cut_short, tmp_path, capsys):
    path = tmp_path / "net.checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-100])
    capsys.readouterr()
    assert command(*cut_short, "--resume") == 2
    error = capsys.readouterr().err
    assert "net.checkpoint.npz" in error and error.count("\n") == 1 and not (tmp_path / "net.npz").exists()


def test_no_place_for_a_checkpoint(capsys):
    assert command("lenet", "--out", "/dev/null", "--resume") == 2
    assert "--resume" in capsys.readouterr().err
