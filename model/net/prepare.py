"""What layers that prepare images have in common: integers from the pixels on, in training as in hardware.

Such a layer maps grey levels to grey levels, by max(0, min(255, floor(k))) of a fraction k. It stands
before all other layers, has nothing to be trained, and computes the same integers in a float net, in the
golden model and in hardware.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.arithmetic.division import reciprocal
from model.arithmetic.exact import narrowest
from model.arithmetic.qformat import PIXELS, QFormat
from model.arithmetic.scratch import held, scratch
from model.golden.spec import Spec
from model.net.layer import Layer


@dataclass(frozen=True, eq=False, kw_only=True)
class PrepareSpec(Spec):
    """Exact fractions with one divisor, ``clip(floor(sum / divisor))``, in the format of the input.

    Rounding is always down, and then comes saturation: for pixels, to 0..255.

    Attributes
    ----------
    divisor : int
        At least 1.
    """

    def __post_init__(self):
        super().__post_init__()
        if self.src != self.dst:
            self.fail(f"it keeps its format, {self.src}, and cannot make {self.dst}")

    @property
    def sum_range(self) -> tuple[int, int]:
        """Smallest and largest sum that inputs of `src` can drive."""
        raise NotImplementedError

    @property
    def sum_format(self) -> QFormat:
        """Format of the exact sum."""
        try:
            return QFormat.spanning(*self.sum_range, self.src.frac)
        except ValueError as error:
            self.fail(f"sums of {self.src} values are too wide: {error}")

    @property
    def reciprocal(self) -> tuple[int, int, int]:
        """Integers (m, c, k): ``(sum * m + c) >> k`` is ``floor(sum / divisor)``."""
        return reciprocal(*self.sum_range, 1, self.divisor, 0)

    @cached_property
    def dtype(self) -> type:
        """The quickest type in which the sums are exact.

        Then the rounding of a float quotient does not matter: what is no whole number is farther away from
        the next one than that.
        """
        low, high = self.sum_range
        return narrowest(max(-low, high, self.divisor))

    def sums(self, x: np.ndarray, cache: dict) -> np.ndarray:
        """The exact sums for values of `dtype`; otherwise as `apply`."""
        raise NotImplementedError

    def apply(self, x, cache):
        sums = self.sums(held(x, self.dtype, cache), cache)
        if self.dtype is np.int64:
            sums //= self.divisor
        else:
            sums /= self.divisor
        return self.dst.settle(sums)


def weighed_range(weights: np.ndarray, src: QFormat) -> tuple[int, int]:
    """Smallest and largest sum of values of a format with integer weights."""
    up, down = int(np.maximum(weights, 0).sum()), int(np.minimum(weights, 0).sum())
    return up * src.min + down * src.max, up * src.max + down * src.min


class Prepare(Layer):
    """A layer of a float net that prepares images: it runs its spec, and its output is again pixels / 256.

    Real values that are no multiples of 1/256 are rounded to pixels first, half up.

    Attributes
    ----------
    spec : PrepareSpec
        Made by `build`.
    """

    prepares = True
    spec: PrepareSpec

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        self.spec = self.described(name=name, in_shape=in_shape, src=PIXELS, dst=PIXELS)

    def described(self, **fields) -> PrepareSpec:
        """The layer's spec, from the fields that every `Spec` has."""
        raise NotImplementedError

    @property
    def out_shape(self):
        return self.spec.out_shape

    def forward(self, x, cache):
        pixels = self.spec.apply(PIXELS.quantise(x), cache.setdefault("pixels", {}))
        y = scratch(cache, "y", pixels.shape, x.dtype)
        return np.multiply(pixels, x.dtype.type(2.0**-PIXELS.frac), out=y)

    def quantise(self, src: QFormat, dst: QFormat) -> PrepareSpec:
        """The layer in integers: those that it has computed all along, whatever `dst`."""
        return self.spec
