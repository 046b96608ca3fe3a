"""MNIST as other data sets are: on light paper, and as bright areas in place of strokes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from model.files import dataset
from model.files.dataset import Dataset

BOLD = 5
"""Pixels: a digit grows by the largest value of so many, down and across."""
PATCH = 4
"""Pixels: height and width of the cloth's patches."""
DARKEST = 0.3
"""Brightness of a patch, at least; 1 at most."""


def paper() -> Dataset:
    """MNIST, inverted."""
    data = dataset.load()
    images = 255 - data.train_images, 255 - data.test_images
    return replace(data, name="paper", train_images=images[0], test_images=images[1])


def cloth() -> Dataset:
    """A stand-in for Fashion-MNIST, which does not ship: large bright areas with a pattern."""
    data = dataset.load()
    images = (patched(part, seed) for seed, part in enumerate((data.train_images, data.test_images)))
    train, test = images
    return replace(data, name="cloth", train_images=train, test_images=test)


def patched(images: np.ndarray, seed: int) -> np.ndarray:
    """Digits (N, H, W, 1), bold, in patches of a brightness drawn by a seed for each image."""
    rng = np.random.default_rng(seed)
    _, height, width, _ = images.shape
    around = ((0, 0), (BOLD // 2, BOLD // 2), (BOLD // 2, BOLD // 2), (0, 0))
    padded = np.pad(images, around)
    bold = padded[:, :height, :width].copy()
    for down in range(BOLD):
        for right in range(BOLD):
            np.maximum(bold, padded[:, down : down + height, right : right + width], out=bold)
    patches = rng.uniform(DARKEST, 1, (len(images), -(-height // PATCH), -(-width // PATCH), 1))
    bright = patches.repeat(PATCH, 1)[:, :height].repeat(PATCH, 2)[:, :, :width]
    return (bold * bright).astype(np.uint8)


PAPERS: dict[str, Callable[[], Dataset]] = {"mnist": dataset.load, "paper": paper, "cloth": cloth}
"""By the names that ``--data`` takes."""
