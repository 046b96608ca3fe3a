"""Convolution (the cross-correlation that nets call so): r_h x r_w kernels over all input channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.geometry import Geometry, Shape
from model.qformat import Requant
from model.spec import WeightedSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvSpec(WeightedSpec):
    """A quantised convolution; padding is zeros.

    Parameters
    ----------
    weights : ndarray of int, (r_h, r_w, C_in, C_out)
    stride : (int, int)
    padding : ((int, int), (int, int))
        (top, bottom), (left, right).
    """

    kind = "conv"
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def __post_init__(self):
        super().__post_init__()
        if self.weights.ndim != 4 or self.weights.shape[2] != self.in_shape[2]:
            self.fail(f"weights of shape {self.weights.shape} do not fit {self.in_shape[2]} input channels")
        try:
            self.geometry.positions(self.in_shape)
        except ValueError as error:
            self.fail(str(error))

    @property
    def geometry(self) -> Geometry:
        """Where the kernel stands."""
        return Geometry(self.weights.shape[:2], self.stride, self.padding)

    @property
    def out_shape(self) -> Shape:
        return (*self.geometry.positions(self.in_shape), self.weights.shape[3])

    @property
    def macs(self) -> int:
        return int(np.prod(self.out_shape[:2])) * self.weights.size

    def run(self, x: np.ndarray) -> np.ndarray:
        windows = self.geometry.windows(x, 0)
        sums = self.products(windows.reshape(-1, self.matrix.shape[0]))
        return Requant(self.accumulator, self.dst)(sums).reshape(len(x), *self.out_shape)
