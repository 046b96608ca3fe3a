"""Layers that prepare images: the same integers in training, quantised and from a file; exact division."""

from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idx import write_dataset
from model import train
from model.arithmetic.division import reciprocal
from model.files import artifact
from model.layers import Conv, Dense, Grey, Pool, Reduce, ReLU
from model.net.losses import LOSSES
from model.net.network import Network
from model.quantisation.quantise import quantise


def prepared(classes: int):
    return [Grey("luminosity"), Reduce(2), Conv(3, 3), ReLU(), Pool("max", 2), Dense(classes)]


@pytest.fixture
def network():
    return Network(prepared(4), (10, 12, 3), np.random.default_rng(1))


@pytest.fixture
def images():
    return np.random.default_rng(2).integers(0, 256, (40, 10, 12, 3)).astype(np.uint8)


def test_quantising_changes_nothing(network, images, tmp_path):
    net = quantise(network, images)
    assert [spec.kind for spec in net.specs] == ["grey", "reduce", "conv", "pool", "dense"]
    floats, integers = network.trace(images), net.trace(images)
    for index in range(2):
        np.testing.assert_array_equal(floats[index] * 256, integers[index])
    artifact.save(tmp_path / "net.npz", net)
    again = artifact.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.logits(images), net.logits(images))
    for before, after in zip(net.specs[:2], again.specs):
        assert before.divisor == after.divisor and before.weights.tolist() == after.weights.tolist()


def test_float64_and_real_pixels_give_the_same_integers(network, images):
    wide = Network(prepared(4), (10, 12, 3), np.random.default_rng(1), np.float64)
    levels = [trace[1] for trace in (network.trace(images), wide.trace(images), network.trace(images / 256))]
    assert [level.dtype for level in levels] == [np.float32, np.float64, np.float32]
    for level in levels[1:]:
        np.testing.assert_array_equal(level, levels[0])
    # Between two pixels the nearer one counts, and no value leaves 0..255.
    odd = np.array([-1, -0.1, 0.4, 0.5, 254.6, 999]).reshape(6, 1, 1, 1) / 256
    one = Network([Reduce(1)], (1, 1, 1), np.random.default_rng(0), np.float64)
    np.testing.assert_array_equal(one.trace(odd)[0].ravel() * 256, [0, 0, 0, 1, 255, 255])


def test_gradients_are_those_of_the_prepared_images(network, images):
    labels = np.arange(len(images)) % 4
    rest = Network(prepared(4)[2:], (5, 6, 1), np.random.default_rng(1))
    rest.vector[:] = network.vector
    small = (network.trace(images)[1] * 256).astype(np.uint8)
    results = [
        net.gradient(x[:32], labels[:32], LOSSES["cross-entropy"], net.new_caches())
        for net, x in ((network, images), (rest, small))
    ]
    assert results[0][:2] == results[1][:2]
    np.testing.assert_array_equal(results[0][2], results[1][2])


@pytest.mark.parametrize(
    "layers, name",
    [([Conv(3, 1), Grey()], "grey1"), ([Reduce(1), ReLU(), Reduce(1)], "reduce2")],
)
def test_they_stand_before_all_others(layers, name):
    with pytest.raises(ValueError, match=f"layer '{name}': it prepares images, and stands before"):
        Network(layers, (4, 4, 3), np.random.default_rng(0))


def test_the_command_trains_them(tmp_path):
    """A data set of colour images, and a net of the user's own."""
    (tmp_path / "prepared.toml").write_text(
        """
        layers = [
          {grey = "luminosity"}, {reduce = 2}, {conv = 3, kernel = 3}, "relu", {pool = "max", kernel = 2},
          {dense = "classes"},
        ]
        recipe = {epochs = 6, batch = 8, averaging = 0.9}
        """
    )
    data = write_dataset(tmp_path / "data", (10, 12, 3), classes=4, count=200)
    out = tmp_path / "net.npz"
    train.main([str(tmp_path / "prepared.toml"), "--data", str(data), "--out", str(out)])
    net = artifact.load(out)
    assert [spec.kind for spec in net.specs][:2] == ["grey", "reduce"]
    assert net.metadata["accuracy"]["quantised"] > 0.9


@given(
    low=st.integers(-3000, 3000),
    span=st.integers(0, 3000),
    numerator=st.integers(1, 9),
    divisor=st.integers(1, 400),
    addend=st.integers(0, 400),
)
@settings(max_examples=100, deadline=None)
def test_division_is_exact(low, span, numerator, divisor, addend):
    factor, constant, shift = reciprocal(low, low + span, numerator, divisor, addend)
    numbers = np.arange(low, low + span + 1)
    np.testing.assert_array_equal(
        (numbers * factor + constant) >> shift, (numbers * numerator + addend) // divisor
    )


def test_a_smaller_reciprocal_is_wrong():
    """Every sum of the luminosity: one bit less, and some quotient is off by one."""
    sums = np.arange(25501)
    factor, constant, shift = reciprocal(0, 25500, 1, 100, 0)
    assert constant == 0
    np.testing.assert_array_equal(sums * factor >> shift, [floor(n / 100) for n in sums.tolist()])
    less = -(-(1 << (shift - 1)) // 100)
    assert (sums * less >> (shift - 1) != sums // 100).any()
