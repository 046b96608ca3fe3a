"""Working memory that batches use again, and views of images with a border."""

from __future__ import annotations

import math

import numpy as np

from model.arithmetic.geometry import Shape

LINE = 64
"""Bytes of a line of the processor's cache; at its start vector instructions are quickest."""


def scratch(cache: dict, key: str, shape: tuple[int, ...], dtype, fill=None) -> np.ndarray:
    """An array that later batches of the same size reuse, as they left it; at first undefined or `fill`."""
    array = cache.get(key)
    if array is None or array.shape != shape or array.dtype != dtype:
        raw = aligned(math.prod(shape) * np.dtype(dtype).itemsize)
        array = cache[key] = raw.view(dtype).reshape(shape)
        if fill is not None:
            array.fill(fill)
    return array


def lent(cache: dict, shape: tuple[int, ...], dtype, *used: np.ndarray) -> np.ndarray:
    """An undefined array for the backward pass, in memory that all layers of a chain use in turn.

    What lies there is needed no longer than until the next layer has read it. So a few pieces of memory do
    for all layers, and stay in the processor's cache; steps become quicker than with an array for each.

    Parameters
    ----------
    cache : dict
        Its item ``lent`` holds the pieces; the layers of a chain have the same one.
    shape : tuple of int
    dtype : type
    *used : ndarray
        Arrays that are still needed: the new one lies elsewhere.
    """
    pieces = cache.setdefault("lent", [])
    size = math.prod(shape) * np.dtype(dtype).itemsize
    free = (i for i, piece in enumerate(pieces) if not any(np.may_share_memory(piece, one) for one in used))
    index = next(free, len(pieces))
    if index == len(pieces):
        pieces.append(aligned(size))
    elif pieces[index].size < size:
        pieces[index] = aligned(size)
    return pieces[index][:size].view(dtype).reshape(shape)


def aligned(size: int) -> np.ndarray:
    """So many bytes from the start of a line of the cache on."""
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size]


def held(x: np.ndarray, dtype: type, cache: dict) -> np.ndarray:
    """The same values in an array of a type: itself where it is of it."""
    if x.dtype == dtype:
        return x
    array = scratch(cache, "held", x.shape, dtype)
    array[...] = x
    return array


def padded(x: np.ndarray, padding, fill: float, cache: dict) -> np.ndarray:
    """An engine batch (H, C, W, N) with a border of `fill`: itself where there is none."""
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    height, channels, width, images = x.shape
    shape = height + top + bottom, channels, width + left + right, images
    out = scratch(cache, "padded", shape, x.dtype, fill)
    out[top : top + height, :, left : left + width] = x
    return out


def cropped(x: np.ndarray, padding, shape: Shape) -> np.ndarray:
    """The part of a padded engine batch that `padded` took from an image of `shape`."""
    (top, _), (left, _) = padding
    return x[top : top + shape[0], :, left : left + shape[1]]


def every(start: int, stride: int, count: int) -> slice:
    """The slice of `count` indices from `start` on, `stride` apart."""
    return slice(start, start + stride * (count - 1) + 1, stride)
