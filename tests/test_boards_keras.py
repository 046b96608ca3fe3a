"""The way of a Keras user, as docs/convert.md tells it: train, convert, verify, build."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import litert
from boards.convgate import main as convgate
from model import cli
from model.files import artifact, idx

PAGE = Path(__file__).parents[1] / "docs" / "convert.md"
LENT = """
from unittest import mock
import numpy, tensorflow
data = tuple(numpy.load("data.npz").values())
patched = mock.patch.object(tensorflow.keras.datasets.mnist, "load_data", lambda: (data, data))
patched.start()
"""
"""The project's own images in the place of those that Keras would fetch."""


def block(language: str) -> str:
    """What the page's section says in a language."""
    section = PAGE.read_text(encoding="utf-8").partition("## From Keras")[2].partition("\n## ")[0]
    (found,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return found


def test_the_page_takes_three_commands():
    """Of commands and options that there are."""
    words = [shlex.split(line) for line in block("sh").splitlines()]
    assert [(first, command) for first, command, *_ in words] == [
        ("convgate", command) for command in ("convert", "verify", "build")
    ]
    assert "converter.convert()" in block("python")


@pytest.mark.slow
def test_a_net_of_keras_comes_to_the_board(tmp_path, monkeypatch):
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed: pip install tensorflow-cpu")
    monkeypatch.chdir(tmp_path)
    images, labels = idx.load("train")
    np.savez("data.npz", images[:20_000, ..., 0], labels[:20_000])
    # a process of its own: TensorFlow's threads and memory go with it
    made = subprocess.run([sys.executable, "-c", LENT + block("python")], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    convert, verify, build = (shlex.split(line)[1:] for line in block("sh").splitlines())

    assert cli.run(convgate, convert) == 0
    net = artifact.load("my_net.npz")
    tested, answers = (part[:500] for part in idx.load("t10k"))
    assert litert.compare("model.tflite", net, (tested.astype(int) - 128).astype(np.int8)) >= 4
    assert net.accuracy(tested.astype(int) - 128, answers) > 0.9

    assert cli.run(convgate, verify) == 0
    # placement is another test's: what comes before it, and no board is at hand
    assert build.pop() == "--program"
    assert cli.run(convgate, [*build, "--verilog-only"]) == 0
    assert "module top" in Path("build/ulx3s/top.v").read_text(encoding="utf-8")
