"""What lies in a folder."""

from __future__ import annotations

import os
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
    more = f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    return f"there lies {', '.join(names[:SHOWN])}{more}" if names else "it is empty"
