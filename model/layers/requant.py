"""A change of format that stands alone: ReLU is the saturation into an unsigned format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.layer import Activation, scratch
from model.qformat import QFormat
from model.scale import best_format
from model.spec import Spec


@dataclass(frozen=True, eq=False, kw_only=True)
class RequantSpec(Spec):
    """Value by value from `src` to `dst`."""

    kind = "requant"

    def __post_init__(self):
        super().__post_init__()
        self.requant(self.src)

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.requant(self.src)(x)


class ReLU(Activation):
    """max(x, 0). In integers it costs nothing: the layer before saturates into an unsigned format."""

    kind = "relu"

    def forward(self, x, cache):
        y = scratch(cache, "y", x.shape, x.dtype)
        return np.maximum(x, 0, out=y)

    def backward(self, dy, cache):
        return dy * (cache["y"] > 0)

    def source_format(self, x, y, width):
        return best_format(y, width, signed=False)

    def target_format(self, src, y, width):
        return src

    def quantise(self, src: QFormat, dst: QFormat) -> None:
        return None
