"""Test sets as arrays: an ``.npz`` with ``features`` and ``labels``, of signed or unsigned integers."""

from __future__ import annotations

import numpy as np

from model.files import archive

MAX_BYTES = 1 << 31
"""A file that unpacks to more is refused before it is unpacked."""


def load(path) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, H, W, C) of any integer type and labels (N,), int64.

    The file may hold them as (N, C), images of one pixel; as (N, H, W), images of one channel; or whole.

    Raises
    ------
    ValueError
        If the file holds no such arrays; names it.
    OSError
        If it cannot be opened.
    """
    with archive.opened(path, MAX_BYTES, "cannot read test set", "test set") as arrays:
        if missing := {"features", "labels"} - set(arrays):
            raise ValueError(f"it has no array {min(missing)!r}, only {', '.join(sorted(arrays)) or 'none'}")
        features, labels = arrays["features"], arrays["labels"]
        for name, array, dimensions in (("features", features, (2, 3, 4)), ("labels", labels, (1,))):
            if array.dtype.kind not in "iu":
                raise ValueError(f"its {name} are {array.dtype}, not integers")
            if array.ndim not in dimensions:
                raise ValueError(f"its {name} have {array.ndim} dimensions, not {dimensions[0]} to"
                                 f" {dimensions[-1]}")  # fmt: skip
        if len(features) != len(labels) or not features.size:
            raise ValueError(f"it holds {len(features)} features, but {len(labels)} labels")
        if labels.min() < 0:
            raise ValueError(f"its smallest label is {labels.min()}")
    count = len(features)
    if features.ndim == 2:
        features = features.reshape(count, 1, 1, -1)
    return features.reshape(*features.shape[:3], -1), labels.astype(np.int64)
