"""A change of format that stands alone: ReLU is the saturation into an unsigned format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.qformat import Requant
from model.spec import Spec


@dataclass(frozen=True, eq=False, kw_only=True)
class RequantSpec(Spec):
    """Value by value from `src` to `dst`."""

    kind = "requant"

    def run(self, x: np.ndarray) -> np.ndarray:
        return Requant(self.src, self.dst)(x)
