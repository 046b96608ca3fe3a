"""Reduction kernels: each r_h x r_w grid of grey levels becomes one, by an average or by any weights."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor, lcm

import numpy as np

from model.arithmetic.correlation import Correlation
from model.arithmetic.geometry import Geometry, Padding, Shape, Size, pair, whole
from model.arithmetic.qformat import QFormat
from model.net.prepare import Prepare, PrepareSpec, weighed_range

WEIGHTS = QFormat(24, 0)
MAX_DIVISOR = 1 << 16


@dataclass(frozen=True, eq=False, kw_only=True)
class ReduceSpec(PrepareSpec):
    """A reduction with the same kernel for every channel; padding is zeros.

    With the window's top left pixel at (y, x), ``k = sum(weights[i, j] * pixel[y + i, x + j]) / divisor``,
    and the output is ``clip(floor(k))``.

    Parameters
    ----------
    weights : ndarray of int, (r_h, r_w)
        Up to 24 bits each.
    divisor : int
        1 to 65536.
    stride : (int, int)
    padding : ((int, int), (int, int))
        (top, bottom), (left, right).
    """

    kind = "reduce"
    weights: np.ndarray
    divisor: int
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def __post_init__(self):
        super().__post_init__()
        weights = np.asarray(self.weights)
        if weights.dtype.kind not in "iu" or weights.ndim != 2 or not weights.size:
            self.fail("the weights of a reduction are integers in rows and columns")
        if not WEIGHTS.contains(weights) or not weights.any():
            self.fail(f"the weights must lie in {WEIGHTS.min}..{WEIGHTS.max}, and not all be zero")
        if not whole(self.divisor) or not 1 <= self.divisor <= MAX_DIVISOR:
            self.fail(f"the divisor is a whole number from 1 to {MAX_DIVISOR}, not {self.divisor!r}")
        weights = weights.astype(np.int64)
        weights.flags.writeable = False
        object.__setattr__(self, "weights", weights)
        try:
            self.geometry.positions(self.in_shape)
        except ValueError as error:
            self.fail(str(error))
        _ = self.sum_format

    @property
    def geometry(self) -> Geometry:
        """Where the kernel stands."""
        return Geometry(self.weights.shape, self.stride, self.padding)

    @property
    def out_shape(self) -> Shape:
        return (*self.geometry.positions(self.in_shape), self.in_shape[2])

    @property
    def sum_range(self) -> tuple[int, int]:
        return weighed_range(self.weights, self.src)

    @cached_property
    def correlation(self) -> Correlation:
        """The sums in the engine: every channel by itself."""
        return Correlation(self.geometry, self.in_shape, self.in_shape[2], self.in_shape[2])

    @cached_property
    def kernels(self) -> np.ndarray:
        """The weights as the correlation takes them, (r_h, r_w, 1, C)."""
        shape = (*self.weights.shape, 1, self.in_shape[2])
        return np.broadcast_to(self.weights[..., None, None], shape).astype(self.dtype)

    def sums(self, x, cache):
        return self.correlation.forward(x, self.kernels, cache)


class Reduce(Prepare):
    """A reduction of images, before all trained layers; the same kernel for every channel.

    Parameters
    ----------
    kernel : int, (int, int), or rows of numbers
        Height and width of the grids to average, or the weights: integers, fractions or decimals, which
        count as they are written (0.1 is a tenth). See `fractions_of` for weights with many digits.
    stride : int or (int, int), optional
        The kernel's size by default, so that the grids lie side by side; a smaller one lets them overlap.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        As `Geometry.resolve` reads it; padding is zeros.
    convolve : bool
        The discrete convolution, ``sum(kernel[i, j] * pixel[y - i, x - j])``, which meets the same pixels
        with the kernel turned by half a turn. By default it is the cross-correlation, unturned.
    """

    kind = "reduce"

    def __init__(
        self,
        kernel: Size | list[list[int | float | Fraction]],
        stride: Size | None = None,
        padding: Padding = "valid",
        *,
        convolve: bool = False,
    ):
        try:
            if np.ndim(kernel) == 2:
                self.weights, self.divisor = fractions_of(kernel)
            else:
                size = pair(kernel, "kernel")
                if min(size) < 1 or size[0] * size[1] > MAX_DIVISOR:
                    raise ValueError
                self.weights, self.divisor = np.ones(size, int), size[0] * size[1]
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"a reduction has a size, or rows of equally many weights, not {kernel!r}"
            ) from None
        if convolve:
            self.weights = self.weights[::-1, ::-1]
        self.window = self.weights.shape, self.weights.shape if stride is None else stride, padding

    def described(self, **fields) -> ReduceSpec:
        geometry = Geometry.resolve(fields["in_shape"], *self.window)
        return ReduceSpec(
            **fields,
            weights=self.weights,
            divisor=self.divisor,
            stride=geometry.stride,
            padding=geometry.padding,
        )


def fractions_of(weights) -> tuple[np.ndarray, int]:
    """Weights as integers over one divisor.

    The divisor is their least common denominator, and the integers are exact, if that is at most 65536;
    otherwise the weights are rounded half up to multiples of 1/65536. Give ``Fraction(1, 3)`` for an exact
    third.

    Parameters
    ----------
    weights : rows of int, float or Fraction
        A float counts as the shortest decimal number that stands for it.

    Returns
    -------
    (ndarray of int, int)
        Weights of the same shape, and the divisor.
    """
    rows = [[Fraction(str(weight)) for weight in row] for row in weights]
    divisor = lcm(*(weight.denominator for row in rows for weight in row))
    if divisor > MAX_DIVISOR:
        divisor = MAX_DIVISOR
    integers = [[floor(weight * divisor + Fraction(1, 2)) for weight in row] for row in rows]
    return np.array(integers, np.int64), divisor
