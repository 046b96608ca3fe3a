"""Test sets as arrays of integers: an ``.npz`` with ``features`` and, where they are known, ``labels``."""

from __future__ import annotations

import numpy as np

from model.files import archive
from model.files.part import MAX_BYTES, Part

MOST_CLASSES = 1 << 16
"""More labels than any net has outputs are a mistake, and would make large tables."""


def load(path) -> Part:
    """Features (N, H, W, C) of any integer type and labels (N,), if there are any.

    The file may hold them as (N, C), images of one pixel; as (N, H, W), images of one channel; or whole.

    Raises
    ------
    ValueError
        If the file holds no such arrays; names it.
    OSError
        If it cannot be opened.
    """
    with archive.opened(path, MAX_BYTES, "cannot read test set", "test set") as arrays:
        if "features" not in arrays:
            raise ValueError(f"it has no array 'features', only {', '.join(sorted(arrays)) or 'none'}")
        features = integers(arrays, "features", (2, 3, 4))
        labels = integers(arrays, "labels", (1,)) if "labels" in arrays else None
        if not features.size:
            raise ValueError("its features are empty")
        if labels is not None and len(features) != len(labels):
            raise ValueError(f"it holds {len(features)} features, but {len(labels)} labels")
        if labels is not None and not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
            raise ValueError(f"its labels are from {labels.min()} to {labels.max()}, not from 0 to"
                             f" {MOST_CLASSES - 1}")  # fmt: skip
    count = len(features)
    if features.ndim == 2:
        features = features.reshape(count, 1, 1, -1)
    features = features.reshape(*features.shape[:3], -1)
    return Part(features, None if labels is None else labels.astype(np.int64))


def integers(arrays, name: str, dimensions: tuple[int, ...]) -> np.ndarray:
    """An array of the file."""
    array = arrays[name]
    if array.dtype.kind not in "iu":
        raise ValueError(f"its {name} are {array.dtype}, not integers")
    if array.ndim not in dimensions:
        found = f"{dimensions[0]} to {dimensions[-1]}" if len(dimensions) > 1 else str(dimensions[0])
        raise ValueError(f"its {name} have {array.ndim} dimensions, not {found}")
    return array
