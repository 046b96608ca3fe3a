"""The trained nets that ship give exactly what they say."""

import numpy as np
import pytest

from model.files import artifact, dataset
from model.training.nets import NETS

LEAST = {"lecture": 9790, "lenet": 9890, "tiny": 9890, "large": 9940, "record": 9900}
"""Of 10,000 test images, in integers."""


@pytest.fixture(scope="module")
def test_set():
    return dataset.load_part("t10k")[:2]


def test_names():
    assert set(artifact.names()) == LEAST.keys() == NETS.keys()


@pytest.mark.parametrize("name", artifact.names())
def test_accuracy_is_the_metadatas(name, test_set):
    net = artifact.load(name)
    images, labels = test_set
    correct = int(np.count_nonzero(net.classify(images) == labels))
    accuracy = net.metadata["accuracy"]
    assert accuracy["correct"] == correct >= LEAST[name]
    assert accuracy["images"] == len(images) == 10_000
    assert accuracy["quantised"] == correct / len(images)


@pytest.mark.parametrize("name", LEAST)
def test_what_ships(name):
    net = artifact.load(name)
    described = NETS[name].network(net.in_shape, net.outputs, np.random.default_rng(0))
    assert (net.name, net.params, net.macs) == (name, described.params, described.macs)
    assert net.in_shape == (28, 28, 1) and net.metadata["classes"] == list("0123456789")
    assert net.metadata["command"] == f"python -m model.train {name}"
    assert net.metadata["dataset"] == "MNIST"
    text = (artifact.ZOO / "README.md").read_text(encoding="utf-8")
    assert f"`{net.metadata['command']}`" in text
    assert f"{net.metadata['accuracy']['correct']:,} of 10,000" in text
