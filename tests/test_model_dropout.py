"""Dropout: what it leaves out, its derivative, and that threads change nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradients import differences, relative_error
from model.layers import Conv, Dense, Dropout, Pool, ReLU, Tanh
from model.net.losses import cross_entropy
from model.net.network import Network
from model.quantisation.quantise import quantise
from model.training.loop import fit
from model.training.recipe import Recipe


def alone(rate, shape, seed=0, dtype=np.float64):
    layer = Dropout(rate)
    Network([layer], shape, np.random.default_rng(seed), dtype)
    return layer


@given(rate=st.floats(0, 0.95), seed=st.integers(0, 99), shape=st.tuples(*[st.integers(1, 4)] * 4))
@settings(max_examples=30, deadline=None)
def test_gradient(rate, seed, shape):
    height, channels, width, _ = shape
    layer, cache = alone(rate, (height, width, channels), seed), {"draw": (3, 32)}
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=shape), rng.normal(size=shape)

    def loss():
        return float((layer.forward(x, cache) * weight).sum())

    loss()
    analytic = layer.backward(weight, cache).copy()
    assert relative_error(analytic, differences(loss, x)) < 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_share_and_mean(rate, dtype):
    layer = alone(rate, (20, 20, 10), dtype=dtype)
    y = layer.forward(np.ones((20, 10, 20, 32), dtype), {"draw": (0, 0)})
    assert y.dtype == dtype
    assert set(np.unique(y)) <= {dtype(0), dtype(1 / (1 - rate))}
    assert np.mean(y == 0) == pytest.approx(rate, abs=0.006)
    assert y.mean() == pytest.approx(1, abs=0.02)


def test_every_step_batch_and_layer_draws_anew():
    x, masks = np.ones((6, 4, 6, 32)), []
    network = Network([Dropout(), Dropout()], (6, 6, 4), np.random.default_rng(0), np.float64)
    for layer in network.layers:
        for draw in ((0, 0), (1, 0), (0, 32)):
            masks.append(layer.forward(x, {"draw": draw}).copy())
            np.testing.assert_array_equal(masks[-1], layer.forward(x, {"draw": draw}))
    assert len({mask.tobytes() for mask in masks}) == 6


def make(seed=0):
    layers = [Conv(3, 3), ReLU(), Dropout(0.3), Pool("max", 2), Dense(8), Tanh(), Dropout(), Dense(3)]
    return Network(layers, (8, 8, 1), np.random.default_rng(seed))


RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (150, 8, 8, 1)).astype(np.uint8), RNG.integers(0, 3, 150)


def test_used_nets_leave_nothing_out():
    """Also behind a training step with the same memory."""
    network, plain = make(), make()
    for layer in plain.layers:
        if isinstance(layer, Dropout):
            layer.rate = 0.0
    caches = network.new_caches()
    before = network.outputs(IMAGES[:32], caches).copy()
    first = network.gradient(IMAGES[:32], LABELS[:32], cross_entropy, caches, (0, 0))
    again = network.gradient(IMAGES[:32], LABELS[:32], cross_entropy, caches, (1, 0))
    assert first[0] != again[0]
    np.testing.assert_array_equal(network.outputs(IMAGES[:32], caches), before)
    np.testing.assert_array_equal(plain.logits(IMAGES), network.logits(IMAGES))
    unseeded = network.gradient(IMAGES[:32], LABELS[:32], cross_entropy, caches)
    still = plain.gradient(IMAGES[:32], LABELS[:32], cross_entropy, plain.new_caches(), (0, 0))
    np.testing.assert_array_equal(unseeded[2], still[2])


def test_threads_change_nothing():
    vectors = []
    for threads in (1, 2, 3):
        network = make()
        recipe = Recipe(epochs=2, batch=100)
        fit(network, recipe, IMAGES, LABELS, (IMAGES, LABELS), np.random.default_rng(1), threads)
        vectors.append(network.vector.copy())
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    other = make(seed=1)
    other.vector[:] = make().vector
    fit(other, Recipe(epochs=2, batch=100), IMAGES, LABELS, (IMAGES, LABELS), np.random.default_rng(1))
    assert not np.array_equal(other.vector, vectors[0]), "another generator, another draw"


def test_integers_know_nothing_of_it():
    network = make()
    kinds = [spec.kind for spec in quantise(network, IMAGES).specs]
    assert kinds == ["conv", "pool", "dense", "table", "dense"]


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_impossible_rates(rate):
    with pytest.raises(ValueError, match="left out"):
        Dropout(rate)
