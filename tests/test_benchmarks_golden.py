"""The comparison of the golden model's speed: what it refuses, and how rounds become a ratio."""

import numpy as np
import pytest

from benchmarks import golden
from model import artifact, cli


def test_another_answer_is_no_comparison(monkeypatch):
    monkeypatch.setattr(golden.reference, "logits", lambda net, images: net.logits(images) + 1)
    with pytest.raises(cli.Failure, match=r"lenet.*other logits"):
        golden.compare(artifact.load("lenet"), np.zeros((2, 28, 28, 1), np.uint8), 1)


def test_the_ratio_is_the_median_of_the_rounds():
    ours, theirs = np.array([1e-3, 2e-3, 1e-3]), np.array([2e-3, 8e-3, 5e-3])
    line = golden.row(artifact.load("lenet"), "them", ours, theirs)
    assert (line["images_per_second"], line["other_images_per_second"], line["ratio"]) == (1000, 200, 4)
    assert line["rounds"] == 3


def test_contestants_take_turns():
    turns = []
    contestants = {name: (lambda name=name: turns.append(name), 10) for name in "ab"}
    seconds = golden.interleaved(contestants, 2)
    assert turns == ["a", "b"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    "options", [["--rounds", "0"], ["--net", "none"], ["--net", "lenet", "--data", "none"]]
)
def test_bad_options(options, capsys):
    assert cli.run(golden.main, options) == 2
    assert capsys.readouterr().err.count("\n") == 1
