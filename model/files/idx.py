"""Images with labels in IDX files, MNIST's format: plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model.files import idxnames
from model.files.part import MAX_BYTES, Part, by

KIND = "IDX files"
UBYTE = 0x08
"""IDX code of unsigned bytes."""
MAX_GZIP_RATIO = 1040
"""Deflate never shrinks data by more (its limit is 1032)."""


def holds(folder: Path) -> bool:
    """Whether such files lie in a folder."""
    return idxnames.holds(folder)


def load(
    folder: Path,
    part: str,
    tell=None,
    most: int | None = None,
    *,
    sums: Mapping[str, str] | None = None,
) -> Part:
    """A part.

    Parameters
    ----------
    folder : Path
    part : {"train", "t10k"}
    tell, most : ignored
        Arrays are read in a moment, whole.
    sums : mapping of str, optional
        SHA-256 by the names of the only files that are taken.

    Raises
    ------
    ValueError
        If a file is missing, damaged, or does not fit the other; names the file.
    """
    images_path, images = read_member(folder, part, "images", (3, 4), sums)
    labels_path, labels = read_member(folder, part, "labels", (1,), sums)
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels")
    if not images.size:
        raise ValueError(f"{images_path} holds no pixels")
    return Part(images.reshape(*images.shape[:3], -1), labels.astype(np.int64))


def read_member(
    folder: Path, part: str, what: str, dimensions: tuple[int, ...], sums: Mapping[str, str] | None
) -> tuple[Path, np.ndarray]:
    """One of a data set's four files, and where it was found."""
    path = idxnames.find(folder, part, what, dimensions)
    if sums is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sums.get(path.name):
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
