"""Convolution (the cross-correlation that nets call so): r_h x r_w kernels over the input channels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from model.arithmetic.correlation import Correlation
from model.arithmetic.geometry import Geometry, Padding, Shape, Size, whole
from model.arithmetic.scratch import every, held, padded
from model.golden.spec import WeightedSpec
from model.net.weighted import Weighted


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvSpec(WeightedSpec):
    """A quantised convolution.

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
    fill : int
        What stands in the padding: the zero point of `src`, where it has one. The biases then hold what it
        adds to the sums.
    """

    kind = "conv"
    later = {"fill": 0}
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)
    fill: int = 0

    def check_shapes(self):
        if not whole(self.fill) or (self.fill and not self.src.contains(self.fill)):
            self.fail(f"the padding holds values of {self.src}, not {self.fill!r}")
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
        return max(super().since, 1 if plain else 2, 4 if self.fill else 1)

    @cached_property
    def geometry(self) -> Geometry:
        """Where the kernel stands."""
        return Geometry(self.weights.shape[:2], self.stride, self.padding, self.dilation)

    @cached_property
    def out_shape(self) -> Shape:
        return (*self.geometry.positions(self.in_shape), self.weights.shape[3])

    @property
    def macs(self) -> int:
        return int(np.prod(self.out_shape[:2])) * self.weights.size

    @cached_property
    def correlation(self) -> Correlation:
        """The sums of products in the engine."""
        return Correlation(self.geometry, self.in_shape, self.groups, self.weights.shape[3], self.fill)

    def sums(self, x, cache):
        weights, bias = self.operands
        x = held(x, self.dtype, cache)
        if bias.ndim == 1:
            return self.correlation.forward(x, weights, cache, bias)
        y = self.correlation.forward(x, weights, cache)
        y += bias.transpose(0, 2, 1)[..., None]
        return y


def check_groups(groups: int, channels: int, kernels: int) -> None:
    """Raise a ValueError if channels and kernels do not come in so many groups of one size each."""
    if not whole(groups) or groups < 1:
        raise ValueError(f"the number of groups is a whole number from 1, not {groups!r}")
    for count, what in ((channels, "input"), (kernels, "output")):
        if count % groups:
            raise ValueError(f"{groups} groups do not divide {count} {what} channels")


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
        self,
        channels: int,
        kernel: Size,
        stride: Size = 1,
        padding: Padding = "valid",
        *,
        dilation: Size = 1,
        groups: int = 1,
        bias: str | None = "channel",
    ):
        super().__init__(channels)
        if bias not in ("channel", "pixel", None):
            raise ValueError(f"biases are one a 'channel', one a 'pixel', or None, not {bias!r}")
        self.window, self.groups, self.bias = (kernel, stride, padding, dilation), groups, bias

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        check_groups(self.groups, in_shape[2], self.channels)
        self.geometry = Geometry.resolve(in_shape, *self.window)
        self.correlation = Correlation(self.geometry, in_shape, self.groups, self.channels)
        shapes = {"channel": (self.channels,), "pixel": self.out_shape, None: None}
        self.draw((*self.geometry.kernel, in_shape[2] // self.groups, self.channels), rng, shapes[self.bias])

    @property
    def out_shape(self) -> Shape:
        return (*self.correlation.positions, self.channels)

    @property
    def macs(self) -> int:
        return int(np.prod(self.correlation.positions)) * self.params["weights"].size

    def forward(self, x, cache):
        bias = self.params["bias"] if self.bias == "channel" else None
        y = self.correlation.forward(x, self.params["weights"], cache, bias)
        if self.bias == "pixel":
            y += self.params["bias"].transpose(0, 2, 1)[..., None]
        return y

    def windows(self, x):
        geometry, (rows, columns) = self.geometry, self.correlation.positions
        x = padded(x, geometry.padding, 0, {})
        starts = product(*(range(0, k * d, d) for k, d in zip(geometry.kernel, geometry.dilation)))
        taps = np.stack([
            x[every(down, geometry.stride[0], rows), :, every(right, geometry.stride[1], columns)]
            for down, right in starts
        ])  # fmt: skip
        taps = taps.reshape(*taps.shape[:2], self.groups, -1, columns, x.shape[3])
        return taps.transpose(2, 0, 3, 1, 4, 5).reshape(self.groups, len(taps) * taps.shape[3], -1)

    def gradients(self, dy, cache):
        weights, bias = self.correlation.gradients(dy, cache)
        if self.bias is None:
            return {"weights": weights}
        if self.bias == "pixel":
            bias = dy.sum(axis=3).transpose(0, 2, 1)
        return {"weights": weights, "bias": bias}

    def backward(self, dy, cache):
        return self.correlation.backward(dy, self.params["weights"], cache)

    def biased(self, bias):
        other = super().biased(bias)
        other.bias = self.bias or "channel"
        return other

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

    def __init__(
        self,
        kernel: Size,
        stride: Size = 1,
        padding: Padding = "valid",
        *,
        multiplier: int = 1,
        dilation: Size = 1,
        bias: str | None = "channel",
    ):
        super().__init__(multiplier, kernel, stride, padding, dilation=dilation, bias=bias)
        self.multiplier = multiplier

    def build(self, name, in_shape, rng, dtype):
        self.groups = in_shape[2]
        self.channels = self.multiplier * in_shape[2]
        super().build(name, in_shape, rng, dtype)
