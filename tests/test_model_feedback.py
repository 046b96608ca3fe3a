"""Rounding of weights for their sums: against its definition, solved anew for each weight."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic.grid import Grid
from model.layers import Conv, Dense, Depthwise
from model.net.network import Network
from model.quantisation import feedback
from model.quantisation.feedback import covariances, fed_back, in_turn

LAYERS = {
    "dense": lambda: Dense(3),
    "conv": lambda: Conv(4, (3, 2), (1, 2), ((1, 2), (0, 1)), bias="pixel"),
    "dilated groups": lambda: Conv(6, 2, dilation=(2, 1), groups=2),
    "depthwise": lambda: Depthwise(3, 2, "same", multiplier=2, bias=None),
}


def make(kind, seed=0, images=40):
    """A layer, and two parts of inputs whose pixels go together."""
    rng = np.random.default_rng(seed)
    network = Network([LAYERS[kind]()], (5, 6, 4), rng, np.float64)
    x = np.cumsum(rng.normal(size=(5, 4, 6, images)), axis=2) + rng.uniform(-3, 3)
    return network.layers[0], [x[..., : images // 3], x[..., images // 3 :]]


@pytest.mark.parametrize("kind", LAYERS)
def test_windows_are_what_weights_are_multiplied_with(kind):
    layer, (x, _) = make(kind)
    windows = layer.windows(x)
    groups, products, _ = windows.shape
    weights = layer.params["weights"].reshape(products, groups, -1)
    sums = np.einsum("gpn,pgc->gcn", windows, weights)
    height, width, channels = layer.out_shape
    sums = sums.reshape(channels, height, width, -1).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(sums, layer.forward(x, {}), atol=1e-12)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_each_weight_makes_up_for_those_before(inputs, seed, bits):
    """With those before as they are, the others stand where the sums err least; then the next is rounded."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(inputs, 20)) @ np.diag(rng.uniform(0, 2, 20))
    spread, weights = x @ x.T / 20 + 0.1 * np.eye(inputs), rng.normal(0, 3, (inputs, 2))
    grid = Grid(bits, 0, (0, 0))
    expected = np.empty_like(weights)
    for index in range(inputs):
        error = weights[:index] - expected[:index]
        best = weights[index:] + np.linalg.solve(spread[index:, index:], spread[index:, :index] @ error)
        expected[index] = grid.nearest(best[0])
    codes = in_turn(weights, spread, grid.nearest)
    np.testing.assert_array_equal(codes, expected)
    assert grid.limits[0] <= codes.min() and codes.max() <= grid.limits[1]
    np.testing.assert_array_equal(in_turn(weights, np.eye(inputs), grid.nearest), grid.nearest(weights))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bits", [1, 2, 3, 6])
def test_sums_are_nearer(kind, bits):
    """Than those of the nearest weights, once means are left out; and nothing lies beside the grid."""
    gained = []
    for seed in range(4):
        layer, parts = make(kind, seed)
        weights, windows = layer.params["weights"], layer.windows(np.concatenate(parts, axis=3))
        grid = Grid.best(weights, bits, True)
        nearest, other = grid.codes(weights) * grid.steps, fed_back(layer, grid, parts)
        np.testing.assert_array_equal(grid.codes(other) * grid.steps, other)
        errors = (
            (weights - values).reshape(windows.shape[1], len(windows), -1) for values in (nearest, other)
        )
        noise = [np.einsum("gpn,pgc->gcn", windows, error).std(axis=2).mean() for error in errors]
        gained.append(np.log(noise[0] / noise[1]))
    assert np.mean(gained) > 0.1 or bits == 1  # of which none is near


def test_channels_of_zeros_stay():
    layer, parts = make("conv")
    layer.params["weights"][..., 1] = 0
    layer.params["weights"][..., 2] *= 1e-9
    for bits in (1, 2, 4):
        grid = Grid.best(layer.params["weights"], bits, True)
        weights = fed_back(layer, grid, parts)
        assert not weights[..., 1].any() and not weights[..., 2].any()
        assert weights[..., 3].all() if bits == 1 else weights[..., 3].any()


@pytest.mark.parametrize("kind", ["dense", "dilated groups"])
def test_inputs_that_never_change_round_to_the_nearest(kind):
    layer, parts = make(kind)
    grid = Grid.best(layer.params["weights"], 3, True)
    expected = grid.codes(layer.params["weights"]) * grid.steps
    for value in (0, 1e18):
        weights = fed_back(layer, grid, [np.full_like(part, value) for part in parts])
        np.testing.assert_array_equal(weights, expected)


def test_covariances_by_definition():
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(2, 5, 50)) + np.arange(5)[:, None] * 1e4
    (spread,), unit = covariances([windows[:1, :, :20], windows[:1, :, 20:]]), np.abs(windows[0]).max()
    exact = np.cov(windows[0], bias=True) / unit**2
    np.testing.assert_allclose(spread, exact + 0.01 * np.trace(exact) / 5 * np.eye(5), rtol=1e-6)
    both = covariances([windows.astype(np.float32) * np.float32(1e30)])  # no square of it is a float32
    assert np.isfinite(both).all() and np.linalg.eigvalsh(both).min() > 0


def test_many_weights_in_blocks_and_many_images_thinned(monkeypatch):
    layer, parts = make("dense", images=90)
    grid = Grid.best(layer.params["weights"], 3, True)
    whole = fed_back(layer, grid, parts)
    monkeypatch.setattr(feedback, "BLOCK", 50)
    scaled = layer.params["weights"] / grid.steps
    windows = [layer.windows(part) for part in parts]
    blocks = []
    for start in (0, 50, 100):
        (spread,) = covariances([part[:, start : start + 50] for part in windows])
        blocks.append(in_turn(scaled[start : start + 50], spread, grid.nearest))
    np.testing.assert_array_equal(fed_back(layer, grid, parts), np.concatenate(blocks) * grid.steps)
    monkeypatch.undo()
    monkeypatch.setattr(feedback, "NUMBERS", 120 * 30)
    thin = fed_back(layer, grid, parts)
    np.testing.assert_array_equal(thin, fed_back(layer, grid, [part[..., ::3] for part in parts]))
    assert (thin != whole).any()
