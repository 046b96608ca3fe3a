"""Results kept under their digest, and builds of one folder kept apart."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boards.tools import cache
from model.cli import Failure

DIGEST = "0123abcd"


@pytest.fixture
def made(tmp_path, monkeypatch) -> list[str]:
    """Digests of what was made; the working folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    return []


def answer(made: list[str], digest: str = DIGEST, **options) -> tuple[Path, bool]:
    def make(folder: Path) -> None:
        made.append(digest)
        (folder / "logs").mkdir()
        (folder / "logs" / "tool.log").write_text("said")
        (folder / "top.bit").write_text(digest)

    return cache.answered(digest, make, **options)


def test_the_same_is_made_once(made):
    entry, cached = answer(made)
    assert not cached and (entry / "top.bit").read_text() == DIGEST
    assert answer(made) == (entry, True)
    assert answer(made, "ff") != (entry, True)
    assert made == [DIGEST, "ff"]


def test_force_makes_it_again(made):
    answer(made)
    assert answer(made, force=True)[1] is False
    assert made == [DIGEST] * 2


@pytest.mark.parametrize("damage", ["change", "remove", "sums"])
def test_a_damaged_result_is_made_again(made, damage):
    entry, _ = answer(made)
    if damage == "change":
        (entry / "top.bit").write_text("other")
    elif damage == "remove":
        (entry / "logs" / "tool.log").unlink()
    else:
        (entry / cache.SUMS).write_text("{")
    entry, cached = answer(made)
    assert not cached and (entry / "top.bit").read_text() == DIGEST
    assert answer(made)[1]


def test_what_fails_is_not_kept(made):
    def fail(folder):
        (folder / "top.bit").write_text("half")
        raise Failure("no such luck")

    with pytest.raises(Failure):
        cache.answered(DIGEST, fail)
    assert list(cache.FOLDER.iterdir()) == []
    assert answer(made)[1] is False


def test_the_least_used_go_first(made, monkeypatch):
    monkeypatch.setattr(cache, "ENTRIES", 2)
    for age, digest in enumerate(("aa", "bb")):
        entry, _ = answer(made, digest)
        os.utime(entry, (age, age))
    assert answer(made, "aa")[1]  # its use counts
    answer(made, "cc")
    assert sorted(path.name for path in cache.FOLDER.iterdir()) == ["aa", "cc"]


def test_leavings_of_killed_builds_go_when_they_are_old(made):
    old, new = cache.FOLDER / ".old", cache.FOLDER / ".new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    answer(made)
    assert not old.exists() and new.exists()


HOLDER = """
import sys
from pathlib import Path
from boards.tools import cache
with cache.locked(Path("out")):
    print("mine", flush=True)
    sys.stdin.read()
    Path("out.done").touch()
"""


def holder() -> subprocess.Popen:
    """A process that builds into ``out`` until its standard input ends."""
    root = str(Path(cache.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_second_build_of_a_folder_waits_and_says_so(made, capsys, monkeypatch):
    other = holder()
    with cache.locked(Path("else")):
        assert capsys.readouterr().err == ""
    acquire = cache.FileLock.acquire

    def patient(lock, timeout=None, **options):
        if timeout is None:
            assert not Path("out.done").exists()
            other.stdin.close()
        return acquire(lock, timeout=timeout, **options)

    monkeypatch.setattr(cache.FileLock, "acquire", patient)
    with cache.locked(Path("out")):
        assert Path("out.done").exists()
    assert capsys.readouterr().err == "waiting for another build of out\n"
    other.wait()


def test_the_lock_of_a_killed_build_is_gone(made, capsys):
    other = holder()
    other.kill()
    other.wait()
    with cache.locked(Path("out")):
        assert capsys.readouterr().err == ""
    assert not Path("out.done").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line(number):
    with (
        pytest.raises(Failure, match=r"no space left on the disk of x\.bit; out is as it was"),
        cache.space(Path("out")),
    ):
        raise OSError(number, "full", "x.bit")


def test_other_errors_stay():
    with pytest.raises(PermissionError), cache.space(Path("out")):
        raise PermissionError(errno.EACCES, "no", "x")
