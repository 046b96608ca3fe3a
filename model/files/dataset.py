"""Images with labels: MNIST, which ships with the project, or the user's in any form that has a reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.arithmetic.geometry import Shape
from model.files import cifar, classfolders, features, idx
from model.files.listing import lying
from model.files.part import Missing, Part, by, silent

__all__ = ["Dataset", "Part", "by", "load", "load_part"]

MNIST = Path(__file__).parents[1] / "data" / "mnist"
SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}
READERS = (idx, cifar)
"""Of folders, by the names of the files in them. Where none of them finds any, pictures are looked for."""
FORMS = "IDX files, CIFAR's binary files or folders of pictures by class"
TAKEN = f"{FORMS}, or an .npz of features"
"""What a test set may be."""
BINARY = "the binary version, whose files end in .bin"


@dataclass(frozen=True)
class Dataset:
    """Images to learn from, and others to be judged by.

    Attributes
    ----------
    name : str
    train_images, test_images : ndarray of uint8, (N, H, W, C)
    train_labels, test_labels : ndarray of int64, (N,)
    names : tuple of str
        Of the classes.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    names: tuple[str, ...]

    @property
    def in_shape(self) -> Shape:
        """Height, width and channels of an image."""
        return self.train_images.shape[1:]

    @property
    def classes(self) -> int:
        """Number of classes: as many as have names, or one more than the largest label learnt from."""
        return len(self.names)


def load(folder=None, tell: Callable[[int, int], None] = silent) -> Dataset:
    """A data set to train with; MNIST by default.

    Parameters
    ----------
    folder : str or Path, optional
        IDX files (MNIST's four, plain or with ``.gz``, by names that `idxnames` knows), CIFAR's binary files,
        or folders of pictures by class; images of any size, H x W or H x W x C.
    tell : callable
        Is given how many pictures have been read, and of how many.

    Raises
    ------
    ValueError
        If a file is missing, damaged, or does not fit the others; names the file.
    """
    train, test = (load_part(part, folder, tell) for part in ("train", "t10k"))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"{folder}: training images have {by(train.images.shape[1:])} pixels,"
            f" test images {by(test.images.shape[1:])}"
        )
    names = names_of(train)
    if len(names) < 2:
        only = "of one class" if train.names else "with the label 0"
        raise ValueError(f"{folder}: all training images are {only}; at least two classes are needed")
    if test.labels.max() >= len(names):
        raise ValueError(f"{folder}: the test label {test.labels.max()} does not occur in training")
    name = "MNIST" if folder is None else Path(folder).resolve().name
    return Dataset(name, train.images, train.labels, test.images, test.labels, names)


def described(folder, tell: Callable[[int, int], None] = silent) -> tuple[Shape, int]:
    """Shape of the images and number of classes of a data set, of which a test set is enough."""
    try:
        data = load(folder, tell)
    except Missing:
        part = load_part("t10k", folder, tell)
        part.labelled(None, folder)
        return part.images.shape[1:], len(names_of(part))
    return data.in_shape, data.classes


def names_of(part: Part) -> tuple[str, ...]:
    """What the classes are called: their numbers where nobody says."""
    return part.names or tuple(map(str, range(int(part.labels.max()) + 1)))


def load_part(
    part: str, folder=None, tell: Callable[[int, int], None] = silent, most: int | None = None
) -> Part:
    """Images (N, H, W, C), labels (N,) and classes of one part.

    Parameters
    ----------
    part : {"train", "t10k"}
        Training or test, by MNIST's names.
    folder : str or Path, optional
        MNIST by default, its files compared with their SHA-256. For a test set also an ``.npz``, see
        `model.files.features`.
    tell : callable
        Is given how many pictures have been read, and of how many.
    most : int, optional
        So many images are enough; where it takes nothing to read more, there may be more.
    """
    if folder is None:
        return idx.load(MNIST, part, sums=SHA256)
    folder = Path(folder)
    if folder.suffix.lower() == ".npz" and not folder.is_dir():
        if part != "t10k":
            raise Missing(f"{folder} holds a test set alone: to learn from, name a folder of {FORMS}")
        return features.load(folder)
    return reader_of(folder).load(folder, part, tell, most)


def reader_of(folder: Path):
    """The reader of what a folder holds.

    Raises
    ------
    ValueError
        If there is none, or there are several; says what lies there.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder of {FORMS}, nor an .npz of features and labels")
    found = [reader for reader in READERS if reader.holds(folder)]
    if len(found) > 1:
        kinds = " and ".join(reader.KIND for reader in found)
        raise ValueError(f"{folder} holds several sets, {kinds}; put the one into a folder of its own")
    if found:
        return found[0]
    if classfolders.holds(folder):
        return classfolders
    if pickle := cifar.pickled(folder):
        raise ValueError(f"{pickle} is a Python pickle, which could run any program when read; take {BINARY}")
    raise ValueError(f"{folder} holds no {FORMS}; {lying(folder)}")
