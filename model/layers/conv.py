"""Convolution (the cross-correlation that nets call so): r_h x r_w kernels over the input channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

import numpy as np

from model.geometry import Geometry, Shape, whole
from model.layer import cropped, every, padded, scratch
from model.spec import WeightedSpec
from model.weighted import Weighted


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvSpec(WeightedSpec):
    """A quantised convolution; padding is zeros.

    Parameters
    ----------
    weights : ndarray of int, (r_h, r_w, C_in / groups, C_out)
    bias : ndarray of int, (C_out,) or (H_out, W_out, C_out)
        For each output channel, or for each output pixel as well.
    stride, dilation : (int, int)
    padding : ((int, int), (int, int))
        (top, bottom), (left, right).
    groups : int
        The first ``C_out / groups`` output channels see the first ``C_in / groups`` input channels, and so
        on.
    """

    kind = "conv"
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    def check_shapes(self):
        channels = self.in_shape[2]
        try:
            check_groups(self.groups, channels, self.weights.shape[-1])
            if self.weights.ndim != 4 or self.weights.shape[2] * self.groups != channels:
                per_group = f" in {self.groups} groups" if self.groups > 1 else ""
                raise ValueError(
                    f"weights of shape {self.weights.shape} do not fit {channels} input channels{per_group}"
                )
            self.geometry.positions(self.in_shape)
        except ValueError as error:
            self.fail(str(error))
        if self.bias.shape != self.out_shape:
            super().check_shapes()

    @property
    def since(self) -> int:
        plain = self.groups == 1 and self.dilation == (1, 1) and self.bias.ndim == 1
        return max(super().since, 1 if plain else 2)

    @property
    def geometry(self) -> Geometry:
        """Where the kernel stands."""
        return Geometry(self.weights.shape[:2], self.stride, self.padding, self.dilation)

    @property
    def out_shape(self) -> Shape:
        return (*self.geometry.positions(self.in_shape), self.weights.shape[3])

    @property
    def macs(self) -> int:
        return int(np.prod(self.out_shape[:2])) * self.weights.size

    def run(self, x: np.ndarray) -> np.ndarray:
        windows = self.geometry.windows(x, 0)
        # (N, H_out, W_out, r_h, r_w, C_in) with each group's channels apart, and the groups first
        split = windows.reshape(*windows.shape[:5], self.groups, -1)
        vectors = np.moveaxis(split, 5, 0).reshape(self.groups, -1, len(self.matrix))
        sums = self.products(vectors).reshape(len(x), *self.out_shape) + self.scaled_bias
        return self.requant(self.accumulator)(sums)


def check_groups(groups: int, channels: int, kernels: int) -> None:
    """Raise a ValueError if channels and kernels do not come in so many groups of one size each."""
    if not whole(groups) or groups < 1:
        raise ValueError(f"the number of groups is a whole number from 1, not {groups!r}")
    for count, what in ((channels, "input"), (kernels, "output")):
        if count % groups:
            raise ValueError(f"{groups} groups do not divide {count} {what} channels")


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


class Conv(Weighted):
    """A convolution; padding is zeros.

    Parameters
    ----------
    channels : int
        Output channels: the number of kernels.
    kernel, stride : int or (int, int)
        Height and width.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        As `Geometry.resolve` reads it.
    dilation : int or (int, int)
        Pixels from one of the kernel's rows (columns) to the next.
    groups : int
        Parts in which input and output channels come, each part of the output seeing one of the input.
    bias : {"channel", "pixel"} or None
        One for each output channel, one for each output value (the lecture's M x M matrix), or none.

    Attributes
    ----------
    params : dict
        ``weights`` (r_h, r_w, C_in / groups, C_out) and ``bias`` (C_out,) or (H_out, W_out, C_out).
    """

    kind = "conv"
    spec = ConvSpec

    def __init__(
        self, channels: int, kernel, stride=1, padding="valid", *, dilation=1, groups=1, bias="channel"
    ):
        super().__init__(channels)
        if bias not in ("channel", "pixel", None):
            raise ValueError(f"biases are one a 'channel', one a 'pixel', or None, not {bias!r}")
        self.window, self.groups, self.bias = (kernel, stride, padding, dilation), groups, bias

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        check_groups(self.groups, in_shape[2], self.channels)
        self.geometry = Geometry.resolve(in_shape, *self.window)
        self.positions = self.geometry.positions(in_shape)
        shapes = {"channel": (self.channels,), "pixel": self.out_shape, None: None}
        self.draw((*self.geometry.kernel, in_shape[2] // self.groups, self.channels), rng, shapes[self.bias])

    @property
    def out_shape(self) -> Shape:
        return (*self.positions, self.channels)

    @property
    def macs(self) -> int:
        return int(np.prod(self.positions)) * self.params["weights"].size

    def phases(self) -> Iterator[Phase]:
        """All output rows, in as few parts as the dilation allows: a single one if it is 1."""
        below, down = self.geometry.dilation[0], self.geometry.stride[0]
        period = below // gcd(below, down)
        for row in range(min(period, self.positions[0])):
            part, first = row * down % below, row * down // below
            yield Phase(slice(row, None, period), part, first, period * down // below)

    def forward(self, x, cache):
        copies = self.columns(padded(x, self.geometry.padding, 0, cache), cache)
        rows, columns = self.positions
        y = scratch(cache, "y", (rows, self.channels, columns, x.shape[3]), x.dtype)
        flat = y.reshape(rows, self.groups, self.channels // self.groups, -1).swapaxes(0, 1)
        weights = self.matrices().swapaxes(1, 2)[:, None]
        cache["windows"] = [self.windows(copies, phase) for phase in self.phases()]
        for phase, windows in zip(self.phases(), cache["windows"]):
            np.matmul(weights, windows, out=flat[:, phase.output])
        if self.bias == "channel":
            flat = y.reshape(rows, self.channels, -1)
            flat += self.params["bias"][:, None]
        elif self.bias == "pixel":
            y += self.params["bias"].transpose(0, 2, 1)[..., None]
        return y

    def matrices(self) -> np.ndarray:
        """The weights group by group: (groups, r_h * r_w * C_in / groups, C_out / groups)."""
        weights = self.params["weights"]
        return weights.reshape(-1, self.groups, self.channels // self.groups).swapaxes(0, 1)

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

    def gradients(self, dy, cache):
        rows, _, columns, images = dy.shape
        flat = dy.reshape(rows, self.groups, self.channels // self.groups, -1).swapaxes(0, 1)
        weights = sum(
            np.matmul(windows, flat[:, phase.output].swapaxes(2, 3)).sum(axis=1)
            for phase, windows in zip(self.phases(), cache["windows"])
        )
        gradients = {"weights": weights.swapaxes(0, 1).reshape(self.params["weights"].shape)}
        if self.bias == "channel":
            ones = np.ones(columns * images, dy.dtype)
            gradients["bias"] = (dy.reshape(rows, self.channels, -1) @ ones).sum(axis=0)
        elif self.bias == "pixel":
            gradients["bias"] = dy.sum(axis=3).transpose(0, 2, 1)
        return gradients

    def backward(self, dy, cache):
        (_, kernel_width), (_, right) = self.geometry.kernel, self.geometry.stride
        below, beside = self.geometry.dilation
        rows, columns = self.positions
        height, width = self.geometry.padded(self.in_shape)
        channels, images = self.in_shape[2] // self.groups, dy.shape[3]
        shape = (self.groups, below, -(-height // below), kernel_width, channels)
        copies = scratch(cache, "dcolumns", (*shape, columns, images), dy.dtype)
        flat = copies.reshape(*shape[:3], kernel_width * channels, -1)
        dy = dy.reshape(rows, self.groups, self.channels // self.groups, -1).swapaxes(0, 1)
        phases = list(self.phases())
        for part in {*range(below)} - {phase.part for phase in phases}:
            flat[:, part] = 0
        for phase in phases:
            self.backward_rows(dy[:, phase.output], phase, flat[:, phase.part])
        dx = scratch(cache, "dx", (height, self.in_shape[2], width, images), dy.dtype)
        dx.fill(0)
        split = dx.reshape(height, self.groups, channels, width, images).swapaxes(0, 1)
        for part in range(below):
            into = split[:, part::below]
            for j in range(kernel_width):
                seen = into[:, :, :, every(j * beside, right, columns)]
                seen += copies[:, part, : into.shape[1], j]
        return cropped(dx, self.geometry.padding, self.in_shape)

    def backward_rows(self, dy, phase: Phase, flat):
        """Derivatives by the columns of one part of the input rows, `flat`, from those by a phase's rows."""
        groups, rows, channels, _ = dy.shape
        kernel_height, down = self.geometry.kernel[0], phase.stride
        dy = dy.reshape(groups, rows * channels, -1)
        matrices = [self.rows_matrix(start, down) for start in range(min(down, kernel_height))]
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

    def rows_matrix(self, start: int, step: int) -> np.ndarray:
        """Kernel rows start, start + step, ... from last to first.

        (groups, r_w * C_in / groups, rows * C_out / groups)
        """
        weights = self.params["weights"][start::step][::-1]
        rows, width, channels, _ = weights.shape
        split = weights.reshape(rows, width, channels, self.groups, -1).transpose(3, 1, 2, 0, 4)
        return split.reshape(self.groups, width * channels, -1)

    def fields(self):
        geometry = self.geometry
        return {
            "stride": geometry.stride,
            "padding": geometry.padding,
            "groups": self.groups,
            "dilation": geometry.dilation,
        }


class Depthwise(Conv):
    """A convolution of every input channel by itself.

    Parameters
    ----------
    kernel, stride, padding, dilation, bias
        As of a `Conv`.
    multiplier : int
        Output channels for each input channel.
    """

    def __init__(self, kernel, stride=1, padding="valid", *, multiplier=1, dilation=1, bias="channel"):
        super().__init__(multiplier, kernel, stride, padding, dilation=dilation, bias=bias)
        self.multiplier = multiplier

    def build(self, name, in_shape, rng, dtype):
        self.groups = in_shape[2]
        self.channels = self.multiplier * in_shape[2]
        super().build(name, in_shape, rng, dtype)
