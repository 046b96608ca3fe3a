"""Which slopes a straight line may have that steps where a function does, and the simplest of them."""

from __future__ import annotations

import numpy as np

Fraction = tuple[int, int] | None
"""Numerator and denominator, both positive or 0 / 1; None where there is no bound."""
EMPTY = (1, 1), (1, 1)
"""An interval without any slope."""


def open_interval(at, values, reached, waited) -> list[tuple[Fraction, Fraction]]:
    """For each channel the open interval of slopes that let a line pass between two sets of points.

    The line passes at or above the points ``(at, value)`` that are `reached`, and below the points
    ``(at - 1, value)`` that are `waited` for. With the slope x it does so if
    ``F(x) = max(value - x at) - min(value - x (at - 1))`` is negative, the one over all points of the first
    kind and the other over those of the second. F is convex and made of straight pieces, so Newton's method
    comes to its two roots from outside in a few steps, exactly, in fractions (Dinkelbach, 1967).

    Parameters
    ----------
    at : ndarray of int64, (C, K)
    values : ndarray of int64, (K,)
    reached, waited : ndarray of bool, (C, K)

    Returns
    -------
    list of (fraction, fraction)
        Lower and upper bound; `EMPTY` where no slope will do.
    """
    bounded = reached.any(axis=1) & waited.any(axis=1)
    lower = root(at, values, reached, waited, bounded, (0, 1))
    upper = root(at, values, reached, waited, bounded, (1, 0))
    return [
        (None, None) if not known else EMPTY if False in (low, up) else (low, up)
        for known, low, up in zip(bounded, lower, upper)
    ]


def root(at, values, reached, waited, active, start: tuple[int, int]) -> list:
    """Each channel's root of F from one side: a fraction, None if there is none, False if F has no root."""
    channels = len(at)
    active = active.copy()
    numerator, denominator = (np.full(channels, part, np.int64) for part in start)
    result: list = [None] * channels
    far = np.int64(1) << 62
    first = True
    rows = np.arange(channels)
    while active.any():
        p, q = numerator[:, None], denominator[:, None]
        above = np.where(reached, values * q - p * at, -far)
        below = np.where(waited, values * q - p * (at - 1), far)
        i, j = above.argmax(axis=1), below.argmin(axis=1)
        excess = above[rows, i] - below[rows, j]
        rise = values[i] - values[j]
        run = at[rows, i] - (at[rows, j] - 1)
        for c in np.flatnonzero(active):
            if excess[c] < 0 or (first and start[1] == 0 and excess[c] == 0):
                active[c] = False  # only where it starts: no bound on this side
            elif excess[c] == 0 and not first:
                active[c], result[c] = False, (int(numerator[c]), int(denominator[c]))
            elif run[c] * (1 if start[1] else -1) <= 0:
                active[c], result[c] = False, False
            else:
                sign = 1 if run[c] > 0 else -1
                numerator[c], denominator[c] = sign * rise[c], sign * run[c]
        first = False
    return result


def simplest(intervals: list[tuple[Fraction, Fraction]]) -> tuple[int, int] | None:
    """Integers (m, s), m the least with which ``m / 2**s`` lies in all of some open intervals.

    None if they have no number in common.
    """
    lows = [low for low, _ in intervals if low is not None]
    highs = [high for _, high in intervals if high is not None]
    if any(p * d >= n * q for p, q in lows for n, d in highs):
        return None
    s = 0
    while True:
        m = max([(p << s) // q + 1 for p, q in lows], default=0)
        if all(m * d < n << s for n, d in highs):
            return m, s
        s += 1
