"""How parameters follow gradients: momentum, the rate's schedule, and the average of the weights."""

from __future__ import annotations

import math

import numpy as np

TINY = 1e-30
"""In place of a length of zero."""


class Momentum:
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    vector : ndarray
        The parameters, changed in place.
    momentum : float
        Share of the last step that the next one keeps.
    clip : float
        Longest gradient; a longer one keeps its direction only. High rates stay safe on bright images.
    """

    def __init__(self, vector: np.ndarray, momentum: float, clip: float = math.inf):
        self.vector, self.momentum, self.clip = vector, momentum, clip
        self.velocity = np.zeros_like(vector)

    def step(self, gradient: np.ndarray, rate: float) -> None:
        """Go down the gradient of the mean loss."""
        norm = math.sqrt(gradient @ gradient)
        self.velocity *= self.momentum
        self.velocity -= rate * min(1.0, self.clip / max(norm, TINY)) * gradient
        self.vector += self.velocity


class Average:
    """Running average of the parameters, started like a plain mean.

    Parameters
    ----------
    vector : ndarray
    decay : float
        Share of the old average in the new one, in the long run.
    """

    def __init__(self, vector: np.ndarray, decay: float):
        self.decay, self.count = decay, 0
        self.mean = vector.copy()

    def update(self, vector: np.ndarray) -> None:
        """Take in the parameters of one more step."""
        self.count += 1
        decay = min(self.decay, self.count / (self.count + 10))
        self.mean += (1 - decay) * (vector - self.mean)


def cosine(step: int, steps: int, warmup: float = 0.05) -> float:
    """The rate's share of its peak at a step: a straight rise, then half a cosine down to zero.

    Parameters
    ----------
    step, steps : int
        From 0 to `steps` - 1.
    warmup : float
        Share of all steps that the rise takes.
    """
    done = (step + 0.5) / steps
    if done < warmup:
        return done / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - warmup) / (1 - warmup))
