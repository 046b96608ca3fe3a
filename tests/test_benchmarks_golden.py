"""The comparison of the golden model's speed: what it refuses."""

import numpy as np
import pytest

from benchmarks import golden
from model import cli
from model.files import artifact


def test_another_answer_is_no_comparison(monkeypatch):
    monkeypatch.setattr(golden.reference, "logits", lambda net, images: net.logits(images) + 1)
    with pytest.raises(cli.Failure, match=r"lenet.*other logits"):
        golden.compare(artifact.load("lenet"), np.zeros((2, 28, 28, 1), np.uint8), 1)


@pytest.mark.parametrize(
    "options", [["--rounds", "0"], ["--net", "none"], ["--net", "lenet", "--data", "none"]]
)
def test_bad_options(options, capsys):
    assert cli.run(golden.main, options) == 2
    assert capsys.readouterr().err.count("\n") == 1
