"""Images with labels, to learn from and to be judged by, from whatever the user has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.arithmetic.geometry import by
from model.files import cifar, classes, features, idx

Told = Callable[[int, int], None]
"""What is told how many of how many pictures were read."""


@dataclass(frozen=True)
class Dataset:
    """Images to learn from, and others to be judged by.

    Attributes
    ----------
    name : str
    train_images, test_images : ndarray of uint8, (N, H, W, C)
    train_labels, test_labels : ndarray of int64, (N,)
    names : tuple of str
        Of the classes; empty where nothing says them.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    names: tuple[str, ...] = ()

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.train_images.shape[1:]

    @property
    def classes(self) -> int:
        """Number of classes: those with names, or one more than the largest label learnt from."""
        return max(len(self.names), int(self.train_labels.max()) + 1)


def load(folder=None, told: Told = lambda done, count: None) -> Dataset:
    """A data set; MNIST by default.

    Parameters
    ----------
    folder : str or Path, optional
        As of `load_part`, with images to learn from.
    told : callable
        Called with how many of how many pictures were read, where each is a file.

    Raises
    ------
    ValueError
        If a file is missing, damaged, or does not fit the others; names the file.
    """
    train_images, train_labels = load_part("train", folder, told)
    test_images, test_labels = load_part("t10k", folder, told)
    data = Dataset(
        "MNIST" if folder is None else Path(folder).resolve().name,
        train_images, train_labels, test_images, test_labels, names_of(folder),
    )  # fmt: skip
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"{folder}: training images have {by(train_images.shape[1:])} pixels,"
            f" test images {by(test_images.shape[1:])}"
        )
    if data.classes < 2:
        raise ValueError(f"{folder}: all training images have the label 0; at least two classes are needed")
    if test_labels.max() >= data.classes:
        raise ValueError(f"{folder}: the test label {test_labels.max()} does not occur in training")
    return data


def load_part(
    part: str, folder=None, told: Told = lambda done, count: None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images (N, H, W, C) and labels (N,) of one part.

    Parameters
    ----------
    part : {"train", "t10k"}
        Training or test, by MNIST's names.
    folder : str or Path, optional
        A folder of IDX files (`model.files.idx`), of pictures by class (`model.files.classes`) or of CIFAR's
        binary files (`model.files.cifar`); for a test set also an ``.npz`` (`model.files.features`), whose
        labels may be missing: then they are None. MNIST by default.
    told : callable
        As of `load`.
    """
    if folder is not None:
        if not are_pictures(folder):
            if part != "t10k":
                raise ValueError(f"{folder} holds a test set alone: to learn from, name a folder of images")
            return features.load(folder)
        if not Path(folder).is_dir():
            raise ValueError(f"{folder} is no folder of images, nor an .npz of features")
        if (binary := cifar.find(Path(folder))) is not None:
            return binary.load(part)
        if classes.there(Path(folder)):
            return classes.load(part, Path(folder), told)
    return idx.load(part, folder)


def are_pictures(folder) -> bool:
    """Whether a data set's images are grey levels or colours from 0 to 255, and no features."""
    return folder is None or Path(folder).suffix.lower() != ".npz"


def names_of(folder) -> tuple[str, ...]:
    """The classes' names, if the data set says them."""
    if folder is None:
        return ()
    binary = cifar.find(Path(folder))
    return binary.names if binary is not None else classes.names(Path(folder))
