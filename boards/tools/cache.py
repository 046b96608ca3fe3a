"""What was built before: results of the tools, each under the digest of all that went into it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from model.cli import Failure
from sim.simulators.build import kept

FOLDER = Path("build/cache")
"""Where results are kept, below the working folder."""
ENTRIES = 50
"""As many results stay; the one that was not used for the longest time goes first."""
STALE_SECONDS = 24 * 3600
"""After this time, what an interrupted build left in the cache is no running build's."""
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
    prune()
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


def forget(entry: Path) -> None:
    """Remove an entry; at no moment is a part of it there under its name."""
    gone = entry.with_name(f".{entry.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        os.rename(entry, gone)
    shutil.rmtree(gone, ignore_errors=True)


def prune() -> None:
    """Remove the oldest entries, and what interrupted builds left."""
    with contextlib.suppress(OSError):
        for path in FOLDER.glob(".*"):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        entries = sorted(FOLDER.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for entry in entries[ENTRIES:]:
            forget(entry)


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
