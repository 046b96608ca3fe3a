"""Dense (fully connected) layer over all values of a frame, flattened in raster order, channels last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.geometry import Shape
from model.qformat import Requant
from model.spec import WeightedSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseSpec(WeightedSpec):
    """A quantised dense layer; its output is an image of 1 x 1 pixel.

    Parameters
    ----------
    weights : ndarray of int, (H * W * C_in, C_out)
    """

    kind = "dense"

    def __post_init__(self):
        super().__post_init__()
        inputs = int(np.prod(self.in_shape))
        if self.weights.ndim != 2 or len(self.weights) != inputs:
            self.fail(f"weights of shape {self.weights.shape} do not fit {inputs} inputs")

    @property
    def out_shape(self) -> Shape:
        return (1, 1, self.weights.shape[1])

    @property
    def macs(self) -> int:
        return self.weights.size

    def run(self, x: np.ndarray) -> np.ndarray:
        sums = self.products(x.reshape(len(x), -1))
        return Requant(self.accumulator, self.dst)(sums).reshape(len(x), *self.out_shape)
