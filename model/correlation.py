"""The array kernel of a convolution, shared by the float layer and its integer model."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import NamedTuple

import numpy as np

from model.geometry import Geometry, Shape
from model.layer import cropped, every, padded, scratch


class Phase(NamedTuple):
    """Output rows whose kernel rows all meet the same one of the `dilation` interleaved parts of the input.

    To them the convolution has no gaps between its rows.
    """

    output: slice
    """Which rows of the output."""
    part: int
    """Input rows part, part + dilation, ..."""
    first: int
    """Which of these the first output row's window begins with."""
    stride: int
    """How many of these lie between two output rows."""


class Correlation:
    """The sums of products of one convolution, and their derivatives; no bias.

    Arrays have the engine's layout, (H, C, W, N), and any one float type; weights are (r_h, r_w, C_in /
    groups, C_out). What `forward` leaves in `cache` the other two use, and like all results it is
    overwritten by the next call with the same cache.

    Parameters
    ----------
    geometry : Geometry
        Where the kernels stand; padding is zeros.
    in_shape : (int, int, int)
        Height, width and channels of the input.
    groups : int
        Parts in which input and output channels come, each part of the output seeing one of the input.
    kernels : int
        Output channels.
    """

    def __init__(self, geometry: Geometry, in_shape: Shape, groups: int, kernels: int):
        self.geometry, self.in_shape, self.groups, self.kernels = geometry, in_shape, groups, kernels
        self.positions = geometry.positions(in_shape)

    def forward(self, x: np.ndarray, weights: np.ndarray, cache: dict) -> np.ndarray:
        """The sums, (H_out, C_out, W_out, N)."""
        copies = self.columns(padded(x, self.geometry.padding, 0, cache), cache)
        rows, columns = self.positions
        y = scratch(cache, "y", (rows, self.kernels, columns, x.shape[3]), x.dtype)
        sums = self.grouped(y)
        matrices = weights.reshape(-1, self.groups, self.kernels // self.groups).transpose(1, 2, 0)[:, None]
        cache["windows"] = [self.windows(copies, phase) for phase in self.phases()]
        for phase, windows in zip(self.phases(), cache["windows"]):
            np.matmul(matrices, windows, out=sums[:, phase.output])
        return y

    def gradients(self, dy: np.ndarray, cache: dict) -> np.ndarray:
        """The derivative by the weights from that by the sums, for the last `forward`."""
        slopes = self.grouped(dy)
        weights = sum(
            np.matmul(windows, slopes[:, phase.output].swapaxes(2, 3)).sum(axis=1)
            for phase, windows in zip(self.phases(), cache["windows"])
        )
        return weights.swapaxes(0, 1).reshape(*self.geometry.kernel, -1, self.kernels)

    def backward(self, dy: np.ndarray, weights: np.ndarray, cache: dict) -> np.ndarray:
        """The derivative by the input from that by the sums."""
        (_, kernel_width), (_, right) = self.geometry.kernel, self.geometry.stride
        below, beside = self.geometry.dilation
        columns = self.positions[1]
        height, width = self.geometry.padded(self.in_shape)
        channels, images = self.in_shape[2] // self.groups, dy.shape[3]
        shape = (self.groups, below, -(-height // below), kernel_width, channels)
        copies = scratch(cache, "dcolumns", (*shape, columns, images), dy.dtype)
        flat = copies.reshape(*shape[:3], kernel_width * channels, -1)
        slopes = self.grouped(dy)
        phases = list(self.phases())
        for part in {*range(below)} - {phase.part for phase in phases}:
            flat[:, part] = 0
        for phase in phases:
            self.backward_rows(slopes[:, phase.output], weights, phase, flat[:, phase.part])
        dx = scratch(cache, "dx", (height, self.in_shape[2], width, images), dy.dtype)
        dx.fill(0)
        split = dx.reshape(height, self.groups, channels, width, images).swapaxes(0, 1)
        for part in range(below):
            into = split[:, part::below]
            for j in range(kernel_width):
                seen = into[:, :, :, every(j * beside, right, columns)]
                seen += copies[:, part, : into.shape[1], j]
        return cropped(dx, self.geometry.padding, self.in_shape)

    def grouped(self, y: np.ndarray) -> np.ndarray:
        """Sums as a view (groups, H_out, C_out / groups, W_out * N)."""
        return y.reshape(len(y), self.groups, self.kernels // self.groups, -1).swapaxes(0, 1)

    def phases(self) -> Iterator[Phase]:
        """All output rows, in as few parts as the dilation allows: a single one if it is 1."""
        below, down = self.geometry.dilation[0], self.geometry.stride[0]
        period = below // gcd(below, down)
        for row in range(min(period, self.positions[0])):
            part, first = row * down % below, row * down // below
            yield Phase(slice(row, None, period), part, first, period * down // below)

    def columns(self, x, cache):
        """What each kernel column sees of a padded batch.

        (groups, dilation, rows, r_w, C_in / groups, W_out, N), where input row h stands in part ``h %
        dilation``: a window's rows lie behind one another.
        """
        height, channels, _, images = x.shape
        kernel_width, right = self.geometry.kernel[1], self.geometry.stride[1]
        below, beside = self.geometry.dilation
        shape = (self.groups, below, -(-height // below), kernel_width, channels // self.groups)
        copies = scratch(cache, "columns", (*shape, self.positions[1], images), x.dtype)
        x = x.reshape(height, self.groups, shape[4], -1, images).swapaxes(0, 1)
        for part in range(below):
            rows = x[:, part::below]
            for j in range(kernel_width):
                seen = rows[:, :, :, every(j * beside, right, self.positions[1])]
                copies[:, part, : rows.shape[1], j] = seen
        return copies

    def windows(self, copies, phase):
        """A phase's windows as a view: (groups, rows, r_h * r_w * C_in / groups, W_out * N)."""
        groups, _, _, kernel_width, channels, columns, images = copies.shape
        group, _, row, _, line, _, item = copies.strides
        return np.lib.stride_tricks.as_strided(
            copies[:, phase.part, phase.first :],
            (
                groups,
                len(range(self.positions[0])[phase.output]),
                self.geometry.kernel[0] * kernel_width * channels,
                columns * images,
            ),
            (group, phase.stride * row, line, item),
        )

    def backward_rows(self, dy, weights, phase: Phase, flat):
        """Derivatives by the columns of one part of the input rows, `flat`, from those by a phase's rows."""
        groups, rows, channels, _ = dy.shape
        kernel_height, down = self.geometry.kernel[0], phase.stride
        dy = dy.reshape(groups, rows * channels, -1)
        matrices = [self.rows_matrix(weights, start, down) for start in range(min(down, kernel_height))]
        for index in range(flat.shape[1]):
            # Output rows first .. last see this input row, through ever earlier rows of the kernel.
            h = index - phase.first
            first, last = max(-(-(h - kernel_height + 1) // down), 0), min(rows - 1, h // down)
            if first > last:
                flat[:, index] = 0
                continue
            start = (kernel_height - 1 - h % down) // down - (h // down - first)
            part = slice(start * channels, (start + last + 1 - first) * channels)
            np.matmul(
                matrices[h % down][:, :, part],
                dy[:, first * channels : (last + 1) * channels],
                out=flat[:, index],
            )

    def rows_matrix(self, weights: np.ndarray, start: int, step: int) -> np.ndarray:
        """Kernel rows start, start + step, ... from last to first.

        (groups, r_w * C_in / groups, rows * C_out / groups)
        """
        weights = weights[start::step][::-1]
        rows, width, channels, _ = weights.shape
        split = weights.reshape(rows, width, channels, self.groups, -1).transpose(3, 1, 2, 0, 4)
        return split.reshape(self.groups, width * channels, -1)
