"""The numbers that a layer's weights may be: some integers, times a power of two for each output channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.arithmetic.qformat import MAX_WIDTH, QFormat
from model.arithmetic.scale import FINEST, best_format, best_frac, rounded

SPREAD = 8
"""Farthest that the steps of two channels are apart, bits: it widens the sums' grid."""

BIAS_BITS = 16
"""Of biases that stand alone, as all their weights are zero."""


@dataclass(frozen=True)
class Grid:
    """Weights of some bits, and their scales.

    Weights of 1 bit are -1 or 1, of 2 bits -1, 0 or 1; from 3 bits on they are two's complement. The step
    between two of a channel's numbers is ``2 ** (shift - frac)``. A channel of which all weights are nearer
    to zero than to any other number is zero, at 1 bit too.

    Parameters
    ----------
    bits : int
    frac : int
        Of the finest channel.
    shifts : tuple of int
        For each output channel, how many bits its steps are coarser.
    """

    bits: int
    frac: int
    shifts: tuple[int, ...]

    @classmethod
    def best(
        cls,
        weights: np.ndarray,
        bits: int,
        by_channel: bool,
        bias: np.ndarray | None = None,
        most: int = FINEST,
    ) -> Grid:
        """The scales with the least squared error, for each output channel (the last axis) or for all.

        A channel of zeros takes part in no choice, and a channel that wants finer steps than `SPREAD` allows
        takes the finest allowed.

        Parameters
        ----------
        weights : ndarray of float
        bits : int
        by_channel : bool
        bias : ndarray of float, optional
            Chooses where no weight is left.
        most : int
            Fraction bits of the finest steps that matter. Weights that are zero on them are zero.
        """
        channels = weights.shape[-1]
        columns = weights.reshape(-1, channels).T if by_channel else [weights]
        chosen = [finest_of(column, bits, most) for column in columns]
        known = [frac for frac in chosen if frac is not None]
        if not known:
            known = [0 if bias is None else min(best_format(bias, BIAS_BITS, signed=True).frac, most)]
        finest = min(max(known), min(known) + SPREAD)
        shifts = [0 if frac is None else max(finest - frac, 0) for frac in chosen]
        return cls(bits, finest, tuple(shifts) if by_channel else (0,) * channels)

    @property
    def format(self) -> QFormat:
        """In which the integers are stored."""
        return QFormat(max(self.bits, 2), self.frac)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer."""
        return limits(self.bits)

    @property
    def steps(self) -> np.ndarray:
        """Distance of neighbouring numbers, float64 (C,)."""
        return 2.0 ** (np.array(self.shifts) - self.frac)

    def codes(self, weights: np.ndarray) -> np.ndarray:
        """The integers that stand for weights, as floats of the same type."""
        scaled = weights * (1 / self.steps).astype(weights.dtype)
        return codes_of(self.bits)(scaled, *self.limits)

    def nearest(self, scaled: np.ndarray) -> np.ndarray:
        """The integers for weights in steps, as `codes` gives them where a channel is not zero."""
        return (sign if self.bits == 1 else rounded)(scaled, *self.limits)

    def biases(self, bias: np.ndarray, frac: int) -> np.ndarray:
        """The integers that stand for biases, float64, where a layer's input has `frac` fraction bits.

        A bias stands on the grid of its channel's sums, of products with one step of the weights.
        """
        fmt = QFormat(MAX_WIDTH, 0)
        scaled = np.asarray(bias, np.float64) * (2.0**frac / self.steps)
        return rounded(scaled, fmt.min, fmt.max)


def limits(bits: int) -> tuple[int, int]:
    """Smallest and largest integer of weights of some bits."""
    return (-1, 1) if bits <= 2 else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def finest_of(weights: np.ndarray, bits: int, most: int) -> int | None:
    """Fraction bits of the best steps for weights, at most so many; None if these are zero then."""
    frac = best_frac(weights, *limits(bits), codes_of(bits))
    frac = None if frac is None else min(frac, most)
    zero = frac is None or not codes_of(bits)(weights * 2.0**frac, *limits(bits)).any()
    return None if zero else frac


def codes_of(bits: int):
    """How weights of some bits come to their integers."""
    return signs if bits == 1 else rounded


def signs(scaled: np.ndarray, low: int, high: int) -> np.ndarray:
    """The integer `low` for negative numbers, else `high`, as floats; zeros for a channel of nearly zeros.

    The last axis is the channel; numbers in a row belong to one.
    """
    beyond = np.abs(scaled).max(axis=tuple(range(max(scaled.ndim - 1, 1))), initial=0) >= 0.5
    return (sign(scaled, low, high) * beyond).astype(scaled.dtype)


def sign(scaled: np.ndarray, low: int, high: int) -> np.ndarray:
    """`low` for negative numbers, else `high`."""
    return np.where(scaled < 0, low, high)
