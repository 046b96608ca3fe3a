"""What was built before: results of the tools, each under the digest of all that went into it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from model.cli import Failure
from sim.simulators.store import forget, kept, prune

FOLDER = Path("build/cache")
"""Where results are kept, below the working folder."""
ENTRIES = 50
"""As many results stay; the one that was not used for the longest time goes first."""
SUMS = "sha256.json"
"""Names and digests of an entry's files."""


def answered(digest: str, make: Callable[[Path], None], *, force: bool = False) -> tuple[Path, bool]:
    """The folder of a result, and whether it was there already.

    Parameters
    ----------
    digest : str
    make : callable
        Fills a folder. What it raises goes on, and nothing is kept.
    force : bool
        Make it anew in any case.
    """
    entry = FOLDER / digest
    if entry.is_dir() and (force or not whole(entry)):
        forget(entry)
    if entry.is_dir():
        os.utime(entry)
        return entry, True

    def summed(folder: Path) -> None:
        make(folder)
        (folder / SUMS).write_text(json.dumps(sums(folder)), encoding="utf-8")

    made = kept(entry, summed)
    prune(FOLDER, ENTRIES)
    return made, False


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def whole(entry: Path) -> bool:
    """Whether the files of an entry are those that were put there."""
    try:
        return json.loads((entry / SUMS).read_text(encoding="utf-8")) == sums(entry)
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Waits until no other process builds into a folder, and keeps others waiting meanwhile.

    The lock goes with its process, however that ends.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.parent / f".{out.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another build of {out}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def space(out: Path) -> Iterator[None]:
    """A full disk is a `Failure` that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Failure(f"no space left on the disk of {error.filename or out}; {out} is as it was") from None
