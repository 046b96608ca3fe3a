"""The arrays of a convolution: strips of matrices, against products as they are written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic import correlation
from model.arithmetic.correlation import Correlation, multiply, multiply_sum
from model.arithmetic.geometry import Geometry

sizes = st.integers(1, 70)


def stacks(seed, groups, stack, height, depth, width):
    """Two stacks of matrices that can be multiplied."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(groups, stack, height, depth)), rng.normal(size=(groups, stack, depth, width))


@given(seed=st.integers(0, 2**32 - 1), groups=st.integers(1, 2), height=sizes, depth=sizes, width=sizes)
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("small", [1, 3000, 10**6])
def test_strips_make_the_whole(small, seed, groups, height, depth, width):
    a, b = stacks(seed, groups, 3, height, depth, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlation, "SMALL", small)
        out = np.full((groups, 3, height, width), np.nan)
        multiply(a, b, out)
        total = multiply_sum(a, b)
    expected = np.einsum("ghij,ghjk->ghik", a, b)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(total, expected.sum(axis=1), rtol=1e-12, atol=1e-12)


def derivatives(seed, geometry, shape, groups, kernels):
    """Sums and all derivatives of a convolution of noise."""
    rng = np.random.default_rng(seed)
    kernel = Correlation(geometry, shape, groups, kernels)
    x = rng.normal(size=(*shape[::2][:1], shape[2], shape[1], 37))
    weights, bias = rng.normal(size=(*geometry.kernel, shape[2] // groups, kernels)), rng.normal(size=kernels)
    cache = {}
    y = kernel.forward(x, weights, cache, bias)
    dy = rng.normal(size=y.shape)
    return y, *kernel.gradients(dy, cache), kernel.backward(dy, weights, cache)


GEOMETRIES = [
    Geometry((3, 3), padding=((1, 1), (1, 1))),
    Geometry((2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2)),
    Geometry((3, 2), (1, 2), ((2, 1), (0, 0)), (2, 1)),
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("groups", [1, 2])
def test_sizes_of_products_change_speed_alone(geometry, groups, monkeypatch):
    results = []
    for small, deep in ((10**6, 10**6), (1, 0), (5000, 0)):
        monkeypatch.setattr(correlation, "SMALL", small)
        monkeypatch.setattr(correlation, "DEEP", deep)
        results.append(derivatives(1, geometry, (7, 6, 4), groups, 6))
    for other in results[1:]:
        for one, two in zip(results[0], other):
            np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-11)


def test_a_lost_strip_is_found(monkeypatch):
    whole = derivatives(1, GEOMETRIES[0], (7, 6, 4), 1, 6)
    monkeypatch.setattr(correlation, "SMALL", 1)

    def forgetful(a, b, out):
        width = correlation.strip(a.shape[-2] * a.shape[-1])
        multiply(a, b[..., : b.shape[-1] // width * width], out[..., : b.shape[-1] // width * width])

    monkeypatch.setattr(correlation, "multiply", forgetful)
    lossy = derivatives(1, GEOMETRIES[0], (7, 6, 4), 1, 6)
    assert not np.allclose(whole[0], lossy[0], rtol=1e-11, atol=1e-11)


def test_the_next_batch_finds_a_clean_border():
    """The copies' padding and ones stay from one batch to the next: results must not depend on it."""
    geometry, shape, rng = GEOMETRIES[1], (7, 6, 4), np.random.default_rng(0)
    kernel, weights = Correlation(geometry, shape, 2, 6), rng.normal(size=(2, 3, 2, 6))
    used = {}
    for images in (5, 5, 3, 5):
        x = rng.normal(size=(7, 4, 6, images))
        again = kernel.forward(x, weights, used, np.arange(6.0))
        np.testing.assert_array_equal(again, kernel.forward(x, weights, {}, np.arange(6.0)))
