"""Colour to grey: average, lightness or luminosity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.arithmetic.geometry import Shape
from model.arithmetic.scratch import scratch
from model.net.prepare import Prepare, PrepareSpec, weighed_range

WEIGHTS = {"average": (1, 1, 1), "lightness": None, "luminosity": (21, 72, 7)}
"""Of red, green and blue; lightness has none."""
DIVISORS = {"average": 3, "lightness": 2, "luminosity": 100}
MODES = tuple(WEIGHTS)


@dataclass(frozen=True, eq=False, kw_only=True)
class GreySpec(PrepareSpec):
    """Red, green and blue to one grey level: an exact fraction, rounded down.

    - average: ``floor((r + g + b) / 3)``
    - lightness: ``floor((max(r, g, b) + min(r, g, b)) / 2)``
    - luminosity: ``floor(0.21 r + 0.72 g + 0.07 b)``, as ``floor((21 r + 72 g + 7 b) / 100)``

    The lecture's slide prints the last term of luminosity as 0.07 r. Blue is meant: else blue would count
    for nothing.

    Parameters
    ----------
    mode : {"average", "lightness", "luminosity"}
    """

    kind = "grey"
    mode: str

    def __post_init__(self):
        super().__post_init__()
        if self.mode not in MODES:
            self.fail(f"grey is one of {', '.join(MODES)}, not {self.mode!r}")
        if self.in_shape[2] != 3:
            self.fail(f"grey is made of 3 channels (red, green, blue), not {self.in_shape[2]}")
        _ = self.sum_format

    @property
    def out_shape(self) -> Shape:
        return (*self.in_shape[:2], 1)

    @property
    def divisor(self) -> int:
        """What the sum is divided by."""
        return DIVISORS[self.mode]

    @property
    def weights(self) -> np.ndarray | None:
        """Integers (3,) for red, green and blue; None for lightness, which is no sum of products."""
        weights = WEIGHTS[self.mode]
        return None if weights is None else np.array(weights)

    @property
    def sum_range(self) -> tuple[int, int]:
        if self.weights is None:
            return 2 * self.src.min, 2 * self.src.max
        return weighed_range(self.weights, self.src)

    def sums(self, x, cache):
        red, green, blue = (x[:, c : c + 1] for c in range(3))
        y, part = (scratch(cache, key, red.shape, x.dtype) for key in ("y", "part"))
        if self.weights is None:
            np.maximum(np.maximum(red, green, out=y), blue, out=y)
            np.minimum(np.minimum(red, green, out=part), blue, out=part)
            return np.add(y, part, out=y)
        of_red, *others = self.weights.tolist()
        np.multiply(red, of_red, out=y)
        for level, weight in zip((green, blue), others):
            y += np.multiply(level, weight, out=part)
        return y


class Grey(Prepare):
    """Colour images to grey ones, before all trained layers.

    Parameters
    ----------
    mode : {"average", "lightness", "luminosity"}
        As `GreySpec` defines them.
    """

    kind = "grey"

    def __init__(self, mode: str = "luminosity"):
        if mode not in MODES:
            raise ValueError(f"grey is one of {', '.join(MODES)}, not {mode!r}")
        self.mode = mode

    def described(self, **fields) -> GreySpec:
        return GreySpec(**fields, mode=self.mode)
