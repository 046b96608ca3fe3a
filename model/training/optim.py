"""How parameters follow gradients: momentum or Adam, the rate's schedule, and the average of the weights.

Optimisers and the average keep all that they remember in `arrays` and `count`, so that a checkpoint can
hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np

TINY = 1e-30
"""In place of a length of zero."""
EPSILON = 1e-8
"""Adam's, in place of a root of zero."""


class Optimiser:
    """Changes parameters step by step.

    Parameters
    ----------
    vector : ndarray
        The parameters, changed in place.
    momentum : float
        Share of the last step that the next one keeps.
    second : float
        Share of the mean of the squared gradients likewise, where the optimiser has one.

    Attributes
    ----------
    arrays : dict of str to ndarray
        What it remembers, each like `vector`; changed in place.
    count : int
        Steps done.
    """

    rate: ClassVar[float]
    """The usual peak of the learning rate."""
    memory: ClassVar[tuple[str, ...]]

    def __init__(self, vector: np.ndarray, momentum: float, second: float = 0.0):
        self.vector, self.momentum, self.second = vector, momentum, second
        self.arrays = {name: np.zeros_like(vector) for name in self.memory}
        self.count = 0

    def step(self, gradient: np.ndarray, rate: float) -> None:
        """Go down the gradient of the mean loss."""
        raise NotImplementedError


class Momentum(Optimiser):
    """Stochastic gradient descent with momentum."""

    rate = 0.06
    memory = ("velocity",)

    def step(self, gradient, rate):
        velocity = self.arrays["velocity"]
        velocity *= self.momentum
        velocity -= rate * gradient
        self.vector += velocity
        self.count += 1


class Adam(Optimiser):
    """Adam (Kingma and Ba, 2015): steps by the mean of the gradients over the root of that of their squares.

    Both means begin at zero; the paper's correction of that bias is divided out.
    """

    rate = 0.003
    memory = ("mean", "square")

    def step(self, gradient, rate):
        self.count += 1
        mean, square = self.arrays["mean"], self.arrays["square"]
        mean += (1 - self.momentum) * (gradient - mean)
        square += (1 - self.second) * (gradient * gradient - square)
        root = np.sqrt(square / (1 - self.second**self.count))
        root += EPSILON
        self.vector -= rate / (1 - self.momentum**self.count) * mean / root


OPTIMISERS: dict[str, type[Optimiser]] = {"momentum": Momentum, "adam": Adam}
"""By the names that recipes use."""


def clipped(gradient: np.ndarray, longest: float) -> np.ndarray:
    """The gradient; a longer one keeps its direction only. High rates stay safe on bright images."""
    norm = math.sqrt(gradient @ gradient)
    return gradient * min(1.0, longest / max(norm, TINY))


class Average:
    """Running average of the parameters, started like a plain mean.

    Parameters
    ----------
    vector : ndarray
    decay : float
        Share of the old average in the new one, in the long run; 0 follows the parameters exactly.
    """

    def __init__(self, vector: np.ndarray, decay: float):
        self.decay, self.count = decay, 0
        self.mean = vector.copy()

    def update(self, vector: np.ndarray) -> None:
        """Take in the parameters of one more step."""
        self.count += 1
        if not self.decay:
            self.mean[...] = vector
            return
        decay = min(self.decay, self.count / (self.count + 10))
        self.mean += (1 - decay) * (vector - self.mean)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 + 0.5 * math.cos(math.pi * done),
    "linear": lambda done: 1 - done,
    "step": lambda done: 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01,
    "constant": lambda done: 1.0,
}
"""The rate's share of its peak, by the share of the steps behind it that are done, from 0 to below 1."""


def rate_share(schedule: str, step: int, steps: int, warmup: float) -> float:
    """The rate's share of its peak at a step: a straight rise, then as the schedule says.

    Parameters
    ----------
    schedule : str
        One of `SCHEDULES`.
    step, steps : int
        From 0 to `steps` - 1.
    warmup : float
        Share of all steps that the rise takes.
    """
    done = (step + 0.5) / steps
    if done < warmup:
        return done / warmup
    return SCHEDULES[schedule]((done - warmup) / (1 - warmup))
