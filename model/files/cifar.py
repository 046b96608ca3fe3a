"""CIFAR-10's and CIFAR-100's binary files: a label or two, then 32 x 32 levels of red, of green, of blue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.files.listing import entries
from model.files.part import Missing, Part

KIND = "CIFAR's binary files"
SHAPE = 3, 32, 32
"""Of an image as the files hold it."""
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """One of the two sets.

    Parameters
    ----------
    folder : str
        That its archive unpacks to.
    files : dict of tuple of str
        For each part.
    names : str
        The file with the classes' names, a line each.
    classes : int
    labels : int
        Bytes before the pixels; the last of them is the label.
    """

    folder: str
    files: dict[str, tuple[str, ...]]
    names: str
    classes: int
    labels: int


BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
LAYOUTS = (
    Layout(
        "cifar-10-batches-bin", {"train": BATCHES, "t10k": ("test_batch.bin",)}, "batches.meta.txt", 10, 1
    ),
    Layout(
        "cifar-100-binary", {"train": ("train.bin",), "t10k": ("test.bin",)}, "fine_label_names.txt", 100, 2
    ),
)
PICKLED = {
    "cifar-10-batches-py": ("data_batch_1", "data_batch_2", "test_batch", "batches.meta"),
    "cifar-100-python": ("train", "test", "meta"),
}
"""Python's version of each set: its folder, and files in it."""
MOST_NAMES = 1 << 16
"""Bytes of a file with names, at most."""


def holds(folder: Path) -> bool:
    """Whether such files lie in a folder, or in the usual one within."""
    return bool(places(folder))


def places(folder: Path) -> list[tuple[Path, Layout]]:
    """Where sets lie."""
    found = []
    for layout in LAYOUTS:
        known = {name for names in layout.files.values() for name in names}
        for place in (folder, folder / layout.folder):
            if known & {entry.name for entry in entries(place)}:
                found.append((place, layout))
                break
    return found


def load(folder: Path, part: str, tell=None, most: int | None = None) -> Part:
    """A part.

    Parameters
    ----------
    folder : Path
    part : {"train", "t10k"}
    tell, most : ignored
        The files are read in a moment, whole.

    Raises
    ------
    Missing
        If none of the part's files is there.
    ValueError
        If some are not, or are damaged; names them.
    """
    found = places(folder)
    if len(found) > 1:
        raise ValueError(f"{folder} holds CIFAR-10 and CIFAR-100; put the one into a folder of its own")
    ((place, layout),) = found
    paths = [place / name for name in layout.files[part]]
    if missing := [path for path in paths if not path.is_file()]:
        kind = Missing if len(missing) == len(paths) else ValueError
        raise kind(f"{place} holds no {', '.join(path.name for path in missing)}")
    parts = [read(path, layout) for path in paths]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    return Part(images, labels, names_of(place / layout.names, layout))


def read(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one file."""
    record, size = layout.labels + PIXELS, path.stat().st_size
    if not size or size % record:
        raise ValueError(f"{path} has {size:,} bytes, which are no whole number of images of {record:,}")
    most = max(10_000, 50_000 // len(layout.files["train"])) * record
    if size > most:
        raise ValueError(f"{path} has {size:,} bytes; CIFAR's files have {most:,} at most")
    records = np.fromfile(path, np.uint8).reshape(-1, record)
    labels = records[:, layout.labels - 1].astype(np.int64)
    if labels.max() >= layout.classes:
        first = int((labels >= layout.classes).argmax())
        raise ValueError(f"{path}: image {first} has the label {labels[first]} of {layout.classes} classes")
    planes = records[:, layout.labels :].reshape(-1, *SHAPE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def names_of(path: Path, layout: Layout) -> tuple[str, ...] | None:
    """The classes' names; None where the file with them is not there."""
    if not path.is_file():
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        names = tuple(line.strip() for line in file.read(MOST_NAMES).splitlines() if line.strip())
    if len(set(names)) != layout.classes or len(names) != layout.classes:
        raise ValueError(f"{path} holds {len(set(names))} different names, not {layout.classes}")
    return names


def pickled(folder: Path) -> Path | None:
    """A file of Python's version of the sets, if that lies in a folder; such a file is never opened."""
    for name, files in PICKLED.items():
        for place in (folder, folder / name):
            there = [place / file for file in files if (place / file).is_file()]
            if len(there) > 1:
                return there[0]
    return None
