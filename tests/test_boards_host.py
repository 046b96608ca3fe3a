"""The host's side against a board in Python on a pseudo-terminal, whose line and temper are bad."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boards import host
from boards.link import client, line
from boards.link.client import Board, Refusal
from boards.link.protocol import REPLY, Command, Error, Frame
from idx import encode
from model import cli
from model.arithmetic.qformat import QFormat
from model.cli import Failure
from model.files import artifact
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec
from pty_board import IDENTITY, II, LATENCY, PtyBoard, golden

IMAGES = np.random.default_rng(5).integers(0, 256, (40, 2, 3, 1))
FIRST = 3
"""Number of the first image's request: an identify and two empty images go before it."""


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine is no mishap: what answers at all is waited for."""
    monkeypatch.setattr(line, "FIRST_WAIT", 20.0)
    monkeypatch.setattr(line, "SEARCH", 60.0)
    monkeypatch.setattr(client, "BENCH_SECONDS", 0.01)
    monkeypatch.setattr(Board, "patience", lambda self, request, answer: 20.0)


@pytest.fixture
def impatient(monkeypatch, patient):
    """Where an answer never comes: no test waits for it as long as a user would."""
    monkeypatch.setattr(line, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(line, "SEARCH", 10.0)
    monkeypatch.setattr(Board, "patience", lambda self, request, answer: 0.15)


def right(results, images=IMAGES) -> bool:
    return [(result.cls, result.logits) for result in results] == [golden(image) for image in images]


def test_board_says_who_it_is_and_classifies():
    with PtyBoard() as fake, Board(fake.port) as board:
        assert board.identity == IDENTITY
        result = board.classify(IMAGES[0])
        assert right([result], IMAGES[:1]) and result.cycles == LATENCY
        assert right(board.classify(IMAGES))
        assert board.repeats == 0


def test_many_images_are_on_the_way():
    """All are sent before the first answer is let out."""
    ahead = 4
    mishaps = {n: "late" for n in range(FIRST, FIRST + ahead - 1)}
    with PtyBoard(mishaps) as fake, Board(fake.port) as board:
        board.window = ahead
        assert right(board.classify(IMAGES))
        assert board.repeats == 0


@pytest.mark.parametrize(
    "mishap",
    ["silent", "damaged", "late", Error.BAD_CRC, Error.BUSY, Error.TIMEOUT, lambda frame: b"\xff" * 300],
)
@pytest.mark.parametrize("place", [1, FIRST, FIRST + 1, FIRST + len(IMAGES) - 1])
def test_every_image_is_answered_rightly_whatever_happens_to_one(mishap, place, impatient):
    with PtyBoard({place: mishap}) as fake, Board(fake.port) as board:
        assert right(board.classify(IMAGES))
        assert mishap == "late" or bool(board.repeats) == (place >= FIRST and mishap != Error.BUSY)


def test_a_busy_board_is_asked_again_as_often_as_need_be():
    """It has no room yet, and nothing is wrong: no attempt of the image counts."""
    busy = {n: Error.BUSY for n in range(FIRST, FIRST + 3 * line.ATTEMPTS)}
    with PtyBoard(busy) as fake, Board(fake.port) as board:
        assert right(board.classify(IMAGES[:2]), IMAGES[:2])
        assert board.repeats == 0
        assert len(fake.requests) == FIRST + 3 * line.ATTEMPTS + 2


def test_noise_is_no_mishap():
    """Before each answer, with every tag: some of them make a header of the noise."""
    with PtyBoard({n: "noise" for n in range(400)}) as fake, Board(fake.port) as board:
        assert right(board.classify(np.tile(IMAGES, (7, 1, 1, 1))), np.tile(IMAGES, (7, 1, 1, 1)))
        assert board.repeats == 0


@pytest.mark.parametrize("ahead", [0, 1, 5, 31, 127, 128, 200, 255])
def test_answers_to_an_earlier_client_are_not_taken(ahead):
    """It had 32 images on the way, whose tags are the next ones, or later."""

    def owed(frame):
        tags = [(frame.tag + ahead + n) % 256 for n in range(32)]
        stale = [Frame(REPLY | Command.CLASSIFY, tag, bytes(18)) for tag in tags]
        return b"".join(answer.encode() for answer in (*stale, honest.answer(frame)))

    with PtyBoard({1: owed}) as honest, Board(honest.port) as board:
        assert right(board.classify(IMAGES))


def test_first_request_may_be_lost(impatient):
    with PtyBoard({0: "silent", 1: "silent", 2: "damaged"}) as fake, Board(fake.port, 9600) as board:
        assert (board.identity, board.baud) == (IDENTITY, 9600)


def test_board_that_falls_silent_is_a_failure(monkeypatch, impatient):
    with (
        PtyBoard({n: "silent" for n in range(FIRST + 2, 200)}) as fake,
        Board(fake.port) as board,
        pytest.raises(Failure, match="nothing answers"),
    ):
        monkeypatch.setattr(line.Line.identify, "__defaults__", (0.5,))
        board.classify(IMAGES)


def test_image_that_always_fails_is_a_failure(monkeypatch):
    with (
        PtyBoard({n: Error.BAD_CRC for n in range(FIRST, 200)}) as fake,
        Board(fake.port) as board,
        pytest.raises(Failure, match=r"image 0 failed 6 times \(bad crc\)"),
    ):
        board.classify(IMAGES[:1])


@pytest.mark.parametrize("code", [Error.NOT_READY, Error.UNKNOWN_COMMAND, Error.BAD_LENGTH, 99])
def test_refusal_for_good_is_told(code):
    words = "number 99" if code == 99 else line.called(Error, code)
    answer = lambda frame: Frame(0xFF, frame.tag, bytes([code, frame.kind])).encode()  # noqa: E731
    with (
        PtyBoard({1: answer}) as fake,
        Board(fake.port) as board,
        pytest.raises(Refusal, match=f"refused bench: {words}"),
    ):
        board.bench(1)


def test_port_that_vanishes_is_a_failure():
    with PtyBoard() as fake, Board(fake.port) as board:
        os.close(board.line.fd)
        os.open(os.devnull, os.O_RDONLY)  # in its place, so that nothing is closed twice
        with pytest.raises(Failure, match="has gone"):
            board.classify(IMAGES)


def test_port_that_takes_no_more_is_a_failure(monkeypatch):
    monkeypatch.setattr(line, "STUCK", 0.1)
    with PtyBoard() as fake, Board(fake.port) as board:
        fake.ended.set()
        fake.thread.join()
        with pytest.raises(Failure, match="takes no more bytes"):
            for _ in range(50):
                board.send(Command.LOAD, bytes(1000))


def test_other_bitstream_is_noticed(impatient):
    changed = IDENTITY.__class__(**{**IDENTITY.__dict__, "build": b"changed!"})
    with PtyBoard({1: "silent"}) as fake, Board(fake.port) as board:
        fake.identity = changed
        with pytest.raises(Failure, match="another bitstream answers now"):
            board.classify(IMAGES)


def test_window_follows_the_core():
    with PtyBoard() as fake, Board(fake.port, 1_000_000) as board:
        board.classify(IMAGES[:1])
        assert board.window == IDENTITY.queue + 1  # an answer takes longer than a request of these
        board.widen(board.classify(IMAGES[0]), 784, 20)
        assert board.window == client.WINDOW
        board.narrow()
        board.widen(board.classify(IMAGES[0]), 784, 20)
        assert board.window == IDENTITY.queue


def test_measure_tells_the_steady_rate():
    with PtyBoard() as fake, Board(fake.port) as board:
        rate = board.measure(IMAGES[0])
    assert (rate.cycles_per_image, rate.latency_cycles) == (II, LATENCY)
    assert rate.images_per_second == pytest.approx(50e6 / II)


def test_measure_refuses_a_core_that_is_wrong_at_full_rate():
    with PtyBoard() as fake, Board(fake.port) as board:
        answer = lambda frame: Frame(0x84, frame.tag, bytes(18)).encode()  # noqa: E731
        fake.mishaps = {n: answer for n in range(FIRST + 1, 20)}
        with pytest.raises(Failure, match="answers otherwise at full rate"):
            board.measure(IMAGES[0])


def test_board_without_benches():
    identity = IDENTITY.__class__(**{**IDENTITY.__dict__, "bench": False})
    with (
        PtyBoard(identity=identity) as fake,
        Board(fake.port) as board,
        pytest.raises(ValueError, match="fake-board was built without"),
    ):
        board.bench(1)


def test_image_of_another_shape_is_refused():
    with (
        PtyBoard() as fake,
        Board(fake.port) as board,
        pytest.raises(ValueError, match="takes an image of 2x3x1"),
    ):
        board.classify(IMAGES[0].reshape(3, 2, 1))


# -- the command


def command(*words) -> int:
    return cli.run(host.main, list(map(str, words)))


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(IMAGES[0, :, :, 0].astype(np.uint8)).save(path)
    return path


def test_pictures(picture, tmp_path, capsys):
    with PtyBoard() as fake:
        assert command(fake.port, picture, picture, "--json", tmp_path / "out.json") == 0
    out = capsys.readouterr().out
    assert "fake on fake-board: images of 2 x 3 x 1, 3 classes, core at 50 MHz, build 0001020304050607" in out
    cls, logits = golden(IMAGES[0])
    assert f"picture.png: class {cls}, {LATENCY} cycles, 0.8 microseconds" in out
    assert f"{logits[cls] / 16:.3f}" in out and "█" in out
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["answers"] == 2 * [
        {
            "picture": str(picture),
            "class": cls,
            "logits": list(logits),
            "cycles": LATENCY,
            "microseconds": 0.8,
        }
    ]


def test_dataset(tmp_path, capsys):
    labels = np.array([golden(image)[0] for image in IMAGES])
    labels[3] = (labels[3] + 1) % 3
    (tmp_path / "t10k-images-idx4-ubyte").write_bytes(encode(IMAGES))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode(labels))
    with PtyBoard() as fake:
        assert command(fake.port, "--dataset", "--data", tmp_path, "--json", tmp_path / "out.json") == 0
    out = capsys.readouterr().out
    assert "right: 39 of 40, 97.50%" in out and "images/s" in out
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["right"], found["images"], found["repeats"]) == (39, 40, 0)
    assert np.trace(found["confusion"]) == 39 and np.sum(found["confusion"]) == 40


class ValuesBoard(PtyBoard):
    """Answers with each pixel's value less 100, and no class."""

    def __init__(self):
        fields = {"classes": 0, "values": (2, 3, 1), "logit": QFormat(9, 1)}
        super().__init__(identity=replace(IDENTITY, **fields))

    def answer(self, frame):
        answer = super().answer(frame)
        if frame.kind in (Command.CLASSIFY, Command.BENCH):
            cycles = answer.payload[2:6]
            answer = replace(answer, payload=cycles + (self.image.astype("<i2") - 100).tobytes())
        return answer


def test_values(picture, tmp_path, capsys):
    words = ["--json", tmp_path / "out.json", "--values", tmp_path / "values.npy"]
    expected = IMAGES.astype(int) - 100
    with ValuesBoard() as fake:
        assert command(fake.port, picture, picture, *words) == 0
    out = capsys.readouterr().out
    assert "images of 2 x 3 x 1, 2 x 3 x 1 values, core at 50 MHz" in out
    assert f"least {expected[0].min() / 2:.4g}, mean" in out and "0.8 microseconds" in out
    found = json.loads((tmp_path / "out.json").read_text())["answers"]
    assert [row["values"] for row in found] == 2 * [expected[0].ravel().tolist()] and "class" not in found[0]
    np.testing.assert_array_equal(np.load(tmp_path / "values.npy"), expected[[0, 0]])


def test_values_of_a_test_set(tmp_path, capsys):
    (tmp_path / "t10k-images-idx4-ubyte").write_bytes(encode(IMAGES))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode(np.zeros(len(IMAGES), int)))
    conv = ConvSpec(
        name="conv", in_shape=(2, 3, 1), src=IDENTITY.pixel, dst=QFormat(8, 0),
        weights=np.ones((1, 1, 1, 1), int), weight_format=QFormat(2, 0), bias=np.array([-100]),
    )  # fmt: skip
    net = QNetwork("less", IDENTITY.pixel, (replace(conv, dst=conv.accumulator),), classifies=False)
    artifact.save(tmp_path / "net.npz", net)
    files = ["--json", tmp_path / "out.json", "--values", tmp_path / "values.npy"]
    with ValuesBoard() as fake:
        words = [fake.port, "--dataset", "--data", tmp_path, "--check", tmp_path / "net.npz", *files]
        assert command(*words) == 0
        assert command(fake.port, "--dataset", "--check", "lenet") == 2
        assert command(fake.port, "--bench") == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["images"], found["mismatches"]) == (40, 0) and "confusion" not in found
    assert "40 answers are those of less, every value equal" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(tmp_path / "values.npy"), IMAGES.astype(int) - 100)
    other = replace(net, specs=(replace(net.specs[0], bias=np.array([-99])),))
    artifact.save(tmp_path / "net.npz", other)
    with ValuesBoard() as fake:
        assert command(fake.port, *words[1:]) == 1
    assert "test image 0: values [" in capsys.readouterr().err


def test_bench(tmp_path, capsys):
    with PtyBoard() as fake:
        assert command(fake.port, "--bench", "--json", tmp_path / "out.json") == 0
    assert f"7,142,857 images/s: one each {II} cycles of 50 MHz" in capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["ii_cycles"], found["latency_cycles"]) == (II, LATENCY)


def test_watch(picture, tmp_path):
    """Pictures that are there, that come, that change, and a file that is none."""
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with PtyBoard() as fake:
        words = [sys.executable, "-u", "-m", "boards.host", fake.port, "--watch", str(tmp_path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            found = []

            def read_until(text):
                while text not in "".join(found):
                    line = process.stdout.readline()
                    assert line, found
                    found.append(line)

            try:
                read_until("picture.png: class")
                picture.rename(tmp_path / "second.png")
                read_until("second.png: class")
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 0
            finally:
                process.kill()
    assert "bad.png is no PNG or JPEG picture" in "".join(found)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--bench", "--dataset"], "choose one of"),
        (["a.png", "--bench"], "a.png is no serial port that is there"),
        (["--load", "lenet"], "--load and --plan belong together"),
        (["--frames", "3"], "belong to --dataset"),
        (["--dataset", "--frames", "0"], "is no whole number from 1"),
        (["--baud", "0"], "is no whole number from 1"),
        (["/dev/no-such-port"], "no-such-port"),
        (["no-such-picture.png"], "no-such-picture.png"),
        (["--watch", "no-such-folder"], "no-such-folder is no folder"),
        (["--check", "no-such-net"], "no-such-net"),
    ],
)
def test_bad_input_is_one_line(words, what, capsys):
    status = command(*words)
    text = capsys.readouterr().err
    assert (status, text.count("\n")) == (2, 1)
    assert what in text


def test_arrivals_wait_until_a_file_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "LOOK", 0.02)
    path, given = tmp_path / "a.png", []
    path.write_bytes(b"1")
    source = host.arrivals(tmp_path)
    given.append(next(source))
    start = time.monotonic()
    path.write_bytes(b"22")
    given.append(next(source))
    assert given == [path, path] and time.monotonic() - start >= 0.02
