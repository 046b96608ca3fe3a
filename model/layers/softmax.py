"""Softmax, at the end of a net."""

from __future__ import annotations

import numpy as np

from model.arithmetic.scratch import scratch
from model.net.layer import Vanishing


class Softmax(Vanishing):
    """exp(x) over the sum of exp(x) of all the frame's values: probabilities.

    It is there for training alone. It changes no order of values, so integers and hardware leave it out
    and give the values before it, the logits.
    """

    kind = "softmax"
    final = True

    def forward(self, x, cache):
        y = scratch(cache, "y", x.shape, x.dtype)
        np.subtract(x, x.max(axis=(0, 1, 2)), out=y)
        np.exp(y, out=y)
        y /= y.sum(axis=(0, 1, 2))
        return y

    def backward(self, dy, cache):
        y = cache["y"]
        return y * (dy - (dy * y).sum(axis=(0, 1, 2)))
