"""From an integer sum to a narrow integer at any scale: one multiplication, one addition, one shift.

A framework rescales sums in its own way (see `model.arithmetic.rules`), but whatever it does is a
non-decreasing step function of the sum. `matched` finds the hardware's form that has the same steps.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.arithmetic.slopes import open_interval, simplest
from model.arithmetic.steps import Function, steps

WORD = 62
"""Bits that products, offsets and their sums may take in int64."""
FREE = 1 << WORD
"""Stands for an offset's bound where there is none."""


@dataclass(frozen=True, eq=False)
class Rescale:
    """``y = clip((m * a + b) >> s, low, high)`` for each channel, b one of two constants by the sign of a.

    The shift rounds down. A zero point of the output is part of b. A power of two is the case m = 1.

    Parameters
    ----------
    multipliers : ndarray of int, (C,)
        m, from 0 on; 0 makes a channel constant.
    offsets : ndarray of int, (2, C)
        b of negative sums, and b of the others.
    shifts : ndarray of int, (C,)
        s, from 0 on.
    low, high : int
        What results are clipped to; a ReLU's or ReLU6's limits are here.
    odd : ndarray of int, (2, C), optional
        Where halves go to the even number: the offsets that decide of steps to odd results; `offsets` then
        decide of those to even ones. The result is the largest that either of them reaches.

    Raises
    ------
    ValueError
        If these do not fit together, or results would fall from the sum -1 to the sum 0.
    """

    multipliers: np.ndarray
    offsets: np.ndarray
    shifts: np.ndarray
    low: int
    high: int
    odd: np.ndarray | None = None

    def __post_init__(self):
        multipliers, offsets, shifts = (np.asarray(a) for a in (self.multipliers, self.offsets, self.shifts))
        odd = offsets if self.odd is None else np.asarray(self.odd)
        channels = multipliers.shape
        if any(array.dtype.kind not in "iu" for array in (multipliers, offsets, odd, shifts)):
            raise ValueError("a rescale's multipliers, offsets and shifts are integers")
        if (
            len(channels) != 1
            or not channels[0]
            or shifts.shape != channels
            or offsets.shape != (2, *channels)
            or odd.shape != offsets.shape
        ):
            raise ValueError(
                f"multipliers {multipliers.shape}, offsets {offsets.shape} and shifts {shifts.shape} of a"
                " rescale do not fit: one, two and one a channel"
            )
        if multipliers.min() < 0 or not 0 <= shifts.min() <= shifts.max() <= WORD:
            raise ValueError(f"multipliers are from 0 on, shifts from 0 to {WORD}")
        widest = [int(multipliers.max()), *(int(b.max()) for b in (offsets, odd))]
        if max(*widest, *(-int(b.min()) for b in (offsets, odd))) >= FREE:
            raise ValueError(f"multipliers and offsets have up to {WORD} bits")
        if not self.low <= self.high:
            raise ValueError(f"nothing lies between {self.low} and {self.high}")
        arrays = {"multipliers": multipliers, "offsets": offsets, "shifts": shifts}
        for name, array in (arrays if self.odd is None else {**arrays, "odd": odd}).items():
            array = array.astype(np.int64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        ends = self.inplace(np.full(channels, -1, np.int64), 0), self.inplace(np.zeros(channels, np.int64), 0)
        if (ends[0] > ends[1]).any():
            raise ValueError("the offsets let results fall where the sum's sign changes")

    @property
    def width(self) -> int:
        """Bits of the widest multiplier."""
        return int(self.multipliers.max()).bit_length()

    @cached_property
    def signed(self) -> bool:
        """Whether a sum's sign makes a difference in any channel."""
        return any((b[0] != b[1]).any() for b in (self.offsets, self.odd) if b is not None)

    @property
    def aligned(self) -> Rescale:
        """The same function with one shift for all channels, where a shift is but wires."""
        up = self.shifts.max() - self.shifts
        return Rescale(
            self.multipliers << up,
            self.offsets << up,
            np.full_like(self.shifts, self.shifts.max()),
            self.low,
            self.high,
            None if self.odd is None else self.odd << up,
        )

    def bound(self, low: np.ndarray | int, high: np.ndarray | int) -> int:
        """Largest magnitude on the way from sums ``low .. high`` (of each channel, or of all)."""
        ends = [np.broadcast_to(np.asarray(end, object), self.multipliers.shape) for end in (low, high)]
        largest = np.maximum(*(abs(end) for end in ends))
        offsets = np.abs(self.offsets if self.odd is None else np.vstack([self.offsets, self.odd]))
        return int((self.multipliers.astype(object) * largest + offsets.max(axis=0)).max())

    def inplace(self, x: np.ndarray, axis: int) -> np.ndarray:
        """Sums to results in the array itself, of int64 or of a float type that is exact up to `bound`.

        Parameters
        ----------
        x : ndarray
        axis : int
            Along which the channels lie.
        """
        shape = [1] * x.ndim
        shape[axis] = -1
        m, s = self.multipliers.reshape(shape), self.shifts.reshape(shape)
        # A power of two changes nothing about exactness: in floats the shift is part of the constants.
        scale = np.ldexp(1.0, -s) if x.dtype.kind == "f" else 1

        def chosen_by_sign(offsets):
            negative, other = ((b.reshape(shape) * scale).astype(x.dtype) for b in offsets)
            return np.where(x < 0, negative, other) if self.signed else other

        evens = chosen_by_sign(self.offsets)
        odds = None if self.odd is None else chosen_by_sign(self.odd)
        x *= (m * scale).astype(x.dtype)
        if odds is not None:
            odds = odds + x
        x += evens
        for sums in (x,) if odds is None else (x, odds):
            if x.dtype.kind == "f":
                np.floor(sums, out=sums)
            else:
                sums >>= s
        if odds is not None:
            np.maximum(x - x % 2, odds - (odds + 1) % 2, out=x)
        return x.clip(self.low, self.high, out=x)

    def __call__(self, a: np.ndarray) -> np.ndarray:
        """Results (int64) of sums (C, ...)."""
        a = np.array(a, np.int64)
        if a.size and self.bound(int(a.min()), int(a.max())) >= 1 << 63:
            raise ValueError("such sums times such multipliers need more than 64 bits")
        return self.inplace(a, 0)


class Unmatched(ValueError):
    """No rescale has a function's steps.

    Attributes
    ----------
    channels : list of int
        Which have none.
    """

    def __init__(self, channels: list[int]):
        self.channels = channels
        super().__init__(
            f"no multiplication, addition and shift makes the rounding of {len(channels)} channels"
            f" (the first is {channels[0]})"
        )


def matched(function: Function, low, high, bottom: int, top: int) -> Rescale:
    """The rescale that equals a function on every integer of a range, with the fewest bits of multiplier.

    Below zero and from zero on there is an offset each, so the two halves of the range share nothing but m
    and s. In a half, a step to the value v at the sum t asks for ``m t + b >= v << s``, and the sum before
    it for ``m (t - 1) + b < v << s``. Every b between the largest of the one kind and the smallest of the
    other will do; there is one if and only if the slope ``m / 2**s`` lies in an open interval that two steps
    of the half bound on each side. The least m over a power of two in the intervals of both halves is wanted.

    Where there is none, steps to even and to odd results have offsets of their own, as halves that go to the
    even number need them.

    Parameters
    ----------
    function : callable
        See `model.arithmetic.steps.Function`; it may exceed ``bottom .. top``, to which it is clipped.
    low, high : array_like of int, (C,)
        The sums that each channel can have.
    bottom, top : int

    Raises
    ------
    Unmatched
        If a channel has no such form.
    """
    low, high = (np.asarray(end, np.int64) for end in (low, high))
    for end in (low, high):
        function(end[:, None])  # what cannot be at all is refused at the ends of the range
    if (
        max(-int(low.min()), int(high.max()), 1).bit_length() + max(abs(bottom), abs(top)).bit_length()
        > WORD - 4
    ):
        raise ValueError(f"sums of {low.min()} .. {high.max()} are too wide to compare steps in 64 bits")
    at = steps(function, low, high, bottom, top)
    values = np.arange(bottom + 1, top + 1)
    halves = Half(at, values, low, np.minimum(high, -1)), Half(at, values, np.maximum(low, 0), high)
    found = forms(halves)
    together = np.array([form is not None for form in found])
    evens, odds = ([half.of(parity) for half in halves] for parity in (0, 1))
    if not together.all():
        found = [form or other for form, other in zip(found, forms([*evens, *odds]))]
    if missing := [channel for channel, form in enumerate(found) if form is None]:
        raise Unmatched(missing)
    multipliers, shifts = (np.array(column, np.int64) for column in zip(*found))
    offsets, odd = chosen(halves, multipliers, shifts), None
    if not together.all():
        odd = np.where(together, offsets, chosen(odds, multipliers, shifts))
        offsets = np.where(together, offsets, chosen(evens, multipliers, shifts))
    rescale = Rescale(multipliers, offsets, shifts, bottom, top, odd)
    if not all(half.proves(rescale) for half in halves):
        raise AssertionError("a rescale was found whose steps stand elsewhere")
    return rescale


def forms(halves: Sequence[Half]) -> list[tuple[int, int] | None]:
    """For each channel the multiplier and the shift that some halves have in common."""
    return [simplest(list(intervals)) for intervals in zip(*(half.slopes() for half in halves))]


class Half:
    """The steps of a function at sums of one sign.

    Parameters
    ----------
    at : ndarray of int64, (C, K)
        Where each of the values is first reached, sums of the other sign included.
    values : ndarray of int, (K,)
    first, last : ndarray of int64, (C,)
        The sums; there are none in a channel where `last` is the smaller one.

    Attributes
    ----------
    reached, waited : ndarray of bool, (C, K)
        Whether a value is reached at a sum of this half, and whether it is not yet at the first one.
    """

    def __init__(self, at: np.ndarray, values: np.ndarray, first: np.ndarray, last: np.ndarray):
        first, last = first[:, None], last[:, None]
        self.values, self.at = values, np.clip(at, first, np.maximum(first, last + 1))
        self.reached = (first <= last) & (at <= last)
        self.waited = (first <= last) & (at > first)

    def of(self, parity: int) -> Half:
        """The steps to even or to odd values alone."""
        other = copy.copy(self)
        right = self.values % 2 == parity
        other.reached, other.waited = self.reached & right, self.waited & right
        return other

    def slopes(self) -> list:
        """For each channel the open interval of slopes, as `model.arithmetic.slopes` gives it."""
        return open_interval(self.at, self.values, self.reached, self.waited)

    def offsets(self, multipliers: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest offset of each channel, or minus and plus `FREE`."""
        widest = int(max(np.abs(self.at).max(initial=0), 1)) * int(multipliers.max())
        if max(widest, int(np.abs(self.values).max(initial=0)) << int(shifts.max())) >= FREE >> 1:
            raise ValueError(f"a rescale needs more than {WORD - 1} bits on its way")
        m, levels = multipliers[:, None], self.values << shifts[:, None]
        low = np.where(self.reached, levels - m * self.at, -FREE).max(axis=1, initial=-FREE)
        high = np.where(self.waited, levels - 1 - m * (self.at - 1), FREE).min(axis=1, initial=FREE)
        return low, high

    def proves(self, rescale: Rescale) -> bool:
        """Whether a rescale steps where the function does: it is computed at and before each step."""
        at = rescale(np.where(self.reached, self.at, 0)) >= self.values
        before = rescale(np.where(self.waited, self.at - 1, 0)) < self.values
        return bool((at | ~self.reached).all() and (before | ~self.waited).all())


def chosen(halves: Sequence[Half], multipliers: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Offsets (2, C) of both halves: one for both where that is possible, and round."""
    return within([half.offsets(multipliers, shifts) for half in halves], shifts)


def within(ranges: list[tuple[np.ndarray, np.ndarray]], shifts: np.ndarray) -> np.ndarray:
    """Offsets (2, C) within two ranges for each channel."""
    (low_a, high_a), (low_b, high_b) = ranges
    low, high = np.maximum(low_a, low_b), np.minimum(high_a, high_b)
    common = low <= high
    halves = [
        (np.where(common, low, own_low), np.where(common, high, own_high)) for own_low, own_high in ranges
    ]
    return np.array(
        [[roundest(int(a), int(b), int(s)) for a, b, s in zip(*ends, shifts)] for ends in halves],
        np.int64,
    )


def roundest(low: int, high: int, shift: int) -> int:
    """The integer of ``low .. high`` that ends in the most zeros; without one bound it is near the other."""
    if low == -FREE and high == FREE:
        return 0
    low = max(low, high - (1 << shift)) if low == -FREE else low
    high = min(high, low + (1 << shift)) if high == FREE else high
    if low <= 0 <= high:
        return 0
    zeros = 0
    while high >> zeros + 1 << zeros + 1 >= low:
        zeros += 1
    return high >> zeros << zeros
