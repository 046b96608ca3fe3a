"""How a net is trained, as plain values: what a description, a command line and a checkpoint can hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.net.losses import LOSSES, Penalty
from model.training.augment import Affine, Elastic
from model.training.optim import OPTIMISERS, SCHEDULES


@dataclass(frozen=True)
class Recipe:
    """How a net is trained.

    Parameters
    ----------
    epochs : int
        Passes over the training images.
    batch : int
        Images a step.
    optimiser : str
        One of `model.training.optim.OPTIMISERS`.
    rate : float, optional
        Peak of the learning rate; by default the optimiser's usual one.
    momentum : float
        Share of the last step that the next one keeps; Adam's beta 1.
    second : float
        Adam's beta 2: the same for the mean of the squared gradients.
    clip : float
        Longest gradient of the mean loss.
    schedule : str
        One of `model.training.optim.SCHEDULES`: how the rate goes on behind its peak.
    warmup : float
        Share of the steps in which the rate rises.
    averaging : float
        Decay of the running average that becomes the trained net; 0 takes the last weights as they are.
    loss : str
        One of `model.net.losses.LOSSES`.
    augment : Affine, optional
    elastic : Elastic, optional
        Freely combined with `augment`.
    penalty : Penalty, optional
        On the weights of all layers together, biases left out; added to the mean loss.
    patience : int, optional
        So many epochs that classify no more validation images right than the best one end the training.

    Raises
    ------
    ValueError
        If a value makes no sense; names it.
    """

    epochs: int
    batch: int = 128
    optimiser: str = "momentum"
    rate: float | None = None
    momentum: float = 0.9
    second: float = 0.999
    clip: float = 1.0
    schedule: str = "cosine"
    warmup: float = 0.05
    averaging: float = 0.999
    loss: str = "cross-entropy"
    augment: Affine | None = None
    elastic: Elastic | None = None
    penalty: Penalty | None = None
    patience: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, not {value}")
        for name in ("rate", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is a number above 0, not {value}")
        for name in ("momentum", "second", "warmup", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share from 0 to below 1, not {getattr(self, name)}")
        for name, known in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")

    @property
    def peak(self) -> float:
        """The highest learning rate."""
        return OPTIMISERS[self.optimiser].rate if self.rate is None else self.rate
