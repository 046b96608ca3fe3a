"""Dropout: values left out at random, in training alone."""

from __future__ import annotations

import numpy as np

from model.arithmetic.scratch import scratch
from model.net.layer import Vanishing


class Dropout(Vanishing):
    """Sets a share of the values to zero while training, and scales up the rest to keep their mean.

    Which ones follows from a seed that the net's generator gave, the training step and the place of the
    images in their batch: not from how the work is spread over threads.

    Parameters
    ----------
    rate : float
        Share that is left out, from 0 to below 1.
    """

    kind = "dropout"

    def __init__(self, rate: float = 0.5):
        if not 0 <= rate < 1:
            raise ValueError(f"a share of 0 to below 1 can be left out, not {rate}")
        self.rate = float(rate)

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        self.seed = int(rng.integers(1 << 63))

    def forward(self, x, cache):
        draw = cache.get("draw")
        if not draw:
            cache["mask"] = None
            return x
        rng = np.random.default_rng((self.seed, *draw))
        mask = scratch(cache, "drawn", x.shape, x.dtype)
        np.greater_equal(rng.random(x.shape, np.float32), self.rate, out=mask, casting="unsafe")
        mask *= 1 / (1 - self.rate)
        cache["mask"] = mask
        return np.multiply(x, mask, out=scratch(cache, "y", x.shape, x.dtype))

    def backward(self, dy, cache):
        return dy if cache["mask"] is None else dy * cache["mask"]
