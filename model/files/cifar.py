"""CIFAR-10's and CIFAR-100's binary files: a label or two, then 32 x 32 pixels, colour by colour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIDE, COLOURS = 32, 3
PIXELS = SIDE * SIDE * COLOURS
MAX_BYTES = 1 << 31
"""Larger files are refused before they are read."""
INNER = ("cifar-10-batches-bin", "cifar-100-binary")
"""Folders in which the archives put them."""
PICKLES = re.compile(r"data_batch_\d|test_batch|batches\.meta|meta|train|test")
"""Names in the archives for Python, which hold pickles."""
INNER_PICKLES = ("cifar-10-batches-py", "cifar-100-python")


@dataclass(frozen=True)
class Binary:
    """A folder of them.

    Parameters
    ----------
    folder : Path
    files : dict of tuple of Path
        By part: "train" and "t10k", as far as they are there.
    labels : int
        Bytes before the pixels, the last of which is the class: 1 in CIFAR-10; 2 in CIFAR-100, the coarse
        and the fine label.
    classes : int
    text : str
        The file with the classes' names.
    """

    folder: Path
    files: dict[str, tuple[Path, ...]]
    labels: int
    classes: int
    text: str

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names; none if their file is missing or does not have as many."""
        path = self.folder / self.text
        lines = path.read_text(encoding="utf-8", errors="replace").split() if path.is_file() else []
        return tuple(lines) if len(lines) == self.classes else ()

    def load(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 32, 32, 3), uint8, and labels (N,), int64, of one part.

        Raises
        ------
        ValueError
            If its files are missing or damaged; names the file.
        """
        if not self.files[part]:
            raise ValueError(f"{self.folder} holds no {'training' if part == 'train' else 'test'} images")
        found = [self.records(path) for path in self.files[part]]
        records = np.concatenate(found)
        planes = records[:, self.labels :].reshape(-1, COLOURS, SIDE, SIDE)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, self.labels - 1].astype(
            np.int64
        )

    def records(self, path: Path) -> np.ndarray:
        """What a file holds, an image a row."""
        size, each = path.stat().st_size, self.labels + PIXELS
        if size > MAX_BYTES:
            raise ValueError(f"{path} has {size:,} bytes; {MAX_BYTES:,} are taken")
        if not size or size % each:
            raise ValueError(f"{path} has {size:,} bytes, which are no images of {each:,} bytes each")
        records = np.fromfile(path, np.uint8).reshape(-1, each)
        labels = records[:, self.labels - 1]
        if labels.max() >= self.classes:
            raise ValueError(
                f"{path}: image {labels.argmax()} has the label {labels.max()} of {self.classes}"
            )
        return records


def find(folder: Path) -> Binary | None:
    """CIFAR's binary files in a folder, or in one of the archives' folders within it; None if there are none.

    Raises
    ------
    ValueError
        If those for Python lie there: they are pickles, which may run any code.
    """
    for place in (folder, *(folder / name for name in INNER)):
        if not place.is_dir():
            continue
        ten = tuple(sorted(place.glob("data_batch_[0-9].bin"))), tuple(place.glob("test_batch.bin"))
        if any(ten):
            return Binary(place, dict(zip(("train", "t10k"), ten)), 1, 10, "batches.meta.txt")
        hundred = tuple(place.glob("train.bin")), tuple(place.glob("test.bin"))
        if any(hundred):
            return Binary(place, dict(zip(("train", "t10k"), hundred)), 2, 100, "fine_label_names.txt")
    for place in (folder, *(folder / name for name in INNER_PICKLES)):
        if place.is_dir() and (found := pickles(place)):
            raise ValueError(
                f"{found} is CIFAR's file for Python, a pickle, which is never read; take the binary version"
                " (for C programs), whose names end in .bin"
            )
    return None


def pickles(folder: Path) -> Path | None:
    """One of CIFAR's files for Python, told by name and first bytes."""
    for path in sorted(folder.iterdir()):
        if PICKLES.fullmatch(path.name) and path.is_file():
            with open(path, "rb") as file:
                if file.read(1) == b"\x80":
                    return path
    return None
