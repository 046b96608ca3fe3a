"""Folders of what was made before, each under the digest of all that went into it; the oldest go in time."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

STALE_SECONDS = 24 * 3600
"""After this time, what an interrupted process left is no running one's."""
USED_SECONDS = 3600
"""So long a folder stays after its last use: a process may be about to run what is in it."""


def kept(target: Path, make: Callable[[Path], None], entries: int | None = None) -> Path:
    """The folder `target`, filled by ``make(folder)`` and put in its place whole if it is not there yet.

    Parameters
    ----------
    target : Path
    make : callable
    entries : int, optional
        As many folders stay beside it; of the others those go that were not used for the longest time. None
        goes by default.
    """
    if target.is_dir():
        with contextlib.suppress(OSError):  # in a folder of someone else's
            os.utime(target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".", ignore_cleanup_errors=True) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        make(made)
        try:
            os.rename(made, target)
        except OSError:
            # another process was quicker: its folder has the same content
            if not target.is_dir():
                raise
    if entries is not None:
        prune(target.parent, entries, USED_SECONDS)
    return target


def forget(entry: Path) -> None:
    """Remove a folder; at no moment is a part of it there under its name."""
    gone = entry.with_name(f".{entry.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        os.rename(entry, gone)
    shutil.rmtree(gone, ignore_errors=True)


def prune(folder: Path, entries: int, used: float = 0.0) -> None:
    """Remove the folders that were not used for the longest time, and what interrupted processes left.

    Parameters
    ----------
    folder : Path
    entries : int
        So many stay.
    used : float
        Seconds within which a use keeps one in any case.
    """
    with contextlib.suppress(OSError):
        now = time.time()
        ages = {path: now - path.stat().st_mtime for path in folder.iterdir() if path.is_dir()}
        leavings = [path for path in ages if path.name.startswith(".")]
        for path in leavings:
            if now - last_change(path) > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        found = sorted(ages.keys() - set(leavings), key=ages.get)
        for path in found[entries:]:
            if ages[path] > used:
                forget(path)


def last_change(folder: Path) -> float:
    """When a folder, or something in it, was changed last."""
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
