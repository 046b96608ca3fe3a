"""A change of format that stands alone: ReLU is the saturation into an unsigned format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.arithmetic.exact import narrowest
from model.arithmetic.qformat import QFormat
from model.arithmetic.scale import best_format
from model.arithmetic.scratch import lent, scratch
from model.golden.spec import Spec
from model.net.layer import Activation


@dataclass(frozen=True, eq=False, kw_only=True)
class RequantSpec(Spec):
    """Value by value from `src` to `dst`."""

    kind = "requant"

    def __post_init__(self):
        super().__post_init__()
        self.requant(self.src)

    @cached_property
    def dtype(self) -> type:
        """The quickest type in which the change is exact."""
        return narrowest(self.requant(self.src).bound(self.src.magnitude))

    def apply(self, x, cache):
        y = scratch(cache, "y", x.shape, self.dtype)
        y[...] = x
        return self.requant(self.src).inplace(y)


class ReLU(Activation):
    """max(x, 0). In integers it costs nothing: the layer before saturates into an unsigned format."""

    kind = "relu"
    keeps_order = True

    def forward(self, x, cache):
        y = scratch(cache, "y", x.shape, x.dtype)
        return x.clip(0, np.inf, out=y)  # three times as quick as np.maximum with a number

    def backward(self, dy, cache):
        passed = np.greater(cache["y"], 0, out=scratch(cache, "passed", dy.shape, bool))
        return np.multiply(dy, passed, out=lent(cache, dy.shape, dy.dtype, dy))

    def source_format(self, x, y, width):
        # Where the calibration images let nothing through, others may, as far as these are held back.
        return best_format(y if y.any() else np.abs(x), width, signed=False)

    def target_format(self, src, y, width):
        return src

    def quantise(self, src: QFormat, dst: QFormat) -> None:
        return None
