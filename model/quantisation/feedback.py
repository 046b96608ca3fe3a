"""Rounding of weights one after another, each making up for the errors of those before it.

The nearest numbers are best for the weights, not for the sums. Inputs of a layer go together, so what the
rounding of one weight does to the sums, the next ones can undo in part. How much is least squares by the
inputs' covariances (Hassibi and Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon",
NIPS 1992; Frantar et al., "GPTQ", ICLR 2023). Means are left out: a bias takes them back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from model.arithmetic.grid import Grid
from model.net.weighted import Weighted

BLOCK = 1024
"""Weights of one sum that make up for one another; more are split, as their covariances fill the memory."""
NUMBERS = 1 << 24
"""Inputs of all sums, about, that covariances are taken from: 64 MB."""
DAMPING = 0.01
"""Of the mean variance, added to each: covariances of few images, or of inputs that never change, are not
trusted."""


def fed_back(layer: Weighted, grid: Grid, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """A layer's weights in numbers of a grid, rounded for its sums.

    Channels that are zeros on the grid stay so.

    Parameters
    ----------
    layer : Weighted
    grid : Grid
    inputs : sequence of ndarray
        What the layer is fed with, engine layout, some images at a time.

    Returns
    -------
    ndarray
        Of the shape and type of the weights, which are exact numbers of the grid.
    """
    weights = layer.params["weights"]
    windows = [layer.windows(part) for part in thinned(layer, inputs)]
    groups, products, _ = windows[0].shape
    scaled = (weights / grid.steps).astype(np.float64).reshape(products, groups, -1)
    codes = np.empty_like(scaled)
    for start in range(0, products, BLOCK):
        part = slice(start, start + BLOCK)
        for group, spread in enumerate(covariances([one[:, part] for one in windows])):
            codes[part, group] = in_turn(scaled[part, group], spread, grid.nearest)
    codes = codes.reshape(weights.shape)
    zero = ~grid.codes(weights).any(axis=tuple(range(weights.ndim - 1)))
    codes[..., zero] = 0
    return (codes * grid.steps).astype(weights.dtype)


def thinned(layer: Weighted, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """As many images of each part as make up `NUMBERS` together, one at least."""
    of_image = layer.windows(inputs[0][..., :1]).size
    every = max(of_image * sum(part.shape[3] for part in inputs) // NUMBERS, 1)
    return [part[..., ::every] for part in inputs]


def covariances(windows: Sequence[np.ndarray]) -> np.ndarray:
    """Covariances, damped, from windows (groups, inputs, count): float64 (groups, inputs, inputs).

    In a unit of their own, such that no square is too large or too small.
    """
    count = sum(part.shape[2] for part in windows)
    means = sum(part.sum(axis=2, dtype=np.float64, keepdims=True) for part in windows) / count
    unit = max(np.abs(part).max(initial=0) for part in windows) or 1
    centred = ((part - means.astype(part.dtype)) / unit for part in windows)
    spread = sum((part @ part.transpose(0, 2, 1)).astype(np.float64) for part in centred) / count
    variance = np.maximum(np.trace(spread, axis1=1, axis2=2) / spread.shape[1], 0)
    damping = np.where(variance > 0, DAMPING * variance, 1)
    return spread + damping[:, None, None] * np.eye(spread.shape[1])


def in_turn(scaled: np.ndarray, spread: np.ndarray, nearest: Callable) -> np.ndarray:
    """Integers for weights in steps (inputs, channels), by the inputs' covariances (inputs, inputs)."""
    factor = np.linalg.cholesky(np.linalg.inv(spread)).T
    rest, codes = scaled.copy(), np.empty_like(scaled)
    for index, row in enumerate(factor):
        codes[index] = nearest(rest[index])
        rest[index:] -= np.outer(row[index:] / row[index], rest[index] - codes[index])
    return codes
