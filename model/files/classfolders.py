"""Folders of pictures by class, as image frameworks have them: ``train/cat/0001.png``."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model.files import part as parts
from model.files.image import SUFFIXES, decoded
from model.files.listing import entries
from model.files.part import Missing, Part, by, silent

KIND = "folders of pictures by class"
PARTS = {"train": ("train",), "t10k": ("test", "val", "validation", "valid")}
"""What the folder of a part may be called, the likeliest first."""
OTHERS = (".bmp", ".gif", ".pgm", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of pictures that are not read: left out in silence they would be missed."""
STEP = 100
"""Pictures between two words on how far it is."""
LEFT = ("__MACOSX", "__pycache__")
"""Folders that archives and programs leave behind."""
KINDS = {1: "grey", 3: "colour"}


def holds(folder: Path) -> bool:
    """Whether a part lies in a folder."""
    return any(place_of(folder, part) for part in PARTS)


def place_of(folder: Path, part: str) -> Path | None:
    """The folder in which a part's classes are; where no part has one, the whole is a test set."""
    within = {entry.name.lower(): Path(entry) for entry in classes_in(folder)}
    found = [within[name] for name in PARTS[part] if name in within]
    if part == "t10k" and not any(name in within for names in PARTS.values() for name in names):
        found = [folder]
    return next((place for place in found if any(pictures(entry) for entry in classes_in(place))), None)


def classes_in(place: Path) -> list[os.DirEntry]:
    """The folders in a folder."""
    return [entry for entry in seen(place) if entry.is_dir()]


def pictures(place) -> list[os.DirEntry]:
    """The pictures in a folder."""
    return [entry for entry in seen(place) if Path(entry).suffix.lower() in SUFFIXES + OTHERS]


def seen(place) -> list[os.DirEntry]:
    """What lies in a folder, but for what other programs leave there."""
    return [entry for entry in entries(place) if not entry.name.startswith(".") and entry.name not in LEFT]


def load(folder: Path, part: str, tell: Callable[[int, int], None] = silent, most: int | None = None) -> Part:
    """A part. The classes take turns, so that the first few pictures are of all of them.

    Parameters
    ----------
    folder : Path
        With a folder for each part, or of a test set alone.
    part : {"train", "t10k"}
    tell : callable
        Is given how many pictures have been read, and of how many, now and then.
    most : int, optional
        So many pictures are enough.

    Raises
    ------
    Missing
        If there is no such part.
    ValueError
        If a picture is damaged, or of another size than the first; names it.
    """
    place, learnt = place_of(folder, part), place_of(folder, "train")
    if place is None:
        raise Missing(f"{folder} has no folder {' or '.join(PARTS[part])} of pictures by class")
    names = tuple(entry.name for entry in classes_in(learnt or place))
    by_class: list[list[tuple[Path, int]]] = [[] for _ in names]
    for entry in classes_in(learnt or place):
        os.scandir(entry).close()  # one that may not be read is told so
        if not pictures(entry):
            raise ValueError(f"{Path(entry)} holds no picture, and would be a class all the same")
    for entry in classes_in(place):
        if entry.name not in names:
            raise ValueError(f"{Path(entry)}: there is no class of that name in {learnt}")
        if inner := classes_in(Path(entry)):
            raise ValueError(f"{Path(inner[0])} is a folder in a class's folder, where only pictures may be")
        label = names.index(entry.name)
        by_class[label] = [(Path(picture), label) for picture in pictures(entry)]
    turns = [picture for turn in itertools.zip_longest(*by_class) for picture in turn if picture]
    paths, labels = zip(*turns[:most])
    return Part(read(paths, tell), np.array(labels, np.int64), names)


def read(paths: tuple[Path, ...], tell: Callable[[int, int], None]) -> np.ndarray:
    """Pictures of one size, all grey or all in colour."""
    for path in paths:
        if path.suffix.lower() in OTHERS:
            raise ValueError(f"{path}: PNG and JPEG are read, {path.suffix} is not; convert it")
        if not path.is_file():
            raise ValueError(f"{path} is no file, or leads to none")
    first = decoded(paths[0])
    size = first.nbytes * len(paths)
    if size > parts.MAX_BYTES:
        raise ValueError(
            f"{len(paths):,} pictures of {by(first.shape)} like {paths[0]} are {size:,} bytes, and"
            f" {parts.MAX_BYTES:,} are taken"
        )
    images = np.empty((len(paths), *first.shape), np.uint8)
    for index, path in enumerate(paths):
        picture = decoded(path)
        if picture.shape[:2] != first.shape[:2]:
            raise ValueError(
                f"{path} has {by(picture.shape[:2])} pixels, but {paths[0]} {by(first.shape[:2])}; all must"
                " have one size"
            )
        if picture.shape != first.shape:
            one, other = KINDS[picture.shape[2]], KINDS[first.shape[2]]
            raise ValueError(f"{path} is {one}, but {paths[0]} {other}; all must be alike")
        images[index] = picture
        if index % STEP == 0 or index == len(paths) - 1:
            tell(index + 1, len(paths))
    return images
