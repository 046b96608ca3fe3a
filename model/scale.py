"""The choice of a power-of-two scale for numbers of a given width."""

from __future__ import annotations

import math

import numpy as np

from model.qformat import QFormat


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
    values = np.asarray(values, dtype=np.float64).ravel()
    whole = QFormat(width, 0, signed)
    reach = [values.max(initial=0) / whole.max if whole.max else 0]
    reach.append(values.min(initial=0) / whole.min if signed else 0)
    if not max(reach) > 0:
        return whole
    # The finest grid without saturation: a coarser one is a part of it, and so no better.
    frac = -math.ceil(math.log2(max(reach)))
    best, least = None, math.inf
    while True:
        fmt = QFormat(width, frac, signed)
        scaled = values * 2.0**frac
        clipped = np.clip(scaled, fmt.min, fmt.max)
        if best is not None and squares(scaled - clipped, frac) >= least:
            return best  # saturation alone is as bad, and only grows with finer steps
        error = squares(scaled - np.clip(np.floor(scaled + 0.5), fmt.min, fmt.max), frac)
        if error < least:
            best, least = fmt, error
        if error == 0:
            return best
        frac += 1


def squares(difference: np.ndarray, frac: int) -> float:
    """Sum of the squares of differences that are counted in steps of 2**-frac."""
    return float(difference @ difference) * 4.0**-frac
