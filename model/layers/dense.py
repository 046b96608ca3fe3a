"""Dense (fully connected) layer over all values of a frame, flattened in raster order, channels last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.arithmetic.geometry import Shape
from model.arithmetic.scratch import held, scratch
from model.golden.spec import WeightedSpec
from model.net.weighted import Weighted


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseSpec(WeightedSpec):
    """A quantised dense layer; its output is an image of 1 x 1 pixel.

    Parameters
    ----------
    weights : ndarray of int, (H * W * C_in, C_out)
    """

    kind = "dense"

    def check_shapes(self):
        super().check_shapes()
        inputs = int(np.prod(self.in_shape))
        if self.weights.ndim != 2 or len(self.weights) != inputs:
            self.fail(f"weights of shape {self.weights.shape} do not fit {inputs} inputs")

    @property
    def out_shape(self) -> Shape:
        return (1, 1, self.weights.shape[1])

    @property
    def macs(self) -> int:
        return self.weights.size

    @cached_property
    def matrix_rows(self) -> np.ndarray:
        """The weights of `operands` as (C_out, H * C_in * W): inputs in the engine's order."""
        return engine_rows(self.operands[0], self.in_shape)

    def sums(self, x, cache):
        x = held(x, self.dtype, cache).reshape(-1, x.shape[3])
        y = scratch(cache, "y", (len(self.matrix_rows), x.shape[1]), x.dtype)
        np.matmul(self.matrix_rows, x, out=y)
        y += self.operands[1][:, None]
        return y.reshape(1, -1, 1, x.shape[1])


def engine_rows(weights: np.ndarray, in_shape: Shape) -> np.ndarray:
    """Weights (H * W * C_in, C_out), whose inputs stand in raster order, as rows in the engine's order."""
    split = weights.reshape(*in_shape, -1)
    return split.transpose(3, 0, 2, 1).reshape(split.shape[3], -1)


class Dense(Weighted):
    """A dense layer: every output sees every value of the frame.

    Parameters
    ----------
    channels : int
        Outputs.

    Attributes
    ----------
    params : dict
        ``weights`` (H * W * C_in, C_out), inputs in raster order, channels last, and ``bias`` (C_out,).
    """

    kind = "dense"
    spec = DenseSpec

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        self.draw((int(np.prod(in_shape)), self.channels), rng, (self.channels,))

    @property
    def out_shape(self) -> Shape:
        return (1, 1, self.channels)

    @property
    def macs(self) -> int:
        return self.params["weights"].size

    def forward(self, x, cache):
        cache["matrix"] = engine_rows(self.params["weights"], self.in_shape)
        cache["x"] = x = x.reshape(-1, x.shape[3])
        y = scratch(cache, "y", (self.channels, x.shape[1]), x.dtype)
        np.matmul(cache["matrix"], x, out=y)
        y += self.params["bias"][:, None]
        return y.reshape(1, self.channels, 1, -1)

    def windows(self, x):
        return x.transpose(0, 2, 1, 3).reshape(1, -1, x.shape[3])

    def gradients(self, dy, cache):
        height, width, channels = self.in_shape
        dy = dy.reshape(self.channels, -1)
        weights = (cache["x"] @ dy.T).reshape(height, channels, width, self.channels)
        return {"weights": weights.transpose(0, 2, 1, 3).reshape(-1, self.channels), "bias": dy.sum(axis=1)}

    def backward(self, dy, cache):
        height, width, channels = self.in_shape
        dy = dy.reshape(self.channels, -1)
        dx = scratch(cache, "dx", (height * channels * width, dy.shape[1]), dy.dtype)
        np.matmul(cache["matrix"].T, dy, out=dx)
        return dx.reshape(height, channels, width, -1)
