"""What a training went through, epoch by epoch, and its table as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.files.whole import replacing

COLUMNS = ("epoch", "loss", "accuracy", "validation", "rate", "images/s", "seconds")


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave.

    Attributes
    ----------
    loss, accuracy : float
        Means over the (moved) training images, as the net was when it met them; the loss with its penalty.
    validation : float
        Share of the validation images that the averaged net classifies right.
    rate : float
        The learning rate of the last step.
    images : int
        That were learnt from.
    seconds : float
        For the training alone.
    """

    loss: float
    accuracy: float
    validation: float
    rate: float
    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """How quick it was."""
        return self.images / max(self.seconds, 1e-9)


def write_csv(path: Path, history: Sequence[Epoch]) -> None:
    """A line for each epoch under the names of `COLUMNS`; epochs count from 1, shares from 0 to 1."""
    with replacing(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for index, epoch in enumerate(history, 1):
            shares = (f"{value:.6g}" for value in (epoch.loss, epoch.accuracy, epoch.validation, epoch.rate))
            writer.writerow([index, *shares, f"{epoch.images_per_second:.0f}", f"{epoch.seconds:.3f}"])
