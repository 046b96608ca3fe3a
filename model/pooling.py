"""The array kernels of pooling, shared by the float layer and its integer model.

Arrays have the engine's layout, (H, C, W, N), and any one type of number.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model.geometry import Geometry, Shape
from model.layer import cropped, every, padded, scratch


def parts(x: np.ndarray, geometry: Geometry, positions: tuple[int, int]) -> Iterator[np.ndarray]:
    """For each pixel of the window, in raster order, what it sees of a padded batch: views."""
    (height, width), (down, right) = geometry.kernel, geometry.stride
    rows, columns = positions
    for i in range(height):
        for j in range(width):
            yield x[every(i, down, rows), :, every(j, right, columns)]


def seen(x: np.ndarray, geometry: Geometry, fill, cache: dict) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """A copy of the first of the `parts` of a batch with a border of `fill`, and the others."""
    others = parts(
        padded(x, geometry.padding, fill, cache), geometry, geometry.positions((len(x), x.shape[2], 0))
    )
    first = next(others)
    y = scratch(cache, "y", first.shape, x.dtype)
    y[...] = first
    return y, others


def sums(x: np.ndarray, geometry: Geometry, cache: dict) -> np.ndarray:
    """The sum of each window, (H_out, C, W_out, N); padding is zeros."""
    y, others = seen(x, geometry, 0, cache)
    for part in others:
        y += part
    return y


def sums_backward(dy: np.ndarray, geometry: Geometry, in_shape: Shape, cache: dict) -> np.ndarray:
    """The derivative by the input of `sums` from that by its results."""
    dx = zeros(dy, geometry, in_shape, cache)
    for part in parts(dx, geometry, (len(dy), dy.shape[2])):
        part += dy
    return cropped(dx, geometry.padding, in_shape)


def maxima(x: np.ndarray, geometry: Geometry, fill, cache: dict, winner: bool = True) -> np.ndarray:
    """The maximum of each window, (H_out, C, W_out, N); padding is `fill`.

    With `winner` the item ``winner`` of the cache says which of the `parts` it was, for `maxima_backward`:
    the last one that was larger than all before it.
    """
    y, others = seen(x, geometry, fill, cache)
    if not winner:
        for part in others:
            np.maximum(part, y, out=y)
        return y
    index_type = np.min_scalar_type(np.prod(geometry.kernel)).type
    winners = scratch(cache, "winner", y.shape, index_type)
    larger = scratch(cache, "larger", y.shape, index_type)
    winners.fill(0)
    for index, part in enumerate(others, 1):
        np.greater(part, y, out=larger, casting="unsafe")
        np.maximum(part, y, out=y)
        larger *= index_type(index)
        np.maximum(winners, larger, out=winners)
    return y


def maxima_backward(dy: np.ndarray, geometry: Geometry, in_shape: Shape, cache: dict) -> np.ndarray:
    """The derivative by the input of the last `maxima` from that by its results."""
    dx = zeros(dy, geometry, in_shape, cache)
    for index, part in enumerate(parts(dx, geometry, (len(dy), dy.shape[2]))):
        part += dy * (cache["winner"] == index)
    return cropped(dx, geometry.padding, in_shape)


def zeros(dy: np.ndarray, geometry: Geometry, in_shape: Shape, cache: dict) -> np.ndarray:
    """A padded batch of derivatives by the input, all zero yet."""
    height, width = geometry.padded(in_shape)
    dx = scratch(cache, "dx", (height, in_shape[2], width, dy.shape[3]), dy.dtype)
    dx.fill(0)
    return dx
