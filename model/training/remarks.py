"""What a user should know of a run that goes on all the same: data that look wrong, a training that learnt
nothing."""

from __future__ import annotations

import math

import numpy as np

from model.files.dataset import Dataset, by

SHOWN = 5
"""Classes that a remark names."""
DEVIATIONS = 2
"""Standard deviations above a guess's accuracy, up to which an accuracy is no better."""
COLOURS = (1, 3)
"""Usual numbers of channels."""


def of_data(data: Dataset) -> list[str]:
    """What looks wrong about a data set."""
    remarks = []
    counts = np.bincount(data.train_labels, minlength=data.classes)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        names = ", ".join(data.names[label] for label in empty[:SHOWN]) + ", ..." * (len(empty) > SHOWN)
        start = "labels begin at 0; " if counts[0] == 0 and data.names[0] == "0" else ""
        remarks.append(
            f"{data.name}: {len(empty)} of {data.classes} classes have no training image ({start}{names}),"
            " yet each has an output"
        )
    height, width, channels = data.in_shape
    if height in COLOURS and channels not in COLOURS:
        remarks.append(
            f"{data.name}: images of {height} x {width} pixels with {channels} channels; a file has the"
            f" channels last, such as {by((width, channels, height))}"
        )
    return remarks


def of_training(accuracy: float, labels: np.ndarray, name: str, what: str, way_out: str) -> list[str]:
    """That a net is no better than always the same answer, if so.

    Parameters
    ----------
    accuracy : float
        Share of right answers for images of these labels.
    labels : ndarray of int
    name : str
        Of the net.
    what : str
        Which form of it answered which images.
    way_out : str
        What may help.
    """
    guess = np.bincount(labels).max() / len(labels)
    if accuracy > guess + DEVIATIONS * math.sqrt(guess * (1 - guess) / len(labels)):
        return []
    return [
        f"net {name!r} has learnt nothing: {accuracy:.2%} of the {what} right, and always the same answer is"
        f" for {guess:.2%}; {way_out}"
    ]
