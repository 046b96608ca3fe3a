"""Fixed-point formats and the one rounding rule that every integer of the project follows.

The Amaranth twin of :class:`Requant` is :class:`hdl.parts.rounding.RequantPipe`; the tests compare the two
exhaustively at small widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_WIDTH = 62
"""Widest format, bits: sums and differences of two values still fit an ``int64``."""

MAX_FRAC = 500
"""Most fraction bits, and most that lie left of the point: powers of two well within a float64."""


@dataclass(frozen=True)
class QFormat:
    """A binary fixed-point format: the integer ``q`` stands for ``q * 2**-frac``.

    Parameters
    ----------
    width : int
        Bits, the sign bit included; 1 to 62.
    frac : int
        Fraction bits. May be negative (steps coarser than one) or larger than `width`.
    signed : bool
        Two's complement if true, else 0 .. 2**width - 1.

    Examples
    --------
    >>> str(QFormat(8, 4)), QFormat(8, 4).max / 2**4
    ('s8.4', 7.9375)
    """

    width: int
    frac: int
    signed: bool = True

    def __post_init__(self):
        if not isinstance(self.width, int) or not 1 <= self.width <= MAX_WIDTH:
            raise ValueError(f"a format is 1 to {MAX_WIDTH} bits wide, not {self.width}")
        if not isinstance(self.frac, int) or abs(self.frac) > MAX_FRAC:
            raise ValueError(f"a format has up to {MAX_FRAC} fraction bits, not {self.frac}")
        if self.signed not in (False, True):
            raise ValueError(f"a format is signed or not, and not {self.signed!r}")

    @property
    def min(self) -> int:
        """Smallest integer of the format."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest integer of the format."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def magnitude(self) -> int:
        """Largest magnitude of an integer of the format."""
        return max(-self.min, self.max)

    @classmethod
    def spanning(cls, low: int, high: int, frac: int) -> QFormat:
        """The narrowest signed format that holds every integer of ``low .. high``."""
        return cls(1 + max(int(high), -int(low) - 1, 0).bit_length(), frac)

    def contains(self, q) -> bool:
        """Whether all integers of an array (or one) lie in the format."""
        q = np.asarray(q)
        return q.size == 0 or bool(self.min <= q.min() and q.max() <= self.max)

    def quantise(self, x) -> np.ndarray:
        """Real numbers to the integers of the format: rounded half up, then saturated.

        Parameters
        ----------
        x : array_like of float

        Returns
        -------
        ndarray of int64
        """
        scaled = np.floor(np.asarray(x, dtype=np.float64) * 2.0**self.frac + 0.5)
        return np.clip(scaled, self.min, self.max).astype(np.int64)

    def settle(self, x: np.ndarray) -> np.ndarray:
        """In place, numbers in steps of the format to its integers: rounded down, then saturated."""
        if x.dtype.kind == "f":
            np.floor(x, out=x)
        return x.clip(self.min, self.max, out=x)

    def real(self, q) -> np.ndarray:
        """The real numbers (float64) that the integers `q` stand for."""
        return np.asarray(q, dtype=np.float64) * 2.0**-self.frac

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}.{self.frac}"


@dataclass(frozen=True)
class Requant:
    """The change from one format to another: shift with rounding half up, then saturation.

    ``y = clip((x + (1 << (s - 1))) >> s)`` with ``s = src.frac - dst.frac``; for ``s <= 0`` the exact
    left shift ``x << -s`` takes the place of the rounding one.
    """

    src: QFormat
    dst: QFormat

    def __post_init__(self):
        if self.src.width - min(self.shift, 0) > 63:
            raise ValueError(f"values of {self.src} in steps of {self.dst} do not fit 64 bits")

    @property
    def shift(self) -> int:
        """Bits to the right; negative to the left."""
        return self.src.frac - self.dst.frac

    @property
    def half(self) -> int:
        """What rounding adds before the shift; a sum may be seeded with it in place of zero."""
        return 1 << (self.shift - 1) if self.shift > 0 else 0

    def __call__(self, x) -> np.ndarray:
        """Integers of `src` to integers (int64) of `dst`, any shape."""
        return self.inplace(np.array(x, dtype=np.int64))

    def inplace(self, x: np.ndarray) -> np.ndarray:
        """The same in the array itself, of int64 or of a float type that is exact up to `bound`."""
        if x.dtype.kind == "f":
            x *= 2.0**-self.shift
            if self.shift > 0:
                x += 0.5
        elif self.shift >= 63:
            x.fill(0)
        elif self.shift > 0:
            x += self.half
            x >>= self.shift
        else:
            x <<= -self.shift
        return self.dst.settle(x)

    def bound(self, magnitude: int) -> int:
        """Largest magnitude of the integers on the way from values of up to `magnitude`, and at its end.

        That a left shift goes farther before saturation does not count: a power of two is exact in floats.
        """
        shifted = magnitude << max(-self.shift, 0)
        return max(magnitude + self.half, min(shifted, self.dst.magnitude))


PIXELS = QFormat(8, 8, signed=False)
"""Format of images: the grey level g = 0..255 stands for g / 256."""
