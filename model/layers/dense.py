"""Dense (fully connected) layer over all values of a frame, flattened in raster order, channels last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.geometry import Shape
from model.layer import scratch
from model.spec import WeightedSpec
from model.weighted import Weighted


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

    def run(self, x: np.ndarray) -> np.ndarray:
        sums = self.products(x.reshape(1, len(x), -1)) + self.scaled_bias
        return self.requant(self.accumulator)(sums).reshape(len(x), *self.out_shape)


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
        height, width, channels = self.in_shape
        weights = self.params["weights"].reshape(height, width, channels, -1)
        # In the engine's order of inputs, (H, C, W).
        cache["matrix"] = weights.transpose(3, 0, 2, 1).reshape(self.channels, -1)
        cache["x"] = x = x.reshape(-1, x.shape[3])
        y = scratch(cache, "y", (self.channels, x.shape[1]), x.dtype)
        np.matmul(cache["matrix"], x, out=y)
        y += self.params["bias"][:, None]
        return y.reshape(1, self.channels, 1, -1)

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
