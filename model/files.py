"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def check_writable(*paths) -> None:
    """Raise a ValueError now if `replacing` could not write one of the files later; None is skipped."""
    for path in map(Path, filter(None, paths)):
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file to write")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise ValueError(f"cannot write {path}: {parent} is no folder, or may not be written")


@contextlib.contextmanager
def replacing(path, mode: str = "wb"):
    """A file that takes the place of `path` only when it was written without an error.

    Parameters
    ----------
    path : str or Path
        Its folder is made if it is missing.
    mode : {"wb", "w"}

    Yields
    ------
    file object
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
