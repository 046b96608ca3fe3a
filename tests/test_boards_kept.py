"""What was found before the port went is shown and written."""

import contextlib
import json
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from boards import host
from boards.link import client
from boards.link.protocol import Command
from idx import encode
from model import cli
from pty_board import II, PtyBoard, golden

IMAGES = np.random.default_rng(5).integers(0, 256, (40, 2, 3, 1))


class Leaving(PtyBoard):
    """Its cable is pulled at a request: the n-th of a kind, or after so many seconds."""

    def __init__(self, kind=None, number=0, seconds=None):
        super().__init__()
        self.kind, self.number, self.seconds = kind, number, seconds

    def __enter__(self):
        super().__enter__()
        if self.seconds is not None:
            threading.Timer(self.seconds, self.pull).start()
        return self

    def pull(self):
        self.ended.set()
        if threading.current_thread() is not self.thread:
            self.thread.join()
        os.close(self.master)

    def answer(self, frame):
        if frame.kind == self.kind:
            self.number -= 1
            if self.number < 0:
                time.sleep(0.1)  # what was answered before is read
                self.pull()
                # whoever opens a file next gets the port's number: nothing more may be written to it
                raise OSError("the cable is pulled")
        return super().answer(frame)

    def serve(self):
        with contextlib.suppress(OSError):
            super().serve()

    def __exit__(self, *exception):
        self.ended.set()
        self.thread.join()
        os.close(self.slave)


def run(fake, tmp_path, capsys, *words):
    """Status, standard output and JSON of the host; the reason must be one line."""
    out = tmp_path / "out.json"
    status = cli.run(host.main, [fake.port, *map(str, words), "--json", str(out)])
    said, error = capsys.readouterr()
    assert status == 1 and error.count("\n") == 1 and "has gone" in error
    found = json.loads(out.read_text())
    assert error == f"error: {found['ended']}\n"
    return said, found


@pytest.fixture
def folder(tmp_path):
    """A test set of 40 images and as many pictures."""
    labels = np.array([golden(image)[0] for image in IMAGES])
    (tmp_path / "t10k-images-idx4-ubyte").write_bytes(encode(IMAGES))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode(labels))
    for index, image in enumerate(IMAGES[:9]):
        Image.fromarray(image[:, :, 0].astype(np.uint8)).save(tmp_path / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize("number", [0, 1, 2, 3, 17, 41])
def test_dataset(number, folder, capsys):
    """Two empty images go first."""
    with Leaving(Command.CLASSIFY, number) as fake:
        said, found = run(fake, folder, capsys, "--dataset", "--data", folder)
    count = max(number - 2, 0)
    assert (found["images"], found["missing"]) == (count, 40 - count)
    assert f"{40 - count} of 40 images have no answer" in said
    assert np.sum(found.get("confusion", 0)) == count and found.get("right", 0) == count


@pytest.mark.parametrize("number", [2, 5, 10])
def test_pictures(number, folder, capsys):
    paths = [folder / f"{index}.png" for index in range(9)]
    with Leaving(Command.CLASSIFY, number) as fake:
        said, found = run(fake, folder, capsys, *paths)
    names = [answer["picture"] for answer in found["answers"]]
    assert names + found["missing"] == list(map(str, paths)) and len(names) == number - 2
    assert all(f"{name}: class" in said for name in names)
    assert [answer["class"] for answer in found["answers"]] == [golden(x)[0] for x in IMAGES[: number - 2]]


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_bench(number, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(client, "BENCH_SECONDS", 60.0)
    with Leaving(Command.BENCH, number) as fake:
        said, found = run(fake, tmp_path, capsys, "--bench")
    # the first two make a rate
    assert found.get("ii_cycles") == (II if number > 1 else None)
    assert ("images/s" in said) == (number > 1)


def test_idle_watch_notices(tmp_path, capsys):
    with Leaving(seconds=0.5) as fake:
        start = time.monotonic()
        _, found = run(fake, tmp_path, capsys, "--watch", tmp_path)
    assert found["answers"] == [] and time.monotonic() - start < 10


def test_watch_keeps_its_answers(folder, capsys, monkeypatch):
    monkeypatch.setattr(host, "LOOK", 0.02)
    with Leaving(Command.CLASSIFY, 6) as fake:
        _, found = run(fake, folder, capsys, "--watch", folder)
    assert [answer["class"] for answer in found["answers"]] == [golden(image)[0] for image in IMAGES[:4]]


def test_folder_that_goes_is_no_reason_to_lose_answers(folder, capsys, monkeypatch):
    monkeypatch.setattr(host, "LOOK", 0.02)
    pictures = folder / "pictures"
    pictures.mkdir()
    (folder / "0.png").rename(pictures / "0.png")
    real = PtyBoard.answer

    def answer(self, frame):
        # the third image is the picture, behind two empty ones
        if sum(request.kind == Command.CLASSIFY for request in self.requests) == 3 and pictures.is_dir():
            (pictures / "0.png").unlink()
            pictures.rmdir()
        return real(self, frame)

    monkeypatch.setattr(PtyBoard, "answer", answer)
    out = folder / "out.json"
    with PtyBoard() as fake:
        assert cli.run(host.main, [fake.port, "--watch", str(pictures), "--json", str(out)]) == 2
    assert len(json.loads(out.read_text())["answers"]) == 1


def test_interrupt_keeps_the_answers(folder, capsys, monkeypatch):
    real, out = client.Board.stream, folder / "out.json"

    def stream(self, images):
        for count, result in enumerate(real(self, images)):
            if count == 7:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(client.Board, "stream", stream)
    with PtyBoard() as fake:
        words = [fake.port, "--dataset", "--data", str(folder), "--json", str(out)]
        assert cli.run(host.main, words) == 130
    assert json.loads(out.read_text())["images"] == 7 and "right: 7 of 7" in capsys.readouterr().out


def test_answers_are_shown_as_they_come(folder, monkeypatch):
    """The second is not sent before the first is shown."""
    shown = []
    monkeypatch.setattr(host.Session, "answer", lambda self, path, image, result: shown.append(path) or {})
    monkeypatch.setattr(client, "WINDOW", 1)

    class Slow(PtyBoard):
        def answer(self, frame):
            if frame.kind == Command.CLASSIFY:
                counts.append(len(shown))
            return super().answer(frame)

    counts = []
    paths = [str(folder / f"{index}.png") for index in range(9)]
    real = client.Board.widen
    monkeypatch.setattr(client.Board, "widen", lambda self, *given: (real(self, *given), self.narrow()))
    with Slow() as fake:
        assert cli.run(host.main, [fake.port, *paths]) == 0
    assert shown == paths and counts[-1] >= 7
