"""How other frameworks round a rescaled integer: the references that a `Rescale` is found and proved for.

Each is a `model.arithmetic.steps.Function`: integers (C, K) to integers (C, K), not yet clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

INT32 = np.iinfo(np.int32)


def nearest_away(x: np.ndarray) -> np.ndarray:
    """The nearest integers of floats, halves away from zero, as C's ``round``."""
    whole = np.trunc(x)
    return whole + np.trunc(2 * (x - whole))  # both differences are exact


ROUNDINGS = {"even": np.rint, "away": nearest_away, "floor": np.floor, "ceil": np.ceil}
"""What becomes of a float that is no integer; `even` and `away` are the nearest one, with halves going to the
even one or away from zero."""


@dataclass(frozen=True, eq=False)
class TwoRoundings:
    """TFLite's reference kernels: ``doubling_high`` at a scale for each channel, then the output's zero.

    Parameters
    ----------
    multipliers, shifts : ndarray of int, (C,)
        As `multiplier_of` gives them.
    zero : int
    """

    multipliers: np.ndarray
    shifts: np.ndarray
    zero: int = 0

    @classmethod
    def of(cls, scales, zero: int = 0) -> TwoRoundings:
        """The rule of real scales, one a channel."""
        multipliers, shifts = zip(*map(multiplier_of, scales))
        return cls(np.array(multipliers, np.int64), np.array(shifts, np.int64), zero)

    def __call__(self, a):
        return doubling_high(a, self.multipliers[:, None], self.shifts[:, None]) + self.zero


@dataclass(frozen=True, eq=False)
class FloatProduct:
    """A sum times a float, rounded, then the output's zero.

    onnxruntime does so with float32, halves to even; QONNX with floats and several roundings; TFLite's
    reference of dense layers with float64, halves away from zero.

    Parameters
    ----------
    scales : array_like of float, (C,)
    zero : int
    dtype : type
        Of the product and both its factors.
    rounding : {"even", "away", "floor", "ceil"}
    """

    scales: np.ndarray
    zero: int = 0
    dtype: type = np.float32
    rounding: str = "even"

    def __call__(self, a):
        scales = np.asarray(self.scales, self.dtype)[:, None]
        rounded = ROUNDINGS[self.rounding](np.asarray(a).astype(self.dtype) * scales)
        # What a clip follows may be as large as it likes.
        return rounded.clip(-(2.0**40), 2.0**40).astype(np.int64) + self.zero


@dataclass(frozen=True)
class Mean:
    """A sum of integers over their count, halves away from zero: TFLite's average pooling."""

    count: int

    def __call__(self, a):
        return np.sign(a) * ((np.abs(a) + self.count // 2) // self.count)


def multiplier_of(scale: float) -> tuple[int, int]:
    """A real scale as TFLite keeps it: (m, shift) with m of 31 bits stand for ``m * 2**(shift - 31)``.

    Raises
    ------
    ValueError
        If it is negative, not finite, or too large for a shift of 30.
    """
    if not 0 <= scale < math.inf:
        raise ValueError(f"a scale is a number from 0 on, not {scale}")
    fraction, shift = math.frexp(scale)
    multiplier = math.floor(math.ldexp(fraction, 31) + 0.5)  # exact: the fraction has 53 bits
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise ValueError(f"a scale of {scale:g} is too large for 32-bit arithmetic")
    return multiplier, shift


def doubling_high(a, multiplier, shift) -> np.ndarray:
    """``a * multiplier * 2**(shift - 31)`` with TFLite's two roundings.

    Parameters
    ----------
    a, multiplier, shift : array_like of int
        Of shapes that broadcast.

    Raises
    ------
    ValueError
        If a value moved left by a positive shift does not fit 32 bits: what the runtime makes of it is
        undefined.
    """
    a, multiplier, shift = (np.asarray(one, np.int64) for one in (a, multiplier, shift))
    moved = a << np.maximum(shift, 0)
    # The bound comes first: a shift of 30 could leave 64 bits.
    if a.size and (np.abs(a).max() > -int(INT32.min) or moved.min() < INT32.min or moved.max() > INT32.max):
        raise ValueError(f"sums up to {int(np.abs(moved).max()):,} do not fit 32 bits")
    return away_from_zero((moved * multiplier + (1 << 30)) >> 31, np.maximum(-shift, 0))


def away_from_zero(a: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``a / 2**shift`` to the nearest integer, halves away from zero."""
    half = (np.int64(1) << shift) >> 1
    return (a + half - ((a < 0) & (shift > 0))) >> shift
