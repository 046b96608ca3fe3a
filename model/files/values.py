"""Answers that are no classes: tensors of integers as files, and in a few words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.arithmetic.qformat import QFormat
from model.files.whole import replacing

ENDS = ("least", "mean", "most")
"""What is shown of many values."""


def save(path, values: np.ndarray) -> None:
    """Write values (N, H, W, C) of int64 as NumPy's .npy; `path` is replaced whole or left alone."""
    with replacing(path, "wb") as file:
        np.save(file, np.asarray(values, np.int64), allow_pickle=False)


def ends(values: Sequence[int], fmt: QFormat) -> list[str]:
    """The `ENDS` of integers of a format, as the numbers that they stand for."""
    found = np.asarray(values)
    return [f"{fmt.real(end):.4g}" for end in (found.min(), found.mean(), found.max())]
