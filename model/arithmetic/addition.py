"""A rounded sum of two tables without a multiplication: its scale goes into the tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.arithmetic.rescale import Rescale, within

MOST = 40
"""Bits behind the point that tables are tried with."""


def scaled(
    entries: Sequence[np.ndarray], results: np.ndarray, slope: float, bottom: int, top: int
) -> tuple[tuple[np.ndarray, np.ndarray], Rescale] | None:
    """Tables whose sums only need a shift, with the fewest bits behind the point.

    They hold the old entries at the scale of the results, rounded to so many bits. With a few of them all
    pairs of entries come to their results: that is tried on every pair, so nothing else need be known of
    how they came about.

    Parameters
    ----------
    entries : (ndarray of int, ndarray of int)
    results : ndarray of int, (entries, entries)
        What becomes of the sum of each pair; ``bottom .. top``.
    slope : float
        Of the results by the sums.
    bottom, top : int

    Returns
    -------
    ((ndarray of int64, ndarray of int64), Rescale) or None
        Entries, and a rescale of one channel with the multiplier 1; None if there are none.
    """
    for shift in range(MOST):
        first, second = (np.floor(each * (slope * 2.0**shift) + 0.5).astype(np.int64) for each in entries)
        sums = first[:, None] + second
        ranges = [bounds(sums, results, sums < 0, shift, bottom, top)]
        ranges.append(bounds(sums, results, sums >= 0, shift, bottom, top))
        if all(low <= high for low, high in ranges):
            break
    else:
        return None
    shifts = np.array([shift])
    offsets = within([(np.array([low]), np.array([high])) for low, high in ranges], shifts)
    rescale = Rescale(np.array([1]), offsets, shifts, bottom, top)
    if not np.array_equal(rescale(sums[None])[0], results):
        raise AssertionError("tables were found whose sums come to other results")
    return (first, second), rescale


def bounds(sums, results, half, shift: int, bottom: int, top: int) -> tuple[int, int]:
    """Smallest and largest offset with which the sums of one sign come to their results."""
    free = 1 << 62
    low = ((results << shift) - sums)[half & (results > bottom)].max(initial=-free)
    high = ((results + 1 << shift) - 1 - sums)[half & (results < top)].min(initial=free)
    return int(low), int(high)
