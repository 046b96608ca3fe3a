"""Batch normalisation: every channel to mean 0 and variance 1, then a scale and a shift that are trained."""

from __future__ import annotations

import math

import numpy as np

from model.arithmetic.scratch import scratch
from model.net.layer import Layer


class BatchNorm(Layer):
    """``scale * (x - mean) / sqrt(variance + epsilon) + shift``, channel by channel.

    Ioffe and Szegedy, "Batch Normalization" (ICML 2015). In training, mean and variance are those of the
    images that go through the engine together, so that they do not depend on how a batch is spread over
    threads ("ghost batches": Hoffer, Hubara and Soudry, "Train longer, generalize better", NIPS 2017).
    Otherwise they are constants, which `Network.measure` takes from training images; integers know the
    layer no more, since `model.quantisation.fold` puts its constants into the weights before it.

    Parameters
    ----------
    epsilon : float
        Above 0: keeps a channel that is always the same from a division by zero.

    Attributes
    ----------
    params : dict
        ``scale`` and ``shift``, (C,) each.
    mean, variance : ndarray of float, (C,)
        What is used outside training; 0 and 1 at first.
    """

    kind = "batchnorm"
    measures = True

    def __init__(self, epsilon: float = 1e-5):
        if not 0 < epsilon < math.inf:
            raise ValueError(f"the epsilon of a batch normalisation lies above 0, not {epsilon}")
        self.epsilon = float(epsilon)

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        channels = in_shape[2]
        self.params = {"scale": np.ones(channels, dtype), "shift": np.zeros(channels, dtype)}
        self.mean, self.variance = np.zeros(channels, dtype), np.ones(channels, dtype)

    @property
    def line(self) -> tuple[np.ndarray, np.ndarray]:
        """The layer outside training as ``a * x + b``: a and b, (C,) each."""
        a = self.params["scale"] / np.sqrt(self.variance + self.epsilon)
        return a, self.params["shift"] - a * self.mean

    def forward(self, x, cache):
        cache["training"] = training = cache.get("draw") is not None
        mean = means(x) if training else self.mean
        normal = scratch(cache, "normal", x.shape, x.dtype)
        np.subtract(x, along(mean), out=normal)
        variance = means(normal * normal) if training else self.variance
        if cache.get("draw") == ():
            count = x.shape[3]
            cache.setdefault("moments", []).append((count, mean, variance + mean * mean))
        cache["slope"] = slope = 1 / np.sqrt(variance + self.epsilon)
        normal *= along(slope)
        y = scratch(cache, "y", x.shape, x.dtype)
        np.multiply(normal, along(self.params["scale"]), out=y)
        y += along(self.params["shift"])
        return y

    def gradients(self, dy, cache):
        count = dy.shape[0] * dy.shape[2] * dy.shape[3]
        cache["means"] = of_normal, of_one = means(dy * cache["normal"]), means(dy)
        return {"scale": of_normal * count, "shift": of_one * count}

    def backward(self, dy, cache):
        dx = scratch(cache, "dx", dy.shape, dy.dtype)
        if cache["training"]:
            # Mean and variance hang on every value too.
            of_normal, of_one = cache["means"]
            np.multiply(cache["normal"], along(of_normal), out=dx)
            dx += along(of_one)
            np.subtract(dy, dx, out=dx)
        else:
            dx[...] = dy
        dx *= along(cache["slope"] * self.params["scale"])
        return dx

    def settle(self, cache):
        moments = cache.pop("moments")
        counts = np.array([count for count, _, _ in moments], self.dtype)
        mean, square = (
            np.tensordot(counts / counts.sum(), np.stack(column), 1) for column in list(zip(*moments))[1:]
        )
        self.mean, self.variance = mean, np.maximum(square - mean * mean, 0)


def means(x: np.ndarray) -> np.ndarray:
    """Mean of each channel of an engine batch (H, C, W, N): (C,)."""
    height, channels, width, images = x.shape
    ones = np.ones(width * images, x.dtype)
    return (x.reshape(height, channels, -1) @ ones).sum(axis=0) / (height * width * images)


def along(values: np.ndarray) -> np.ndarray:
    """One value a channel, shaped to meet an engine batch."""
    return values[:, None, None]
