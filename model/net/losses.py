"""What training makes small: losses of outputs, and the norm of the weights that may be added to each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Loss = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]
"""From outputs (N, classes) and labels (N,): the sum of the images' losses, and its derivative by them."""


def cross_entropy(outputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Minus the logarithm of the label's probability, where softmax makes probabilities of outputs."""
    rows = np.arange(len(labels))
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    loss = float((np.log(sums[:, 0]) - shifted[rows, labels]).sum())
    slope = exponentials / sums
    slope[rows, labels] -= 1
    return loss, slope


def binary_cross_entropy(outputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """``-log(s)`` for the label's s = sigmoid(output), ``-log(1 - s)`` for each other: classes one by one."""
    signs = np.ones_like(outputs)
    signs[np.arange(len(labels)), labels] = -1
    against = outputs * signs
    # log(1 + exp(z)), and its derivative sigmoid(z), for z of any size
    loss = float(np.logaddexp(0, against).sum())
    return loss, signs * (0.5 * np.tanh(0.5 * against) + 0.5)


def rmse(outputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Root of the mean squared distance between an image's outputs and one for its label, zero elsewhere.

    Where the outputs are exactly these the derivative is taken as zero, one of the subgradients.
    """
    difference = outputs.copy()
    difference[np.arange(len(labels)), labels] -= 1
    losses = np.sqrt(np.mean(difference**2, axis=1, keepdims=True))
    slope = np.divide(difference, losses * outputs.shape[1], out=np.zeros_like(outputs), where=losses > 0)
    return float(losses.sum()), slope


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "binary-cross-entropy": binary_cross_entropy,
    "rmse": rmse,
}
"""By the names that recipes use."""

LINKS = {cross_entropy: "softmax", binary_cross_entropy: "sigmoid"}
"""Kind of the layer that a loss does itself: where a net ends in one, the loss takes the values before it,
so that no logarithm meets an exponential that has underflowed."""


@dataclass(frozen=True)
class Penalty:
    """`strength` times the p-norm of the weights, ``(sum |w|**p) ** (1 / p)``.

    This is the norm proper. The lecture's slide raises the sum of the bare ``|w|`` to the power 1 / p and so
    forgets the power of the terms; that would be no norm, and for p = 1 alone the same.

    Parameters
    ----------
    strength : float
        The lecture's lambda, from 0.
    p : float
        From 1; 1 favours weights of zero, 2 small ones.
    """

    strength: float
    p: float = 2.0

    def __post_init__(self):
        if not 0 <= self.strength < math.inf:
            raise ValueError(f"the strength of a penalty is a number from 0, not {self.strength}")
        if not 1 <= self.p < math.inf:
            raise ValueError(f"a p-norm needs a finite p from 1, not {self.p}")

    def __call__(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The penalty of weights (n,), and its derivative by them.

        Where it has none (at a weight of zero for p = 1, at weights all zero for any p), zero stands, one
        of the subgradients.
        """
        size = np.abs(weights)
        largest = float(size.max(initial=0))
        if not largest:
            return 0.0, np.zeros_like(weights)
        share = size / largest  # powers of numbers up to one overflow for no p
        total = float((share**self.p).sum())
        slope = share ** (self.p - 1) * total ** (1 / self.p - 1)
        return (
            self.strength * largest * total ** (1 / self.p),
            (self.strength * np.sign(weights) * slope).astype(weights.dtype),
        )
