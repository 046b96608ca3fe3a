"""Training: rates, averages, moved images, and results that depend on the seed alone."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.augment import Affine, Elastic
from model.layers import Conv, Dense, Pool, ReLU, Sigmoid
from model.losses import cross_entropy
from model.nets import NETS
from model.network import CHUNK, Network
from model.recipe import Recipe
from model.training import fit
from model.workers import Workers


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


@given(threads=st.integers(1, 5), count=st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_workers_share_every_chunk_once_and_keep_the_order(threads, count):
    network = Network([Dense(2)], (1, 1, 1), np.random.default_rng(0))
    owners = {}

    def task(chunk, caches):
        assert owners.setdefault(id(caches), threading.get_ident()) == threading.get_ident()
        return list(range(count))[chunk]

    with Workers.of(network, threads) as workers:
        parts = workers.map(task, count)
    assert [image for part in parts for image in part] == list(range(count))
    assert all(len(part) == CHUNK for part in parts[:-1])


def test_a_batch_has_two_chunks_at_least():
    network = Network([Dense(2)], (1, 1, 1), np.random.default_rng(0))
    with Workers.of(network, 1) as workers:
        sizes = [
            workers.map(lambda chunk, caches: chunk.stop - chunk.start, count, 2 * CHUNK)
            for count in (CHUNK, 3 * CHUNK, 4 * CHUNK, 5 * CHUNK)
        ]
    assert sizes == [[CHUNK], 2 * [3 * CHUNK // 2], 2 * [2 * CHUNK], [2 * CHUNK, 2 * CHUNK, CHUNK]]


def test_large_images_go_through_the_engine_in_small_numbers():
    sizes = [NETS[name].network((28, 28, 1), 10, np.random.default_rng(0)).chunk for name in NETS]
    assert dict(zip(NETS, sizes)) == {"large": 32, "lecture": 64, "lenet": 64, "tiny": 64}
    assert NETS["lenet"].network((200, 200, 3), 10, np.random.default_rng(0)).chunk == 32


@pytest.mark.parametrize("failing", [0, CHUNK])
def test_a_failing_chunk_is_reported(failing):
    network = Network([Dense(2)], (1, 1, 1), np.random.default_rng(0))

    def task(chunk, caches):
        if chunk.start == failing:
            raise FloatingPointError("in a chunk")

    with Workers.of(network, 2) as workers, pytest.raises(FloatingPointError):
        workers.map(task, 2 * CHUNK)


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_number_of_threads_is_checked(threads):
    with pytest.raises(ValueError, match="between 1 and 64"), Workers.of(None, threads):
        pass


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
