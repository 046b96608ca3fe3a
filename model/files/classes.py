"""Folders of pictures by class, as image frameworks have them: ``train/cat/0001.png``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from model.arithmetic.geometry import by
from model.files.image import read_picture

PARTS = {
    "train": ("train", "training"),
    "t10k": ("test", "testing", "val", "valid", "validation"),
}
"""Folders of the parts, the likeliest first, in any case."""
PURPOSES = {"train": "learn from", "t10k": "be judged by"}
SUFFIXES = (".png", ".jpg", ".jpeg")
OTHERS = (".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""Pictures that are not read, and not passed over either."""
MAX_BYTES = 1 << 31
"""More pixels are refused before they are read."""


def there(folder: Path) -> bool:
    """Whether a folder holds pictures by class."""
    return any(next(pictures(place), None) for root in roots(folder) for place in inner(root))


def names(folder: Path) -> tuple[str, ...]:
    """The classes' names, in the order of their labels: of the folders to learn from, if there are any."""
    if not folder.is_dir() or not there(folder):
        return ()
    return tuple(place.name for place in inner(root_of("train", folder) or root_of("t10k", folder) or folder))


def load(part: str, folder: Path, told: Callable[[int, int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, C), uint8, and labels (N,), int64, of one part, in the order of their paths.

    One picture in colour makes all of them pictures in colour. Classes alone, without a folder of a part
    above them, are a test set.

    Raises
    ------
    ValueError
        If there is no such part, or a picture cannot be read or has another size; names the file.
    """
    root = root_of(part, folder)
    if root is None:
        if part == "train" or root_of("train", folder):
            wanted = f"{PARTS[part][0]}/"
            raise ValueError(f"{folder} has no folder {wanted} with the pictures to {PURPOSES[part]}")
        root = folder
    classes = names(folder)
    files = []
    for place in inner(root):
        found = list(pictures(place))
        if found and place.name not in classes:
            raise ValueError(f"{place}: no such class in training, whose classes are {', '.join(classes)}")
        files += [(path, classes.index(place.name)) for path in found]
    if not files:
        raise ValueError(f"{root} holds no pictures in folders of classes")
    return stacked([path for path, _ in files], told), np.array([label for _, label in files], np.int64)


def stacked(paths: list[Path], told: Callable[[int, int], None]) -> np.ndarray:
    """Pictures of one size as one array."""
    found = []
    for number, path in enumerate(paths):
        picture = read_picture(path)
        if found and picture.shape[:2] != found[0].shape[:2]:
            raise ValueError(
                f"{path} has {by(picture.shape[:2])} pixels, but {paths[0]} {by(found[0].shape[:2])}:"
                " all must have one size"
            )
        if not found and len(paths) * picture.size > MAX_BYTES:
            raise ValueError(
                f"{len(paths):,} pictures like {path} are more than {MAX_BYTES:,} bytes of pixels"
            )
        found.append(picture)
        told(number + 1, len(paths))
    channels = max(picture.shape[2] for picture in found)
    return np.stack([np.broadcast_to(picture, (*picture.shape[:2], channels)) for picture in found])


def root_of(part: str, folder: Path) -> Path | None:
    """The folder of a part's classes, if there is one."""
    inside = {place.name.lower(): place for place in inner(folder)}
    return next((inside[name] for name in PARTS[part] if name in inside), None)


def roots(folder: Path) -> list[Path]:
    """Where classes may lie."""
    found = [root_of(part, folder) for part in PARTS]
    return [root for root in found if root] or [folder]


def inner(folder: Path) -> list[Path]:
    """Folders within a folder, by name; hidden ones are passed over."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def pictures(folder: Path) -> Iterator[Path]:
    """Pictures in a folder, by name; other files are passed over.

    Raises
    ------
    ValueError
        For a picture of a kind that is not read.
    """
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        suffix = path.suffix.lower()
        if suffix in OTHERS:
            raise ValueError(f"{path}: pictures are PNG or JPEG files here")
        if suffix in SUFFIXES:
            yield path
