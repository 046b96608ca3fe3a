"""The numbers that weights may be: the choice of their scales against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic.grid import SPREAD, Grid

NUMBERS = {1: [-1, 1], 2: [-1, 0, 1], 3: [*range(-4, 4)], 4: [*range(-8, 8)]}


def least_error(weights, bits, frac):
    """Sum of squared distances to the nearest number of a grid of one scale."""
    numbers = np.array(NUMBERS[bits]) * 2.0**-frac
    return (np.abs(weights[:, None] - numbers).min(axis=1) ** 2).sum()


@given(st.integers(0, 2**32 - 1), st.sampled_from([*NUMBERS]), st.integers(1, 12), st.integers(-6, 6))
@settings(max_examples=120, deadline=None)
def test_best_is_the_best_of_all(seed, bits, count, exponent):
    weights = np.random.default_rng(seed).normal(size=count) * 2.0**exponent
    grid = Grid.best(weights.reshape(-1, 1), bits, by_channel=True)
    assert grid.shifts == (0,) and grid == Grid.best(weights.reshape(-1, 1), bits, by_channel=False)
    codes = grid.codes(weights.reshape(-1, 1))
    assert set(codes.ravel()) <= set(NUMBERS[bits])
    errors = [least_error(weights, bits, frac) for frac in range(-16, 30)]
    reached = ((weights - (codes * grid.steps).ravel()) ** 2).sum()
    assert reached <= min(errors) * (1 + 1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_channels_have_their_own_scales(seed, bits):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(3, 2, 5)) * 2.0 ** rng.integers(-2, 3, 5)
    grid, shared = (Grid.best(weights, bits, by_channel) for by_channel in (True, False))
    for channel in range(5):
        alone = Grid.best(weights[..., channel : channel + 1], bits, True)
        assert grid.steps[channel] == alone.steps[0]
    assert min(grid.shifts) == 0 and set(shared.shifts) == {0}
    errors = [((weights - g.codes(weights) * g.steps) ** 2).sum() for g in (grid, shared)]
    assert errors[0] <= errors[1]
    assert grid.format.contains(grid.codes(weights).astype(int)) and grid.format.width == max(bits, 2)
    assert grid.codes(weights.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_channels_that_are_nearly_nothing(bits):
    weights = np.array([[1.0, 0.0, 1e-9], [-1.0, 0.0, -1e-9]])
    grid = Grid.best(weights, bits, True)
    assert grid.shifts[1:] == (0, 0) and grid.shifts[0] == SPREAD
    assert Grid.best(np.zeros((2, 3)), bits, True) == Grid(bits, 0, (0, 0, 0))
    if bits > 1:
        assert not grid.codes(weights)[:, 1:].any()


def test_biases_stand_on_their_channels_grid():
    grid = Grid(4, 3, (0, 2))
    bias = np.array([[0.26, 0.26], [0.3125, -0.3125]])
    # steps of 2**-(3 + 2) and four times that; halves go up
    np.testing.assert_array_equal(grid.biases(bias, 2), [[8, 2], [10, -2]])
