"""Convolution (the cross-correlation that nets call so): r_h x r_w kernels over all input channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.geometry import Geometry, Shape
from model.layer import cropped, every, padded, scratch
from model.spec import WeightedSpec
from model.weighted import Weighted


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvSpec(WeightedSpec):
    """A quantised convolution; padding is zeros.

    Parameters
    ----------
    weights : ndarray of int, (r_h, r_w, C_in, C_out)
    stride : (int, int)
    padding : ((int, int), (int, int))
        (top, bottom), (left, right).
    """

    kind = "conv"
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def __post_init__(self):
        super().__post_init__()
        if self.weights.ndim != 4 or self.weights.shape[2] != self.in_shape[2]:
            self.fail(f"weights of shape {self.weights.shape} do not fit {self.in_shape[2]} input channels")
        try:
            self.geometry.positions(self.in_shape)
        except ValueError as error:
            self.fail(str(error))

    @property
    def geometry(self) -> Geometry:
        """Where the kernel stands."""
        return Geometry(self.weights.shape[:2], self.stride, self.padding)

    @property
    def out_shape(self) -> Shape:
        return (*self.geometry.positions(self.in_shape), self.weights.shape[3])

    @property
    def macs(self) -> int:
        return int(np.prod(self.out_shape[:2])) * self.weights.size

    def run(self, x: np.ndarray) -> np.ndarray:
        windows = self.geometry.windows(x, 0)
        sums = self.products(windows.reshape(-1, self.matrix.shape[0]))
        return self.requant(self.accumulator)(sums).reshape(len(x), *self.out_shape)


class Conv(Weighted):
    """A convolution with one bias per output channel; padding is zeros.

    Parameters
    ----------
    channels : int
        Output channels: the number of kernels.
    kernel, stride : int or (int, int)
        Height and width.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        As `Geometry.resolve` reads it.

    Attributes
    ----------
    params : dict
        ``weights`` (r_h, r_w, C_in, C_out) and ``bias`` (C_out,).
    """

    kind = "conv"
    spec = ConvSpec

    def __init__(self, channels: int, kernel, stride=1, padding="valid"):
        super().__init__(channels)
        self.window = kernel, stride, padding

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        self.geometry = Geometry.resolve(in_shape, *self.window)
        self.positions = self.geometry.positions(in_shape)
        self.draw((*self.geometry.kernel, in_shape[2], self.channels), rng)

    @property
    def out_shape(self) -> Shape:
        return (*self.positions, self.channels)

    @property
    def macs(self) -> int:
        return int(np.prod(self.positions)) * self.params["weights"].size

    def forward(self, x, cache):
        windows = self.windows(padded(x, self.geometry.padding, 0, cache), cache)
        rows, columns = self.positions
        y = scratch(cache, "y", (rows, self.channels, columns, x.shape[3]), x.dtype)
        flat = y.reshape(rows, self.channels, -1)
        np.matmul(self.params["weights"].reshape(-1, self.channels).T, windows, out=flat)
        flat += self.params["bias"][:, None]
        return y

    def windows(self, x, cache):
        """Every window of a padded batch as a view: (H_out, r_h * r_w * C_in, W_out * N)."""
        height, channels, _, images = x.shape
        (kernel_height, kernel_width), (down, right) = self.geometry.kernel, self.geometry.stride
        rows, columns = self.positions
        # The kernel's columns side by side; its rows then already lie behind one another.
        copies = scratch(cache, "columns", (height, kernel_width, channels, columns, images), x.dtype)
        for j in range(kernel_width):
            copies[:, j] = x[:, :, every(j, right, columns)]
        row, _, line, _, item = copies.strides
        cache["windows"] = np.lib.stride_tricks.as_strided(
            copies,
            (rows, kernel_height * kernel_width * channels, columns * images),
            (down * row, line, item),
        )
        return cache["windows"]

    def gradients(self, dy, cache):
        dy = dy.reshape(*dy.shape[:2], -1)
        weights = np.matmul(cache["windows"], dy.transpose(0, 2, 1)).sum(axis=0)
        bias = (dy @ np.ones(dy.shape[2], dy.dtype)).sum(axis=0)
        return {"weights": weights.reshape(self.params["weights"].shape), "bias": bias}

    def backward(self, dy, cache):
        (kernel_height, kernel_width), (down, right) = self.geometry.kernel, self.geometry.stride
        (rows, columns), (_, _, channels) = self.positions, self.in_shape
        height, width = self.geometry.padded(self.in_shape)
        images = dy.shape[3]
        dy = dy.reshape(rows * self.channels, -1)
        copies = scratch(cache, "dcolumns", (height, kernel_width, channels, columns, images), dy.dtype)
        flat = copies.reshape(height, kernel_width * channels, -1)
        matrices = [self.rows_matrix(phase) for phase in range(min(down, kernel_height))]
        for h in range(height):
            # Output rows first .. last see input row h, through ever earlier rows of the kernel.
            first, last = max(-(-(h - kernel_height + 1) // down), 0), min(rows - 1, h // down)
            if first > last:
                flat[h] = 0
                continue
            start = (kernel_height - 1 - h % down) // down - (h // down - first)
            part = slice(start * self.channels, (start + last + 1 - first) * self.channels)
            np.matmul(
                matrices[h % down][:, part],
                dy[first * self.channels : (last + 1) * self.channels],
                out=flat[h],
            )
        dx = scratch(cache, "dx", (height, channels, width, images), dy.dtype)
        dx.fill(0)
        for j in range(kernel_width):
            dx[:, :, every(j, right, columns)] += copies[:, j]
        return cropped(dx, self.geometry.padding, self.in_shape)

    def rows_matrix(self, phase: int) -> np.ndarray:
        """Kernel rows phase, phase + stride, ... from last to first: (r_w * C_in, rows * C_out)."""
        weights = self.params["weights"][phase :: self.geometry.stride[0]][::-1]
        return weights.transpose(1, 2, 0, 3).reshape(weights.shape[1] * weights.shape[2], -1)

    def fields(self):
        return {"stride": self.geometry.stride, "padding": self.geometry.padding}
