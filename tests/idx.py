"""Writes IDX data sets for tests."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def encode(array: np.ndarray, code: int = 8) -> bytes:
    """The bytes of an IDX file of unsigned bytes."""
    header = bytes([0, 0, code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_dataset(
    folder: Path, shape=(8, 8), classes: int = 3, count: int = 60, zipped: bool = False, seed: int = 0
) -> Path:
    """A small set whose classes differ in where a bright bar stands; `shape` is (H, W) or (H, W, C)."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for part, images in (("train", count), ("t10k", count // 2)):
        labels = np.arange(images) % classes
        pixels = rng.integers(0, 80, (images, *shape))
        for image, label in zip(pixels, labels):
            start = label * shape[1] // classes
            image[:, start : start + 3] = 220
        for what, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            data, name = encode(array), f"{part}-{what}-ubyte"
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return folder
