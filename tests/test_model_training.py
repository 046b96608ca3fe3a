"""Training: rates, averages, moved images, and results that depend on the seed alone."""

import numpy as np
import pytest

from model.layers import Conv, Dense, Pool, ReLU, Sigmoid
from model.net.losses import cross_entropy
from model.net.network import Network
from model.training.augment import Affine, Elastic
from model.training.loop import fit
from model.training.recipe import Recipe


def data(count=150, shape=(10, 9, 1), classes=3, seed=0):
    """Images whose class is the third in which a bright bar stands."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 80, (count, *shape)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[:, label * shape[1] // classes] = 255
    return images, labels


def trained(threads=1, seed=0, **recipe):
    images, labels = data()
    recipe = Recipe(**{"epochs": 2, "batch": 70, "rate": 0.2, "averaging": 0.9} | recipe)
    rng = np.random.default_rng(seed)
    layers = [Conv(4, 3), Pool("max", 2), ReLU(), Conv(3, 2), Sigmoid(), Dense(3)]
    network = Network(layers, images.shape[1:], rng)
    history = fit(network, recipe, images[30:], labels[30:], (images[:30], labels[:30]), rng, threads)
    return network, history


def test_learns():
    network, history = trained(epochs=30)
    images, labels = data(seed=1)
    assert np.mean(network.classify(images) == labels) > 0.95
    assert history[-1].loss < history[0].loss / 2 and history[-1].validation > 0.95
    assert len(history) == 30


@pytest.mark.parametrize("loss", ["cross-entropy", "rmse"])
@pytest.mark.parametrize("elastic", [None, Elastic(1, 2)])
@pytest.mark.parametrize("augment", [None, Affine(10, 0.1, 0.1, 1)])
def test_result_does_not_depend_on_threads(loss, augment, elastic):
    moves = {"augment": augment, "elastic": elastic}
    nets = [trained(threads, loss=loss, **moves)[0].vector for threads in (1, 2, 3, 7)]
    for other in nets[1:]:
        np.testing.assert_array_equal(nets[0], other)


def test_result_depends_on_the_seed():
    first, again, other = (trained(seed=seed)[0].vector for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_validation_images_are_not_learnt_from():
    images, labels = data()
    vectors = []
    for validation in (images[:30], images[:30] ^ 255):
        rng = np.random.default_rng(0)
        network = Network([Dense(3)], images.shape[1:], rng)
        fit(network, Recipe(2), images[30:], labels[30:], (validation, labels[:30]), rng)
        vectors.append(network.vector)
    np.testing.assert_array_equal(*vectors)


def test_a_loss_that_is_no_number_ends_training():
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="loss is"):
        trained(rate=1e38, epochs=50, clip=1e38)


def test_gradient_of_a_batch_is_the_sum_of_its_chunks():
    network = Network([Conv(2, 3), ReLU(), Dense(3)], (10, 9, 1), np.random.default_rng(0), np.float64)
    images, labels = data(64)
    whole = network.gradient(images, labels, cross_entropy, network.new_caches())
    caches = network.new_caches()
    chunks = slice(40), slice(40, 64)
    parts = [network.gradient(images[chunk], labels[chunk], cross_entropy, caches) for chunk in chunks]
    assert whole[0] == pytest.approx(parts[0][0] + parts[1][0])
    assert whole[1] == parts[0][1] + parts[1][1]
    np.testing.assert_allclose(whole[2], parts[0][2] + parts[1][2], atol=1e-10)
