"""What training makes small. A loss takes outputs (N, classes) and labels (N,), and gives the sum of the
images' losses and its derivative by the outputs."""

from __future__ import annotations

import numpy as np


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


def rmse(outputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Root of the mean squared distance between an image's outputs and one for its label, zero elsewhere."""
    difference = outputs.copy()
    difference[np.arange(len(labels)), labels] -= 1
    losses = np.sqrt(np.mean(difference**2, axis=1, keepdims=True))
    slope = np.divide(difference, losses * outputs.shape[1], out=np.zeros_like(outputs), where=losses > 0)
    return float(losses.sum()), slope


LOSSES = {"cross-entropy": cross_entropy, "rmse": rmse}
"""By the names that recipes use."""
