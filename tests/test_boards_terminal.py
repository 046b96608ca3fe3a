"""The host and a simulated board, each a process of its own, on both ends of a pseudo-terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from boards import terminal
from boards.catalogue import targets
from boards.catalogue.fitting import default_plan
from boards.link.client import Board
from boards.link.protocol import Command, Frame, image_payload
from idx import encode
from model import cli
from model.arithmetic.qformat import QFormat
from model.files import artifact, dataset
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec
from sim.bench.accelerator import measure

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(4)


def net_of_pictures() -> QNetwork:
    """A dense layer over 16 x 16 grey levels: requests are long, answers short."""
    fields = dict(
        name="dense",
        in_shape=(16, 16, 1),
        src=QFormat(8, 8, False),
        weights=RNG.integers(-8, 8, (256, 3)),
        weight_format=QFormat(4, 2),
        bias=RNG.integers(-99, 99, 3),
    )
    exact = DenseSpec(**fields, dst=QFormat(8, 0)).accumulator
    return QNetwork("pictures", fields["src"], (DenseSpec(**fields, dst=exact),))


@contextmanager
def simulated(folder: Path, *words):
    """``python -m sim.board``, ready to be talked to; the link to its port, and the process."""
    link, out = folder / "port", folder / "out.json"
    command = [
        sys.executable,
        "-m",
        "sim.board",
        "ulx3s",
        "--link",
        str(link),
        "--json",
        str(out),
        *map(str, words),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            while not link.exists():
                assert process.poll() is None
                time.sleep(0.05)
            yield link, process
            process.terminate()
            assert process.wait(30) == 0
            assert not os.path.lexists(link)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def net() -> QNetwork:
    return net_of_pictures()


@pytest.fixture(scope="module")
def images(net) -> np.ndarray:
    return RNG.integers(0, 256, (200, *net.in_shape))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, net, images) -> Path:
    """The net, and the images as a data set."""
    folder = tmp_path_factory.mktemp("simulated")
    artifact.save(folder / "net.npz", net)
    (folder / "t10k-images-idx3-ubyte").write_bytes(encode(images[..., 0]))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(encode(net.classify(images)))
    return folder


@pytest.fixture(scope="module")
def served(folder):
    with simulated(folder, "--net", folder / "net.npz") as found:
        yield found
    report = json.loads((folder / "out.json").read_text())
    assert report["bytes_in"] > 200 * 268 and report["bytes_out"] > 200 * 30
    assert report["baud"] == 12_500_000 and report["net"] == "pictures"


def check(link, net, images) -> Board:
    """Every answer to the images is the golden model's."""
    with Board(str(link)) as board:
        results = board.classify(images)
    assert [result.logits for result in results] == [tuple(row) for row in net.logits(images).tolist()]
    assert [result.cls for result in results] == net.classify(images).tolist()
    return board


def host(link, *words, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "boards.host", str(link), *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)


def test_every_logit_is_the_golden_models(served, folder, net, images):
    link, _ = served
    with host(link, "--dataset", "--data", folder, "--check", folder / "net.npz") as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "pictures on ulx3s-85f: images of 16 x 16 x 1, 3 classes, core at 100 MHz" in out
    assert "right: 200 of 200, 100.00%" in out
    assert "200 answers are those of pictures, every value equal" in out


def test_host_is_killed_and_started_again(served, folder, net, images):
    link, board = served
    with host(link, "--dataset", "--data", folder) as process:
        assert "on ulx3s-85f" in process.stdout.readline()
        time.sleep(0.3)
        process.kill()
    check(link, net, images[:20])
    assert board.poll() is None


def test_port_is_closed_in_mid_frame(served, net, images):
    link, _ = served
    with Board(str(link)) as board:
        wire = Frame(Command.CLASSIFY, 9, image_payload(images[0], board.identity)).encode()
    for part in (1, 5, 100, len(wire) - 1):
        port = os.open(link, os.O_RDWR | os.O_NOCTTY)
        os.write(port, wire + wire[:part])
        os.close(port)
        check(link, net, images[1:4])


def test_board_is_reset_in_mid_frame(served, net, images):
    link, process = served
    with Board(str(link)) as board:
        found = []
        for index, result in enumerate(board.stream(images)):
            found.append(result.logits)
            if index in (3, 50, 51, 120):
                process.send_signal(signal.SIGUSR1)
    assert found == [tuple(row) for row in net.logits(images).tolist()]
    assert board.repeats > 0
    check(link, net, images[:5])


def test_bench_reports_what_the_accelerators_simulation_measures(served, net, images):
    link, _ = served
    target = targets.find("ulx3s")
    figures = measure(net, default_plan(net, target), target.family)
    with Board(str(link)) as board:
        rate = board.measure(images[0])
    assert rate.cycles_per_image == figures.ii_cycles
    assert rate.latency_cycles == figures.latency_cycles


@pytest.mark.slow
def test_lenet_at_three_megabaud(tmp_path):
    """200 test images, every logit; the line is kept full; a bench counts the cycles of sim.verify."""
    net = artifact.load("lenet")
    target = targets.find("ulx3s")
    figures = measure(net, default_plan(net, target), target.family)
    with simulated(tmp_path, "--baud", 3_000_000) as (link, _):
        check(link, net, dataset.load_part("t10k")[0][:200])
        with Board(str(link)) as board:
            rate = board.measure(np.zeros((28, 28, 1), int))
    assert (rate.cycles_per_image, rate.latency_cycles) == (figures.ii_cycles, figures.latency_cycles)
    burst = json.loads((tmp_path / "out.json").read_text())["burst"]
    assert burst["bytes"] >= 200 * 796 and burst["line_used"] >= 0.9


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["no-such-board"], "unknown board"),
        (["ulx3s", "--net", "no-such-net"], "no-such-net"),
        (["ulx3s", "--baud", "20000000"], "too slow for 20000000 baud"),
        (["ulx3s", "--baud", "0"], "--baud: '0' is no whole number from 1"),
        (["ulx3s", "--clock", "1"], "impossible"),
        (["ulx3s", "--link", "README.md"], "no link"),
    ],
)
def test_bad_input_is_one_line(words, what, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    status = cli.run(terminal.main, words)
    text = capsys.readouterr().err
    assert (status, text.count("\n")) == (2, 1)
    assert what in text
