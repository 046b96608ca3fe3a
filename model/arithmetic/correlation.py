"""The array kernel of a convolution, shared by the float layer and its integer model.

One copy of the input for each kernel column makes every window a stretch of memory, so that a row of the
output is one product of matrices. Every image row of the copies ends in a line of ones: the bias meets it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from model.arithmetic.geometry import Geometry, Shape
from model.arithmetic.scratch import every, lent, scratch

SMALL = 10**6
"""Products of two numbers up to which BLAS multiplies matrices as they lie, and does not pack them first."""
LANES = 32
"""Columns that BLAS likes to do together."""
DEEP = 64
"""Numbers of a window from which it pays to turn the derivatives' matrices: BLAS likes rows best."""


class Phase(NamedTuple):
    """Output rows whose kernels stand on one part of the padded image: every `dilation`-th row of it.

    On that part the kernels have no gaps between their rows. Without dilation there is one phase.
    """

    output: slice
    """Which rows of the output."""
    image: slice
    """Which rows of the image lie in the part."""
    start: int
    """Where in the part the first of them stands; padding is before it."""
    first: int
    """Where in the part the first output row's kernel begins."""
    stride: int
    """Rows of the part from one output row to the next."""


class Correlation:
    """The sums of one convolution, and their derivatives.

    Arrays have the engine's layout, (H, C, W, N), and any one float type. What `forward` leaves in `cache`
    `gradients` uses, and like all results it is overwritten by the next call with the same cache.

    Parameters
    ----------
    geometry : Geometry
        Where the kernels stand.
    in_shape : (int, int, int)
        Height, width and channels of the input.
    groups : int
        Parts in which input and output channels come, each part of the output seeing one of the input.
    kernels : int
        Output channels.
    fill : float
        What stands in the padding; `gradients` and `backward` do not depend on it.
    """

    def __init__(self, geometry: Geometry, in_shape: Shape, groups: int, kernels: int, fill: float = 0):
        self.geometry, self.in_shape, self.groups, self.kernels = geometry, in_shape, groups, kernels
        self.fill = fill
        self.positions = geometry.positions(in_shape)
        self.channels = in_shape[2] // groups
        self.phases = list(phases(geometry, self.positions[0]))
        self.reach = list(reach(geometry, self.positions[1], in_shape[1]))

    def forward(
        self, x: np.ndarray, weights: np.ndarray, cache: dict, bias: np.ndarray | None = None
    ) -> np.ndarray:
        """The sums, (H_out, C_out, W_out, N).

        Parameters
        ----------
        x : ndarray, (H, C_in, W, N)
        weights : ndarray, (r_h, r_w, C_in / groups, C_out)
        cache : dict
        bias : ndarray, (C_out,), optional
        """
        y = scratch(cache, "y", (self.positions[0], self.kernels, self.positions[1], x.shape[3]), x.dtype)
        sums, matrices = self.grouped(y), self.matrices(weights, bias)[:, None]
        cache["windows"] = []
        for phase, copies in zip(self.phases, self.columns(x, cache)):
            out = sums[:, phase.output]
            windows = stretches(copies, phase.first, phase.stride, self.geometry.kernel[0], out.shape[1])
            multiply(matrices, windows, out)
            cache["windows"].append(windows)
        return y

    def gradients(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray]:
        """The derivatives by the weights and by the bias from that by the sums, for the last `forward`."""
        slopes = self.grouped(dy).swapaxes(2, 3)
        if cache["windows"][0].shape[2] >= DEEP:
            slopes = lent(cache, slopes.shape, dy.dtype, dy)
            slopes[...] = self.grouped(dy).swapaxes(2, 3)
        lines = sum(
            multiply_sum(windows, slopes[:, phase.output])
            for phase, windows in zip(self.phases, cache["windows"])
        )
        lines = lines.swapaxes(0, 1).reshape(self.geometry.kernel[0], -1, self.kernels)
        return lines[:, :-1].reshape(*self.geometry.kernel, self.channels, self.kernels), lines[0, -1]

    def backward(self, dy: np.ndarray, weights: np.ndarray, cache: dict) -> np.ndarray:
        """The derivative by the input from that by the sums."""
        (height, width, channels), images = self.in_shape, dy.shape[3]
        dx = lent(cache, (height, channels, width, images), dy.dtype, dy)
        dx.fill(0)
        split = dx.reshape(height, self.groups, self.channels, width, images).swapaxes(0, 1)
        slopes = self.grouped(dy)
        for phase in self.phases:
            into = split[:, phase.image]
            # As wide as the input, if not wider, which lets columns be added quickly.
            wide = max(self.positions[1], width)
            shape = (*into.shape[:2], len(self.reach), self.channels, wide, images)
            copies = lent(cache, shape, dy.dtype, dy, dx)
            flat = copies.reshape(*shape[:2], shape[2] * shape[3], -1)[..., : self.positions[1] * images]
            self.backward_rows(slopes[:, phase.output], weights, phase, flat)
            for j, (output, seen) in enumerate(self.reach):
                add_columns(into, seen, copies[:, :, j], output)
        return dx

    def grouped(self, y: np.ndarray) -> np.ndarray:
        """Sums as a view (groups, H_out, C_out / groups, W_out * N)."""
        return y.reshape(len(y), self.groups, self.kernels // self.groups, -1).swapaxes(0, 1)

    def matrices(self, weights: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        """Weights and bias group by group: (groups, C_out / groups, r_h * (r_w * C_in / groups + 1)).

        The bias meets the ones of the kernel's first row, zeros those of the others.
        """
        weights = weights.reshape(len(weights), -1, self.kernels)
        lines = np.zeros((len(weights), weights.shape[1] + 1, self.kernels), weights.dtype)
        lines[:, :-1] = weights
        if bias is not None:
            lines[0, -1] = bias
        return lines.reshape(-1, self.groups, self.kernels // self.groups).transpose(1, 2, 0)

    def columns(self, x: np.ndarray, cache: dict) -> np.ndarray:
        """What each kernel column sees of a batch, and the lines of ones.

        (phases, groups, rows, r_w * C_in / groups + 1, W_out * N): a window's rows lie behind one another.
        """
        kernel_width, columns, images = len(self.reach), self.positions[1], x.shape[3]
        rows = -(-self.geometry.padded(self.in_shape)[0] // self.geometry.dilation[0])
        shape = len(self.phases), self.groups, rows, kernel_width * self.channels + 1, columns * images
        copies = scratch(cache, "columns", shape, x.dtype, self.fill)  # and nobody ever writes to it
        copies[..., -1, :] = 1
        split = copies[..., :-1, :].reshape(*shape[:3], kernel_width, self.channels, columns, images)
        x = x.reshape(len(x), self.groups, self.channels, -1, images).swapaxes(0, 1)
        for phase, part in zip(self.phases, split):
            image = x[:, phase.image]
            into = part[:, phase.start : phase.start + image.shape[1]]
            for j, (output, seen) in enumerate(self.reach):
                into[:, :, j, :, output] = image[:, :, :, seen]
        return copies

    def backward_rows(self, dy, weights, phase: Phase, flat):
        """Derivatives by the columns of a phase's image rows, `flat`, from those by its output rows."""
        dy = np.ascontiguousarray(dy)
        for start in range(phase.stride):
            # The rows that meet kernel rows start, start + stride, ...: to them there is no stride.
            skip = (phase.first + start - phase.start) % phase.stride
            first = (phase.start + skip - phase.first - start) // phase.stride
            matrices = self.rows_matrix(weights, start, phase.stride)
            backward_dense(dy, matrices, first, flat[:, skip :: phase.stride])

    def rows_matrix(self, weights: np.ndarray, start: int, step: int) -> np.ndarray:
        """Kernel rows start, start + step, ... from last to first.

        (groups, r_w * C_in / groups, rows * C_out / groups)
        """
        weights = weights[start::step][::-1]
        rows, width, channels, _ = weights.shape
        group = self.kernels // self.groups
        split = weights.reshape(rows, width, channels, self.groups, group).transpose(3, 1, 2, 0, 4)
        return split.reshape(self.groups, width * channels, rows * group)


def phases(geometry: Geometry, rows: int) -> Iterator[Phase]:
    """The phases of so many output rows."""
    below, down, top = geometry.dilation[0], geometry.stride[0], geometry.padding[0][0]
    period = below // math.gcd(below, down)
    for row in range(min(period, rows)):
        first = (row * down - top) % below
        yield Phase(
            output=slice(row, None, period),
            image=slice(first, None, below),
            start=(first + top) // below,
            first=row * down // below,
            stride=down // math.gcd(below, down),
        )


def reach(geometry: Geometry, columns: int, width: int) -> Iterator[tuple[slice, slice]]:
    """For each kernel column, at which output columns it meets the image, and which of its columns there."""
    right, beside, left = geometry.stride[1], geometry.dilation[1], geometry.padding[1][0]
    for j in range(geometry.kernel[1]):
        start = j * beside - left
        first = max(-(start // right), 0)
        count = min(columns, -(-(width - start) // right)) - first
        if count > 0:
            yield slice(first, first + count), every(start + first * right, right, count)
        else:
            yield slice(0), slice(0)


def backward_dense(dy: np.ndarray, matrices: np.ndarray, first: int, out: np.ndarray) -> None:
    """Derivatives by rows of the input from those by the rows of the output, where there is no stride.

    Parameters
    ----------
    dy : ndarray, (groups, H_out, C_out / groups, W_out * N)
    matrices : ndarray, (groups, r_w * C_in / groups, r_h * C_out / groups)
        From the last kernel row to the first.
    first : int
        Output row whose kernel begins with the first row of the input; negative before all kernels.
    out : ndarray, (groups, H, r_w * C_in / groups, W_out * N)
    """
    groups, rows, channels, _ = dy.shape
    taps = matrices.shape[2] // channels
    # All output rows that the kernel reaches back to exist.
    whole = range(max(taps - 1 - first, 0), min(rows - first, out.shape[1])) if taps else range(0)
    if whole:
        windows = stretches(dy, first + whole.start - taps + 1, 1, taps, len(whole))
        multiply(matrices[:, None], windows, out[:, whole.start : whole.stop])
    dy = dy.reshape(groups, rows * channels, -1)
    for index in range(out.shape[1]):
        if index in whole:
            continue
        before = first + index - taps + 1
        low, high = max(before, 0), min(first + index + 1, rows)
        if low >= high:
            out[:, index] = 0
            continue
        part = slice((low - before) * channels, (high - before) * channels)
        multiply(matrices[:, :, part], dy[:, low * channels : high * channels], out[:, index])


def add_columns(into: np.ndarray, seen: slice, part: np.ndarray, output: slice) -> None:
    """Add the columns `output` of `part` to the columns `seen` of `into`; (groups, H, C, W, N) both.

    Where both are as wide it is a sum of whole rows of memory, the one a bit further on; NumPy takes a
    third of the time for these. The other columns of `part` are lost.
    """
    if into.shape != part.shape or seen.step != 1:
        into[:, :, :, seen] += part[:, :, :, output]
        return
    part[:, :, :, : output.start] = part[:, :, :, output.stop :] = 0
    ahead = (seen.start - output.start) * into.shape[-1]
    groups, rows, size = *into.shape[:2], math.prod(into.shape[2:])
    into, part = into.reshape(groups, rows, size), part.reshape(groups, rows, size)
    into[:, :, max(ahead, 0) : size + ahead] += part[:, :, max(-ahead, 0) : size - ahead]


def stretches(rows: np.ndarray, first: int, step: int, size: int, count: int) -> np.ndarray:
    """Windows of rows that lie behind one another, each as one matrix: a view.

    Parameters
    ----------
    rows : ndarray, (groups, rows, lines, width)
        Contiguous.
    first, step, size, count : int
        The first window's first row, rows from one to the next, rows of each, and how many there are.

    Returns
    -------
    ndarray, (groups, count, size * lines, width)
    """
    group, row, line, item = rows.strides
    shape = (len(rows), count, size * rows.shape[2], rows.shape[3])
    # As `as_strided` does, in a tenth of the time, and it refuses to leave the array.
    return np.ndarray(shape, rows.dtype, rows, first * row, (group, step * row, line, item))


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Products of stacks of matrices, ``out = a @ b``, in strips of columns that make small ones of them."""
    width = strip(a.shape[-2] * a.shape[-1])
    for start in range(0, b.shape[-1], width):
        part = ..., slice(start, start + width)
        np.matmul(a, b[part], out=out[part])


def multiply_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums of stacks of products, ``(a @ b).sum(axis=1)``, likewise in strips of what the products sum."""
    width = strip(a.shape[-2] * b.shape[-1])
    return sum(
        np.matmul(a[..., start : start + width], b[..., start : start + width, :]).sum(axis=1)
        for start in range(0, a.shape[-1], width)
    )


def strip(area: int) -> int:
    """How wide a matrix may be that multiplies one of so many numbers."""
    return max(SMALL // area // LANES, 1) * LANES
