"""Penalties against definition and central differences; losses at the end of a net; the command's options."""

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import idx
from gradients import differences
from model import cli, train
from model.layers import Conv, Dense, ReLU, Sigmoid, Softmax
from model.net.losses import LOSSES, Penalty
from model.net.network import Network
from model.training import nets
from model.training.loop import fit
from model.training.recipe import Recipe

SETTINGS = settings(max_examples=60, deadline=None)


@SETTINGS
@given(
    p=st.floats(1, 12), strength=st.floats(0.01, 3), count=st.integers(1, 20), seed=st.integers(0, 2**32 - 1)
)
@example(p=1.0, strength=0.5, count=7, seed=0)
@example(p=2.0, strength=0.5, count=7, seed=0)
def test_penalties(p, strength, count, seed):
    rng = np.random.default_rng(seed)
    # far enough from zero to step over no kink
    weights = rng.uniform(0.05, 2, count) * rng.choice([-1, 1], count)
    penalty = Penalty(strength, p)
    value, slope = penalty(weights)
    assert value == pytest.approx(strength * sum(abs(w) ** p for w in weights.tolist()) ** (1 / p), rel=1e-12)
    numerical = differences(lambda: penalty(weights)[0], weights)
    assert np.abs(numerical - slope).max() / np.abs(numerical).max() < 1e-6


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 1e300])
def test_penalties_at_zero(p):
    value, slope = Penalty(1.0, p)(np.zeros(3))
    assert value == 0 and slope.tolist() == [0, 0, 0]
    value, slope = Penalty(1.0, p)(np.array([0.0, -3.0]))
    assert (value, slope.tolist()) == (3, [0, -1])
    assert Penalty(1.0, p)(np.empty(0))[0] == 0


@pytest.mark.parametrize("p", [1, 2, 7.5, 1e6])
def test_penalties_of_large_and_small_weights(p):
    for scale in (1e-30, 1e30):
        value, slope = Penalty(2.0, p)(np.array([scale, -scale], np.float32))
        assert slope.dtype == np.float32
        assert value == pytest.approx(2 * scale * 2 ** (1 / p), rel=1e-6)
        assert slope.tolist() == pytest.approx([2 * 2 ** (1 / p - 1), -2 * 2 ** (1 / p - 1)], rel=1e-6)


@pytest.mark.parametrize(
    "fields", [(-1, 2), (math.nan, 2), (math.inf, 2), (1, 0.5), (1, math.inf), (1, math.nan)]
)
def test_penalties_refuse(fields):
    with pytest.raises(ValueError):
        Penalty(*fields)


@pytest.mark.parametrize(("loss", "end"), [("cross-entropy", Softmax), ("binary-cross-entropy", Sigmoid)])
def test_a_loss_does_its_own_last_activation(loss, end):
    """The net that ends in it has the same loss and gradient, however large its values."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 5, 5, 1)), rng.integers(0, 3, 6)
    for scale in (1, 1e4):
        results = []
        for last in ([], [end()]):
            network = Network(
                [Conv(2, 3), ReLU(), Dense(3), *last], (5, 5, 1), np.random.default_rng(1), np.float64
            )
            network.vector *= scale
            results.append(network.gradient(images, labels, LOSSES[loss], network.new_caches()))
        assert results[0][:2] == results[1][:2] and np.isfinite(results[0][0])
        np.testing.assert_array_equal(results[0][2], results[1][2])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("end", [Softmax, Sigmoid])
def test_any_loss_behind_any_end(loss, end):
    rng = np.random.default_rng(3)
    network = Network([Conv(2, 3), ReLU(), Dense(3), end()], (5, 5, 1), rng, np.float64)
    images, labels = rng.integers(0, 256, (4, 5, 5, 1)), rng.integers(0, 3, 4)
    caches = network.new_caches()
    _, _, gradient = network.gradient(images, labels, LOSSES[loss], caches)
    numerical = differences(lambda: network.gradient(images, labels, LOSSES[loss], caches)[0], network.vector)
    assert np.abs(numerical - gradient).max() / np.abs(numerical).max() < 1e-6


def test_only_weights_are_penalised():
    network = Network([Conv(2, 3), Dense(3)], (5, 5, 1), np.random.default_rng(0))
    for layer in network.layers:
        layer.params["weights"][:] = 1
    assert (network.vector[network.weights] == 1).all()
    assert len(network.weights) == sum(layer.params["weights"].size for layer in network.layers)


def test_training_makes_penalised_weights_small():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (64, 5, 5, 1)).astype(np.uint8), rng.integers(0, 3, 64)
    sizes, losses = [], []
    for penalty in (None, Penalty(1.0)):
        network = Network([Conv(2, 3), Dense(3)], (5, 5, 1), np.random.default_rng(1))
        before = Penalty(1.0)(network.vector[network.weights])[0]
        recipe = Recipe(epochs=6, batch=16, penalty=penalty)
        history = fit(network, recipe, images, labels, (images, labels), np.random.default_rng(2))
        sizes.append(np.linalg.norm(network.vector[network.weights]))
        losses.append(history[0].loss)
    assert sizes[1] < 0.7 * sizes[0]
    assert losses[1] > losses[0] + before / 2  # the report has the penalty in it


OPTIONS = ["--loss", "binary-cross-entropy", "--penalty", "0.01", "--norm", "1.5"]


def test_options():
    recipe = train.recipe_of(train.parse(["lenet", *OPTIONS]))
    assert (recipe.loss, recipe.penalty) == ("binary-cross-entropy", Penalty(0.01, 1.5))
    assert train.recipe_of(train.parse(["lenet"])) == nets.NETS["lenet"].recipe


def test_the_command(tmp_path, capsys):
    data = idx.write_dataset(tmp_path / "data", (28, 28))
    out = tmp_path / "net.npz"
    options = ["--data", str(data), "--epochs", "1", "--out", str(out), "--json", str(tmp_path / "a.json")]
    assert cli.run(train.main, ["lenet", *options, *OPTIONS]) == 0
    assert out.is_file() and json.loads((tmp_path / "a.json").read_text())["epochs"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["--loss", "hinge"],
        ["--penalty", "-1"],
        ["--penalty", "x"],
        ["--penalty", "nan"],
        ["--penalty", "1", "--norm", "0"],
    ],
)
def test_wrong_options(wrong, capsys):
    assert cli.run(train.main, ["lenet", *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1
