"""Batch normalisation: its derivative in training, its constants, and that folding changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic.chunks import CHUNK
from model.layers import BatchNorm, Conv, Dense, Depthwise, Dropout, Pool, ReLU, Residual
from model.net.losses import cross_entropy
from model.net.network import Network
from model.quantisation.fold import folded
from test_model_layers import gradient_error


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    seed=st.integers(0, 2**32 - 1),
    epsilon=st.sampled_from([1e-3, 0.1]),
)
@settings(max_examples=25, deadline=None)
def test_gradient_in_training(shape, seed, epsilon):
    assert gradient_error(BatchNorm(epsilon), shape, seed, draw=(0, 0)) < 1e-6


class Mutant(BatchNorm):
    """Takes mean and variance for constants in the backward pass too."""

    def backward(self, dy, cache):
        cache["training"] = False
        return super().backward(dy, cache)


def test_gradient_check_finds_a_mutant():
    assert gradient_error(Mutant(), (3, 3, 2), 0, draw=(0, 0)) > 1e-3


@given(seed=st.integers(0, 2**32 - 1), images=st.integers(2, 2 * CHUNK + 5))
@settings(max_examples=20, deadline=None)
def test_measured_constants_are_the_images_own(seed, images):
    rng = np.random.default_rng(seed)
    network = Network([BatchNorm(1e-9), Dense(2)], (3, 4, 2), rng, np.float64)
    x = rng.normal(3, 2, (images, 3, 4, 2))
    network.measure(x)
    np.testing.assert_allclose(network.layers[0].mean, x.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(network.layers[0].variance, x.var(axis=(0, 1, 2)), rtol=1e-9)
    normal = network.trace(x)[0]
    np.testing.assert_allclose(normal.mean(axis=(0, 1, 2)), 0, atol=1e-9)
    np.testing.assert_allclose(normal.var(axis=(0, 1, 2)), 1, rtol=1e-6)


def test_measuring_draws_nothing_and_training_leaves_the_constants():
    rng = np.random.default_rng(0)
    network = Network([Dropout(0.9), BatchNorm(), Dense(2)], (3, 3, 1), rng, np.float64)
    x, labels = rng.normal(size=(9, 3, 3, 1)), rng.integers(0, 2, 9)
    network.measure(x)
    kept = network.layers[1].mean.copy()
    np.testing.assert_allclose(kept, x.mean(axis=(0, 1, 2)))
    network.gradient(x, labels, cross_entropy, network.new_caches(), draw=(1, 2))
    np.testing.assert_array_equal(network.layers[1].mean, kept)


def test_a_constant_channel_is_no_division_by_zero():
    network = Network([BatchNorm(), Dense(2)], (2, 2, 1), np.random.default_rng(0))
    images = np.full((3, 2, 2, 1), 7, np.uint8)
    network.measure(images)
    assert np.isfinite(network.logits(images)).all()


NETS = {
    "conv": lambda: [Conv(4, 3), BatchNorm(), ReLU(), Dense(3)],
    "conv without bias": lambda: [Conv(4, 3, bias=None), BatchNorm(), ReLU(), Dense(3), BatchNorm()],
    "bias by pixel": lambda: [Conv(4, 3, bias="pixel"), BatchNorm(), Dense(3)],
    "groups": lambda: [Depthwise(3, multiplier=2), BatchNorm(), Conv(4, 2, groups=2), BatchNorm(), Dense(3)],
    "alone": lambda: [BatchNorm(), Conv(3, 3), Pool("max", 2), BatchNorm(), ReLU(), Dense(3)],
    "twice": lambda: [Conv(3, 3), BatchNorm(), BatchNorm(), Dense(3)],
    "residual": lambda: [
        Residual([Conv(4, 3, 2, "same", bias=None), BatchNorm()], [BatchNorm(), Conv(4, 1, 2), BatchNorm()]),
        ReLU(),
        Dense(3),
    ],
}


@pytest.mark.parametrize("name", NETS)
def test_folded_net_computes_the_same(name):
    rng = np.random.default_rng(1)
    network = Network(NETS[name](), (7, 6, 2), rng, np.float64)
    network.vector += rng.normal(0, 0.3, network.params)
    images = rng.integers(0, 256, (50, 7, 6, 2)).astype(np.uint8)
    network.measure(images)
    before = network.vector.copy()
    net = folded(network)
    np.testing.assert_allclose(net.logits(images), network.logits(images), rtol=1e-9, atol=1e-9)
    assert not net.measures and network.measures
    # A net of its own, whose layers kept their names.
    names = {layer.name for layer in network.layers}
    assert {layer.name for layer in net.layers} <= names
    net.vector[:] = 0
    np.testing.assert_array_equal(network.vector, before)
    assert not net.logits(images).any() and network.logits(images).any()


def test_fold_check_finds_a_mutant():
    """Statistics that were never measured fold to something else."""
    rng = np.random.default_rng(1)
    network = Network(NETS["conv"](), (7, 6, 2), rng, np.float64)
    images = rng.integers(0, 256, (50, 7, 6, 2)).astype(np.uint8)
    net = folded(network)
    network.measure(images)
    assert np.abs(net.logits(images) - network.logits(images)).max() > 1e-3


@pytest.mark.parametrize("epsilon", [0, -1e-5, float("inf"), float("nan")])
def test_epsilon_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon"):
        BatchNorm(epsilon)
