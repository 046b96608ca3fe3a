"""Non-decreasing functions of an integer, described by where they step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
"""From integers (C, K) to integers (C, K), both int64, each row with the function of its own channel. Within
a row the results do not decrease as the integers grow."""
BLOCK = 1 << 16
"""Steps that are looked for at once: what they need stays in a processor's cache."""


def steps(function: Function, low: np.ndarray, high: np.ndarray, bottom: int, top: int) -> np.ndarray:
    """Where each channel's function first reaches each of the values ``bottom + 1 .. top``.

    So two functions that are clipped to ``bottom .. top`` are equal on all of ``low .. high`` if, and only
    if, their steps are.

    Parameters
    ----------
    function : callable
        Called with integers of ``low .. high`` only.
    low, high : ndarray of int, (C,)
        The integers of each channel.
    bottom, top : int
        What results are clipped to.

    Returns
    -------
    ndarray of int64, (C, top - bottom)
        ``high + 1`` where a value is never reached.
    """
    values = np.arange(bottom + 1, top + 1)
    low, high = (np.asarray(end, np.int64)[:, None] for end in (low, high))
    found = np.empty((len(low), len(values)), np.int64)
    width = max(BLOCK // len(low), 1)
    for at in range(0, len(values), width):
        found[:, at : at + width] = bisected(function, low, high, values[at : at + width])
    return found


def bisected(function: Function, low: np.ndarray, high: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where functions first reach some values, (C, K); `low` and `high` are (C, 1)."""
    first = np.repeat(low, len(values), axis=1)
    beyond = np.broadcast_to(high + 1, first.shape).copy()
    while (open_ := first < beyond).any():
        middle = (first + beyond) >> 1
        reached = function(np.minimum(middle, high)) >= values
        beyond = np.where(open_ & reached, middle, beyond)
        first = np.where(open_ & ~reached, middle + 1, first)
    return first
