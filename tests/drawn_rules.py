"""How other frameworks round, drawn: a rule, its scales and its zero point, for sums of any spread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from model.arithmetic.qformat import QFormat
from model.arithmetic.rules import ROUNDINGS, FloatProduct, Mean, TwoRoundings, multiplier_of
from model.arithmetic.steps import Function

EXTREMES = (1.0,) * 6 + (2.0**-9, 2.0**5)
"""Scales, by what spreads the sums over the results; at the last two nearly all results are one."""


def one_rounding(scales: np.ndarray, zero: int) -> Function:
    """TFLite with its single rounding: the same multipliers of 31 bits, halves up, once."""
    multipliers, shifts = (np.array(one)[:, None] for one in zip(*map(multiplier_of, scales)))
    right = 31 - shifts

    def rule(a):
        if np.abs(a).max(initial=0) >= 1 << 31:
            raise ValueError("such sums do not fit 32 bits")
        return ((a * multipliers + (np.int64(1) << right - 1)) >> right) + zero

    return rule


def mean(scales: np.ndarray, zero: int) -> Function:
    """An average of as many values as the first scale says."""
    return Mean(max(int(1 / scales[0]), 1))


RULES: dict[str, Callable[[np.ndarray, int], Function]] = {
    "two roundings": TwoRoundings.of,
    "one rounding": one_rounding,
    "mean": mean,
    **{
        f"{dtype.__name__}, {rounding}": partial(FloatProduct, dtype=dtype, rounding=rounding)
        for dtype in (np.float32, np.float64)
        for rounding in ROUNDINGS
    },
}
"""Rules of scales, one a channel, and of a zero point of the results, by their names."""


def draw_rule(drawer, low: np.ndarray, high: np.ndarray, dst: QFormat) -> tuple[str, Function]:
    """A rule, and its name, for sums of ``low .. high`` of each channel and results of a format."""
    name = drawer.any_of(list(RULES))
    extreme = EXTREMES[drawer.integer(0, len(EXTREMES) - 1)]
    noise = 4 * drawer.rng.integers(0, 1 << 16, len(low)) / (1 << 16) - 1
    spread = np.maximum((high - low).astype(float), 1)
    scales = (extreme * 2.0**noise * (dst.max - dst.min) / spread).clip(2.0**-20, 2.0**20)
    if drawer.integer(0, 1):
        scales = 2.0 ** np.rint(np.log2(scales))  # of which sums are halves
    return name, RULES[name](scales, drawer.integer(dst.min, dst.max))
