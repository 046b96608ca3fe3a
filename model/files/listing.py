"""What lies in a folder, and names in a message."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

SHOWN = 6
"""Names that a message shows."""


def entries(folder: Path | os.DirEntry) -> list[os.DirEntry]:
    """What lies in a folder, by name; nothing where it may not be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def lying(folder: Path) -> str:
    """What lies in a folder, in words."""
    names = [entry.name + "/" * entry.is_dir() for entry in entries(folder)]
    return f"there lies {several(names)}" if names else "it is empty"


def several(names: Sequence[str], most: int = SHOWN) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:most]) + f" and {len(names) - most} more" * (len(names) > most)
