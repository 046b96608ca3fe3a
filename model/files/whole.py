"""Files written whole or not at all, and read back before they count as written."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

PART = ".part"
"""How the names of files end that are being written."""


def check_writable(*paths) -> None:
    """Raise a ValueError now if `replacing` could not write one of the files later; None is skipped."""
    for path in map(Path, filter(None, paths)):
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file to write")
        if special(path):
            continue
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise ValueError(f"cannot write {path}: {parent} is no folder, or may not be written")


def special(path: Path) -> bool:
    """Whether a path is a device or a pipe, such as ``/dev/null``: written to, never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextlib.contextmanager
def replacing(path, mode: str = "wb", holds: Callable[[Path], bool] | None = None):
    """A file that takes the place of `path` only when it was written without an error.

    Parameters
    ----------
    path : str or Path
        Its folder is made if it is missing. A link stays: what it points to is replaced.
    mode : {"wb", "w"}
    holds : callable, optional
        Reads a file as others will, and tells whether it holds what was to be written; a ValueError says
        why not. A device or pipe gives nothing back and is not asked.

    Yields
    ------
    file object

    Raises
    ------
    ValueError
        If the file does not hold it; names `path`, where nothing changes.
    """
    path, encoding = Path(path), None if "b" in mode else "utf-8"
    if special(path):
        with open(path, mode, encoding=encoding) as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(PART, f".{path.name}.", path.parent)
    try:
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
        if holds:
            read_back(Path(temporary), path, holds)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_back(written: Path, path: Path, holds: Callable[[Path], bool]) -> None:
    """Raise a ValueError unless what was written for `path` can be read again and is the same."""
    try:
        reason = None if holds(written) else "it would come back changed"
    except ValueError as error:
        reason = str(error).replace(str(written), "it")
    if reason:
        raise ValueError(f"{path} is not written, as it could not be read again: {reason}")


def clear(path) -> None:
    """Remove what kills in the midst of `replacing` a file left behind."""
    path = Path(os.path.realpath(path))
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{PART}"):
        with contextlib.suppress(OSError):
            leftover.unlink()
