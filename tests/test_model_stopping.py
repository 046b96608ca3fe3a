"""Early stopping on the validation images."""

import json

import numpy as np
import pytest

import idx
from model import cli, train
from model.layers import Dense
from model.net.network import Network
from model.training.learner import Learner
from model.training.loop import fit
from model.training.recipe import Recipe

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (40, 4, 4, 1)).astype(np.uint8), RNG.integers(0, 3, 40)


def run(monkeypatch, accuracies, patience, epochs=8):
    """Train with given validation accuracies; gives the net, its history and its weights by epoch."""
    weights, told = [], iter(accuracies)

    def accuracy(learner, team, epoch):
        weights.append(learner.network.vector.copy())
        return next(told)

    monkeypatch.setattr(Learner, "accuracy", accuracy)
    network = Network([Dense(3)], (4, 4, 1), np.random.default_rng(1))
    recipe = Recipe(epochs, batch=20, patience=patience)
    history = fit(network, recipe, IMAGES, LABELS, (IMAGES, LABELS), np.random.default_rng(2))
    return network, history, weights


@pytest.mark.parametrize(
    ("accuracies", "patience", "epochs", "best"),
    [
        ([0.1, 0.3, 0.2, 0.3, 0.4], 2, 4, 1),
        ([0.1, 0.3, 0.2, 0.4, 0.4, 0.1, 0.2, 0.3], 3, 7, 3),
        ([0.5, 0.4, 0.6], 1, 2, 0),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 1, 8, 7),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1], 20, 8, 0),
        ([0.0, 0.0, 0.0], 2, 3, 0),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.2], None, 8, 7),
    ],
)
def test_the_best_epoch_is_kept(monkeypatch, accuracies, patience, epochs, best):
    network, history, weights = run(monkeypatch, accuracies, patience)
    assert [epoch.validation for epoch in history] == accuracies[:epochs]
    np.testing.assert_array_equal(network.vector, weights[best])


def test_until_it_stops_nothing_else_changes(monkeypatch):
    _, _, waiting = run(monkeypatch, [0.5] + [0.1] * 7, 3)
    _, _, plain = run(monkeypatch, [0.5] + [0.1] * 7, None)
    assert len(waiting) == 4
    np.testing.assert_array_equal(waiting, plain[:4])


def test_the_command(tmp_path, capsys, monkeypatch):
    told = iter([0.5, 0.7, 0.6, 0.2, 0.9])
    monkeypatch.setattr(Learner, "accuracy", lambda *_: next(told))
    data = idx.write_dataset(tmp_path / "data", (28, 28))
    options = ["--data", str(data), "--epochs", "5", "--patience", "2", "--threads", "1"]
    files = ["--out", str(tmp_path / "net.npz"), "--json", str(tmp_path / "a.json")]
    assert cli.run(train.main, ["lenet", *options, *files]) == 0
    result = json.loads((tmp_path / "a.json").read_text())
    assert (result["epochs"], result["validation_accuracy"]) == (4, 0.7)


@pytest.mark.parametrize("patience", ["0", "-1", "x"])
def test_wrong_patience(patience, capsys):
    assert cli.run(train.main, ["lenet", f"--patience={patience}"]) == 2
    assert "--patience" in capsys.readouterr().err
