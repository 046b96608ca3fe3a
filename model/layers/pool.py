"""Pooling: the maximum, average or sum of r_h x r_w pixels, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.arithmetic import pooling
from model.arithmetic.division import reciprocal
from model.arithmetic.exact import narrowest
from model.arithmetic.geometry import Geometry, Padding, Shape, Size
from model.arithmetic.qformat import QFormat
from model.arithmetic.scratch import held, scratch
from model.golden.spec import Spec
from model.net.layer import Layer

MODES = ("max", "avg", "sum")


@dataclass(frozen=True, eq=False, kw_only=True)
class PoolSpec(Spec):
    """A quantised pooling.

    Padding never wins a maximum; in sums and averages it counts as zeros (the divisor of an average is
    always r_h * r_w). An average is rounded half up, exactly, whatever the divisor.

    Parameters
    ----------
    mode : {"max", "avg", "sum"}
    kernel, stride : (int, int)
    padding : ((int, int), (int, int))
        (top, bottom), (left, right).
    """

    kind = "pool"
    mode: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def __post_init__(self):
        super().__post_init__()
        if self.mode not in MODES:
            self.fail(f"pooling is one of {', '.join(MODES)}, not {self.mode!r}")
        try:
            self.geometry.positions(self.in_shape)
        except ValueError as error:
            self.fail(str(error))
        if self.mode == "max" and self.src != self.dst:
            self.fail(f"max pooling keeps its format, {self.src}, and cannot make {self.dst}")
        if self.mode == "sum":
            self.requant(self.sum_format)
        if self.mode == "avg":
            m, c, _ = self.reciprocal
            if m * max(-self.sum_format.min, self.sum_format.max) + c >= 1 << 63:
                self.fail(f"averages of {self.src} values in steps of {self.dst} need more than 64 bits")

    @property
    def geometry(self) -> Geometry:
        """Where the window stands."""
        return Geometry(self.kernel, self.stride, self.padding)

    @property
    def out_shape(self) -> Shape:
        return (*self.geometry.positions(self.in_shape), self.in_shape[2])

    @property
    def fill(self) -> int:
        """The integer that stands in the padding."""
        return self.src.min if self.mode == "max" else 0

    @property
    def sum_format(self) -> QFormat:
        """Format of the exact sum of a window."""
        area = self.kernel[0] * self.kernel[1]
        return QFormat.spanning(area * self.src.min, area * self.src.max, self.src.frac)

    @property
    def reciprocal(self) -> tuple[int, int, int]:
        """Integers (m, c, k): ``(sum * m + c) >> k`` is the average in steps of `dst`, rounded half up."""
        up = self.dst.frac - self.src.frac
        numerator, divisor = 2 << max(up, 0), (2 * self.kernel[0] * self.kernel[1]) << max(-up, 0)
        return reciprocal(self.sum_format.min, self.sum_format.max, numerator, divisor, divisor // 2)

    @property
    def monotone(self) -> bool:
        return self.mode == "max"

    @cached_property
    def dtype(self) -> type:
        """The quickest type in which sums are exact, and what is made of them; a maximum needs none."""
        if self.mode == "avg":
            m, c, _ = self.reciprocal
            return narrowest(m * self.sum_format.magnitude + c)
        return narrowest(self.requant(self.sum_format).bound(self.sum_format.magnitude))

    def apply(self, x, cache):
        if self.mode == "max":
            return pooling.maxima(x, self.geometry, self.fill, cache)
        sums = pooling.sums(held(x, self.dtype, cache), self.geometry, cache)
        # Sums of single pixels may be the input itself.
        y = scratch(cache, "output", sums.shape, self.dtype)
        if self.mode == "sum":
            y[...] = sums
            return self.requant(self.sum_format).inplace(y)
        m, c, k = self.reciprocal
        if self.dtype is np.int64:
            np.multiply(sums, m, out=y)
            y += c
            y >>= k
        else:
            np.multiply(sums, m * 2.0**-k, out=y)
            y += c * 2.0**-k
        return self.dst.settle(y)


class Pool(Layer):
    """A pooling; padding never wins a maximum, and counts as zeros in sums and averages.

    Parameters
    ----------
    mode : {"max", "avg", "sum"}
    kernel : int or (int, int)
        Height and width.
    stride : int or (int, int), optional
        The kernel's size by default.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        As `Geometry.resolve` reads it.
    """

    kind = "pool"

    def __init__(self, mode: str, kernel: Size, stride: Size | None = None, padding: Padding = "valid"):
        if mode not in MODES:
            raise ValueError(f"pooling is one of {', '.join(MODES)}, not {mode!r}")
        self.mode, self.window = mode, (kernel, kernel if stride is None else stride, padding)
        self.monotone = mode == "max"

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        self.geometry = Geometry.resolve(in_shape, *self.window)
        self.positions = self.geometry.positions(in_shape)

    @property
    def out_shape(self) -> Shape:
        return (*self.positions, self.in_shape[2])

    @property
    def scale(self) -> float:
        """What a sum is multiplied by."""
        return 1 / (self.geometry.kernel[0] * self.geometry.kernel[1]) if self.mode == "avg" else 1.0

    def forward(self, x, cache):
        if self.mode == "max":
            return pooling.maxima(x, self.geometry, -np.inf, cache)
        y = pooling.sums(x, self.geometry, cache)
        return np.multiply(y, self.scale, out=scratch(cache, "y", y.shape, y.dtype))

    def backward(self, dy, cache):
        if self.mode == "max":
            return pooling.maxima_backward(dy, self.geometry, self.in_shape, cache)
        dy = np.multiply(dy, self.scale, out=scratch(cache, "dy", dy.shape, dy.dtype))
        return pooling.sums_backward(dy, self.geometry, self.in_shape, cache)

    def quantise(self, src: QFormat, dst: QFormat) -> PoolSpec:
        """The layer in integers; max pooling keeps its format `src`."""
        return PoolSpec(
            name=self.name,
            in_shape=self.in_shape,
            src=src,
            dst=src if self.mode == "max" else dst,
            mode=self.mode,
            kernel=self.geometry.kernel,
            stride=self.geometry.stride,
            padding=self.geometry.padding,
        )
