"""Where a data set's files lie, by the names that people, archives and other programs give them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from model.files.listing import entries, lying
from model.files.part import Missing

NAME = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test)[-_. ](?P<what>images|labels)[-_. ]idx(?P<sizes>[0-9])[-_. ]ubyte"
    r"( ?\([0-9]+\))?(?P<end>\.gz)?",
    re.IGNORECASE | re.DOTALL,
)
"""MNIST's names with any mark between their words, and what other sets put before, as EMNIST does."""
PARTS = {"test": "t10k"}
"""Other names of parts."""
DEPTH = 2
"""Folders within folders that are looked into: torchvision writes to ``MNIST/raw``."""
MOST = 256
"""Folders that are looked into at most."""


def find(folder: Path, part: str, what: str, dimensions: tuple[int, ...]) -> Path:
    """One of a data set's files.

    Parameters
    ----------
    folder : Path
    part : {"train", "t10k"}
    what : {"images", "labels"}
    dimensions : tuple of int
        That the array may have, the likeliest first.

    Raises
    ------
    Missing
        If there is none; names what lies there.
    ValueError
        If there are files of several sets; names them.
    """
    folders = [folder]
    for _ in range(DEPTH + 1):
        found: dict[tuple, list[tuple]] = {}
        for place in folders:
            for entry in entries(place):
                match = NAME.fullmatch(entry.name)
                if match and sort_of(match) == (part, what) and entry.is_file():
                    # MNIST's very names go before those that are only like them.
                    key = match["set"].lower() != "", place, match["set"].lower()
                    sizes = int(match["sizes"])
                    order = dimensions.index(sizes) if sizes in dimensions else len(dimensions)
                    found.setdefault(key, []).append((order, bool(match["end"]), entry.name))
        plain = {key: files for key, files in found.items() if not key[0]} or found
        if len(plain) > 1:
            paths = [(key[1] / min(files)[2]).relative_to(folder) for key, files in plain.items()]
            sets = ", ".join(map(str, paths))
            raise ValueError(f"{folder} holds several sets: {sets}; put the one into a folder of its own")
        for (_, place, _), files in plain.items():
            return place / min(files)[2]
        folders = inner(folders)
    usual = [f"{part}-{what}-idx{sizes}-ubyte{end}" for sizes in dimensions for end in ("", ".gz")]
    raise Missing(f"{folder} holds no {usual[0]} (nor {', '.join(usual[1:])}); {lying(folder)}")


def holds(folder: Path) -> bool:
    """Whether any file of a data set lies there."""
    folders = [folder]
    for _ in range(DEPTH + 1):
        there = (entry for place in folders for entry in entries(place))
        if any(NAME.fullmatch(entry.name) and entry.is_file() for entry in there):
            return True
        folders = inner(folders)
    return False


def inner(folders: list[Path]) -> list[Path]:
    """The folders in folders, but for the very many."""
    within = (Path(entry) for place in folders for entry in entries(place) if entry.is_dir())
    return list(itertools.islice(within, MOST))


def sort_of(match: re.Match) -> tuple[str, str]:
    """Part and contents that a name speaks of."""
    part = match["part"].lower()
    return PARTS.get(part, part), match["what"].lower()
