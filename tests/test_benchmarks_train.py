"""The benchmark of training, as far as it goes without PyTorch."""

import sys

import numpy as np
import pytest

from benchmarks.train import STEPS, check, main, problem, turns
from model import cli
from model.net.losses import cross_entropy
from model.net.network import Network


def test_a_missing_pytorch_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.run(main, ["--net", "lenet"]) == 2
    assert capsys.readouterr().err == "error: PyTorch is missing: pip install -e '.[bench]'\n"


@pytest.mark.parametrize("option", ["--batch", "--threads", "--rounds"])
def test_counts_begin_at_one(option, capsys):
    assert cli.run(main, [option, "0"]) == 2
    assert f"{option}: '0' is no whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize("factor, fails", [(1, False), (1.001, True)])
def test_another_loss_or_gradient_fails(factor, fails):
    network, images, labels = problem("tiny", 40)
    exact = Network.of(network.layers, network.in_shape)
    loss, _, gradient = exact.gradient(images, labels, cross_entropy, exact.new_caches())
    other = loss / 40, gradient / 40
    check(network, images, labels, other, "a twin")
    largest = np.abs(other[1]).argmax()
    for wrong in ((other[0] * factor, other[1]), (other[0], other[1].copy())):
        wrong[1][largest] *= factor
        if fails:
            with pytest.raises(cli.Failure, match="a twin computes another"):
                check(network, images, labels, wrong, "a twin")
        else:
            check(network, images, labels, wrong, "a twin")


def test_a_turn_is_several_steps():
    done = []
    seconds = turns({name: lambda name=name: done.append(name) for name in "ab"}, 10, 3)
    assert "".join(done) == ("a" * STEPS + "b" * STEPS) * 4
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
