"""The golden model's own checks: neighbours that fit, images that fit."""

import dataclasses

import numpy as np
import pytest

from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec, RequantSpec

PIXELS = QFormat(8, 8, False)
SHIFT = RequantSpec(name="shift", in_shape=(2, 3, 1), src=PIXELS, dst=QFormat(6, 6, False))
DENSE = DenseSpec(
    name="dense", in_shape=(2, 3, 1), src=SHIFT.dst, dst=QFormat(20, 6), weights=np.eye(6, dtype=int),
    weight_format=QFormat(2, 0), bias=np.zeros(6, int),
)  # fmt: skip


def test_figures():
    net = QNetwork("net", PIXELS, (SHIFT, DENSE))
    assert (net.in_shape, net.out_shape, net.outputs) == ((2, 3, 1), (1, 1, 6), 6)
    assert (net.macs, net.params, net.output_format) == (36, 42, QFormat(20, 6))


def test_logits_of_any_number_of_images():
    net = QNetwork("net", PIXELS, (SHIFT, DENSE))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2 * net.chunk + 3, 2, 3, 1))
    expected = np.minimum((images.reshape(-1, 6) + 2) // 4, 63)
    np.testing.assert_array_equal(net.logits(images), expected)
    np.testing.assert_array_equal(net.classify(images), expected.argmax(axis=1))
    assert net.accuracy(images, expected.argmax(axis=1)) == 1
    assert net.logits(images[:0]).shape == (0, 6)


@pytest.mark.parametrize(
    "specs, problem",
    [
        ((), "no layers"),
        ((SHIFT, SHIFT), "shift.*same name"),
        ((DENSE,), "dense.*u6.6.*u8.8"),
        ((SHIFT, dataclasses.replace(DENSE, in_shape=(3, 2, 1))), "dense.*takes"),
    ],
)
def test_neighbours_must_fit(specs, problem):
    with pytest.raises(ValueError, match=problem):
        QNetwork("net", PIXELS, specs)


@pytest.mark.parametrize(
    "images, problem",
    [
        (np.zeros((1, 3, 2, 1), int), "2x3x1.*not 3x2x1"),
        (np.zeros((2, 3, 1), int), "2x3x1"),
        (np.zeros((1, 2, 3, 1)), "integers"),
        (np.full((1, 2, 3, 1), 256), "integers of u8.8"),
        (np.full((1, 2, 3, 1), -1), "integers of u8.8"),
    ],
)
def test_images_must_fit(images, problem):
    with pytest.raises(ValueError, match=problem):
        QNetwork("net", PIXELS, (SHIFT, DENSE)).logits(images)
