"""Images with labels from IDX files: MNIST, which ships with the project, or a folder of the user's."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.files import features, idxnames

MNIST = Path(__file__).parents[1] / "data" / "mnist"
SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}
UBYTE = 0x08
"""IDX code of unsigned bytes."""
MAX_BYTES = 1 << 31
"""Larger arrays are refused before they are unpacked."""
MAX_GZIP_RATIO = 1040
"""Deflate never shrinks data by more (its limit is 1032)."""


@dataclass(frozen=True)
class Dataset:
    """Images to learn from, and others to be judged by.

    Attributes
    ----------
    name : str
    train_images, test_images : ndarray of uint8, (N, H, W, C)
    train_labels, test_labels : ndarray of int64, (N,)
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.train_images.shape[1:]

    @property
    def classes(self) -> int:
        """Number of classes: one more than the largest label learnt from."""
        return int(self.train_labels.max()) + 1


def load(folder=None) -> Dataset:
    """A data set from a folder of IDX files; MNIST by default.

    Parameters
    ----------
    folder : str or Path, optional
        Holds MNIST's four files, plain or with ``.gz``, by names that `idxnames` knows; images of any size,
        H x W or H x W x C.

    Raises
    ------
    ValueError
        If a file is missing, damaged, or does not fit the others; names the file.
    """
    train_images, train_labels = load_part("train", folder)
    test_images, test_labels = load_part("t10k", folder)
    data = Dataset(
        "MNIST" if folder is None else Path(folder).resolve().name,
        train_images, train_labels, test_images, test_labels,
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


def load_part(part: str, folder=None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, C) and labels (N,) of one part.

    Parameters
    ----------
    part : {"train", "t10k"}
        Training or test, by MNIST's names.
    folder : str or Path, optional
        MNIST by default, its files compared with their SHA-256. For a test set also an ``.npz``, see
        `model.files.features`.
    """
    if folder is not None and Path(folder).suffix.lower() == ".npz":
        if part != "t10k":
            raise ValueError(f"{folder} holds a test set alone: to learn from, name a folder of IDX files")
        return features.load(folder)
    images_path, images = read_member(folder, part, "images", (3, 4))
    labels_path, labels = read_member(folder, part, "labels", (1,))
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels")
    if not images.size:
        raise ValueError(f"{images_path} holds no pixels")
    return images.reshape(*images.shape[:3], -1), labels.astype(np.int64)


def read_member(folder, part: str, what: str, dimensions: tuple[int, ...]) -> tuple[Path, np.ndarray]:
    """One of a data set's four files, and where it was found."""
    folder_path = MNIST if folder is None else Path(folder)
    if not folder_path.is_dir():
        raise ValueError(f"{folder_path} is no folder of IDX files")
    path = idxnames.find(folder_path, part, what, dimensions)
    if folder is None and hashlib.sha256(path.read_bytes()).hexdigest() != SHA256.get(path.name):
        raise ValueError(f"{path} is not the file that ships with the project (its SHA-256 differs)")
    array = read_idx(path)
    if array.ndim not in dimensions:
        raise ValueError(
            f"{path} has {array.ndim} dimensions; {what} have {' or '.join(map(str, dimensions))}"
        )
    return path, array


def read_idx(path) -> np.ndarray:
    """The array of an IDX file of unsigned bytes, plain or gzipped (by content, not by name).

    Raises
    ------
    ValueError
        If the file is no such thing, too short or too long; names the file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                return parse_idx(raw, size)
            with gzip.GzipFile(fileobj=raw) as file:
                return parse_idx(file, size * MAX_GZIP_RATIO)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ValueError(f"{path}: its gzip data are damaged or cut short") from None


def parse_idx(file, limit: int) -> np.ndarray:
    """The array of an open IDX file that holds `limit` bytes at most."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UBYTE or not 1 <= magic[3] <= 4:
        raise ValueError(f"no IDX file of unsigned bytes (it starts with {magic.hex(' ') or 'nothing'})")
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError("cut short within its header")
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(0, len(header), 4))
    count = 1
    for size in shape:
        count *= size
    if MAX_BYTES < count <= limit:
        raise ValueError(f"too large: its header promises {by(shape)} bytes, and {MAX_BYTES:,} are taken")
    # Before a wrong header makes us ask for gigabytes.
    data = file.read(count + 1) if count <= limit else b""
    if len(data) < count:
        raise ValueError(f"cut short: its header promises {by(shape)} bytes")
    if len(data) > count:
        raise ValueError(f"too long: its header promises {by(shape)} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape)


def by(shape: tuple[int, ...]) -> str:
    """Sizes as people write them."""
    return " x ".join(map(str, shape))
