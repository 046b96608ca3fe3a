"""The array kernels of pooling, shared by the float layer and its integer model.

A window's sum or maximum is that of its columns' ones. So all is done along one axis at a time: first down
the image, where whole rows lie behind one another in memory, then to the right, where less is left to do.

Arrays have the engine's layout, (H, C, W, N), and any one type of number. An axis is 0 for down or 1 for
right, as in a `Geometry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from model.arithmetic.geometry import Geometry, Shape
from model.arithmetic.scratch import cropped, every, lent, padded, scratch


def sums(x: np.ndarray, geometry: Geometry, cache: dict) -> np.ndarray:
    """The sum of each window, (H_out, C, W_out, N); padding is zeros."""
    columns = reduced(np.add, padded(x, geometry.padding, 0, cache), geometry, 0, cache)
    return reduced(np.add, columns, geometry, 1, cache)


def maxima(x: np.ndarray, geometry: Geometry, fill, cache: dict) -> np.ndarray:
    """The maximum of each window, (H_out, C, W_out, N); padding is `fill`."""
    x = padded(x, geometry.padding, fill, cache)
    columns = reduced(np.maximum, x, geometry, 0, cache)
    y = reduced(np.maximum, columns, geometry, 1, cache)
    cache["maxima"] = x, columns, y
    return y


def reduced(function: np.ufunc, x: np.ndarray, geometry: Geometry, axis: int, cache: dict) -> np.ndarray:
    """The sums or maxima along one axis; `x` or a view of it where a window has the size 1."""
    y, *others = along(x, geometry, axis)
    for part in others:
        y = function(y, part, out=scratch(cache, f"y{axis}", part.shape, x.dtype))
    return y


def along(x: np.ndarray, geometry: Geometry, axis: int) -> Iterator[np.ndarray]:
    """What each of the window's rows (columns) sees of a padded batch, in order: views."""
    size, stride = geometry.kernel[axis], geometry.stride[axis]
    count = 1 + (x.shape[2 * axis] - size) // stride
    for start in range(size):
        part = every(start, stride, count)
        yield x[:, :, part] if axis else x[part]


def sums_backward(dy: np.ndarray, geometry: Geometry, in_shape: Shape, cache: dict) -> np.ndarray:
    """The derivative by the input of `sums` from that by its results."""

    def share(dy, parts):
        for part in parts:
            part[...] = dy

    height, width = geometry.padded(in_shape)
    columns = scattered(share, dy, width, geometry, 1, cache)
    dx = scattered(share, columns, height, geometry, 0, cache)
    return cropped(dx, geometry.padding, in_shape)


def maxima_backward(dy: np.ndarray, geometry: Geometry, in_shape: Shape, cache: dict) -> np.ndarray:
    """The derivative by the input of the last `maxima` from that by its results.

    Among equal values the first takes all of it.
    """
    x, columns, y = cache["maxima"]
    dcolumns = maxima_backward_along(dy, columns, y, geometry, 1, cache)
    dx = maxima_backward_along(dcolumns, x, columns, geometry, 0, cache)
    return cropped(dx, geometry.padding, in_shape)


def maxima_backward_along(dy, x, y, geometry, axis, cache):
    """The derivative by `x` from that by `y`, its maxima along one axis."""

    def share(dy, parts):
        # The last part holds what the others have left.
        left, last = dy, parts[-1]
        for part, values in zip(parts[:-1], along(x, geometry, axis)):
            won = np.equal(values, y, out=scratch(cache, f"won{axis}", y.shape, bool))
            np.multiply(left, won, out=part)
            left = np.subtract(left, part, out=last)
        if left is dy:
            last[...] = dy

    return scattered(share, dy, x.shape[2 * axis], geometry, axis, cache)


def scattered(
    share: Callable, dy: np.ndarray, size: int, geometry: Geometry, axis: int, cache: dict
) -> np.ndarray:
    """The derivative by each pixel along an axis, the sum of its shares in all windows.

    Parameters
    ----------
    share : callable
        ``share(dy, parts)`` writes what each of a window's rows (columns) gets of `dy` to its `parts`.
    dy : ndarray
        Derivatives by the windows.
    size : int
        Pixels along the axis.
    """
    kernel, stride = geometry.kernel[axis], geometry.stride[axis]
    shape = list(dy.shape)
    shape[2 * axis] = size
    dx = lent(cache, tuple(shape), dy.dtype, dy)
    seen = list(along(dx, geometry, axis))
    if kernel != stride or size % kernel:
        dx.fill(0)
    if kernel <= stride:
        share(dy, seen)
        return dx
    parts = scratch(cache, f"parts{axis}", (kernel, *dy.shape), dy.dtype)
    share(dy, parts)
    for into, part in zip(seen, parts):
        into += part
    return dx
