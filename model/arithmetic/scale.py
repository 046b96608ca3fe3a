"""The choice of a power-of-two scale for numbers of a given width."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from model.arithmetic.qformat import QFormat

FINEST = 50
"""Fraction bits of the finest steps that are chosen: smaller numbers count as zero. So a step of the sums of
products is a normal number in float32 too, which computes like the integers."""


def best_format(values: np.ndarray, width: int, signed: bool) -> QFormat:
    """The format that stands for given numbers with the least sum of squared errors.

    Rounding and saturation both count. Of equally good formats it is the coarsest.

    Parameters
    ----------
    values : array_like of float
    width : int
        Bits, the sign included.
    signed : bool

    Returns
    -------
    QFormat
        Of `width` bits; with no fraction bits if all values are zero.
    """
    whole = QFormat(width, 0, signed)
    frac = best_frac(values, whole.min, whole.max, rounded)
    return whole if frac is None else QFormat(width, frac, signed)


def best_frac(
    values: np.ndarray, low: int, high: int, codes: Callable[[np.ndarray, int, int], np.ndarray]
) -> int | None:
    """Fraction bits with which integers ``low .. high`` stand for given numbers with the least squared error.

    Parameters
    ----------
    values : array_like of float
    low, high : int
    codes : callable
        Takes values in steps of the grid, `low` and `high`, and gives the integers that stand for them.

    Returns
    -------
    int or None
        The fewest of the best, but no more than `FINEST`; None if all numbers are zero.
    """
    values = np.asarray(values, dtype=np.float64).ravel()
    reach = [values.max(initial=0) / high if high else 0, values.min(initial=0) / low if low else 0]
    if not max(reach) > 0:
        return None
    # The finest grid without saturation: a coarser one is no better.
    frac = min(-math.ceil(math.log2(max(reach))), FINEST)
    best, least = None, math.inf
    while frac <= FINEST:
        scaled = values * 2.0**frac
        if best is not None and squares(scaled - np.clip(scaled, low, high), frac) >= least:
            return best  # saturation alone is as bad, and only grows with finer steps
        error = squares(scaled - codes(scaled, low, high), frac)
        if error < least:
            best, least = frac, error
        if error == 0:
            return best
        frac += 1
    return best


def rounded(scaled: np.ndarray, low: int, high: int) -> np.ndarray:
    """The nearest integers of ``low .. high``, halves up, as floats."""
    return np.clip(np.floor(scaled + 0.5), low, high)


def squares(difference: np.ndarray, frac: int) -> float:
    """Sum of the squares of differences that are counted in steps of 2**-frac."""
    return float(difference @ difference) * 4.0**-frac
