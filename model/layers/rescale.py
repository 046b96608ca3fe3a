"""A change of scale that stands alone: sums to the values of a net that another framework quantised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from model.arithmetic.exact import narrowest
from model.arithmetic.rescale import Rescale
from model.arithmetic.scratch import scratch
from model.arithmetic.steps import steps
from model.golden.spec import Spec


@dataclass(frozen=True, eq=False, kw_only=True)
class RescaleSpec(Spec):
    """Value by value ``clip((m * a + b) >> s, low, high)`` with m, b and s of the value's channel.

    What comes in is a sum as its layer makes it (of a convolution, a dense layer, a pooling or an addition
    whose `dst` is the format of its exact sum), what goes out an integer whose step and zero point nothing
    after it needs to know.

    Parameters
    ----------
    multipliers : ndarray of int, (C,)
        m, from 0 on.
    offsets : ndarray of int, (2, C)
        b of negative values of a, and b of the others; equal where the sign does not matter.
    shifts : ndarray of int, (C,)
        s, bits to the right, from 0 on; they round down.
    low, high : int
        Of what `dst` holds.
    odd : ndarray of int, (2, C), optional
        As of `Rescale`; only roundings of halves to even numbers have need of it, and TFLite has none.
    """

    kind = "rescale"
    since = 4
    multipliers: np.ndarray
    offsets: np.ndarray
    shifts: np.ndarray
    low: int
    high: int
    odd: np.ndarray | None = None

    def __post_init__(self):
        super().__post_init__()
        if any(type(end) is not int for end in (self.low, self.high)):
            self.fail(f"results are clipped to whole numbers, not to {self.low!r} and {self.high!r}")
        try:
            rescale = self.rescale
        except ValueError as error:
            self.fail(str(error))
        for name in ("multipliers", "offsets", "shifts", "odd"):
            object.__setattr__(self, name, getattr(rescale, name))
        if len(self.multipliers) != self.in_shape[2]:
            self.fail(f"{len(self.multipliers)} multipliers do not fit {self.in_shape[2]} channels")
        if not self.dst.contains([self.low, self.high]):
            self.fail(f"results of {self.low} .. {self.high} lie outside their format {self.dst}")
        if rescale.bound(self.src.min, self.src.max) >= 1 << 63:
            self.fail(f"{self.src} values times {rescale.width} bits need more than 64 bits")

    @cached_property
    def rescale(self) -> Rescale:
        """The arithmetic."""
        return Rescale(self.multipliers, self.offsets, self.shifts, self.low, self.high, self.odd)

    @cached_property
    def dtype(self) -> type:
        """The quickest type in which the change is exact."""
        return narrowest(self.rescale.bound(self.src.min, self.src.max))

    @cached_property
    def span(self) -> tuple[int, int]:
        """Sums that make all results: what lies beyond may be clipped to them first, and nothing changes.

        They are the last sum before any channel's first step, and the sum of any channel's last step. A
        multiplier needs to be no wider than these; often that is some bits less than `src`.
        """
        # Often all channels have one rescale: that of an addition, or of an average.
        arrays = [self.multipliers, *self.offsets, self.shifts, *(() if self.odd is None else self.odd)]
        different = np.unique(np.array(arrays), axis=1, return_index=True)[1]
        one = replace(
            self.rescale,
            multipliers=self.multipliers[different],
            offsets=self.offsets[:, different],
            shifts=self.shifts[different],
            odd=None if self.odd is None else self.odd[:, different],
        )
        ends = [np.full(len(different), end) for end in (self.src.min, self.src.max)]
        at = steps(one, *ends, self.low, self.high)
        at = at[(at > self.src.min) & (at <= self.src.max)]
        return (int(at.min()) - 1, int(at.max())) if at.size else (0, 0)

    def apply(self, x, cache):
        y = scratch(cache, "y", x.shape, self.dtype)
        y[...] = x
        return self.rescale.inplace(y, 1)
