"""Dilated, grouped and depthwise convolutions on their way from a float net to an artifact."""

import json

import numpy as np
import pytest

from model.arithmetic.geometry import Geometry
from model.files import artifact
from model.layers import Conv, Dense, Depthwise, Pool, ReLU
from model.net.network import Network
from model.quantisation.quantise import quantise
from model.quantisation.widths import Widths

NETS = {
    "plain": [Conv(4, 3), ReLU(), Dense(3)],
    "dilated": [Conv(4, 3, dilation=(2, 3)), ReLU(), Dense(3)],
    "grouped": [Conv(4, 3), ReLU(), Conv(6, 3, groups=2), ReLU(), Dense(3)],
    "depthwise": [Depthwise(3, 1, "same", multiplier=2), ReLU(), Conv(3, 1), ReLU(), Dense(3)],
    "by pixel": [Conv(4, 3, bias="pixel"), Pool("max", 2), ReLU(), Dense(3)],
    "no bias": [Conv(4, 3, bias=None), ReLU(), Dense(3)],
}
FORMATS = {"plain": 1, "no bias": 1}
"""Artifact formats; the others need the second."""


def make(layers, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    network = Network(layers, (9, 10, 2), rng, dtype)
    network.vector += rng.normal(0, 0.1, network.params).astype(dtype)
    return network, rng.integers(0, 256, (40, 9, 10, 2)).astype(np.uint8)


@pytest.mark.parametrize("name", NETS)
def test_wide_integers_are_close_to_the_floats(name):
    network, images = make(NETS[name])
    net = quantise(network, images, Widths(16), Widths(16))
    logits = net.output_format.real(net.logits(images))
    np.testing.assert_allclose(logits, network.logits(images), atol=2e-3)
    assert net.macs == network.macs
    if name != "no bias":
        assert net.params == network.params


@pytest.mark.parametrize("name", NETS)
def test_artifacts(name, tmp_path):
    network, images = make(NETS[name])
    net = quantise(network, images, scales="tensor")
    artifact.save(tmp_path / "net.npz", net)
    with np.load(tmp_path / "net.npz") as arrays:
        description = json.loads(bytes(arrays["net.json"]))
    assert description["format"] == FORMATS.get(name, 2)
    assert all(("groups" in layer) == (layer["kind"] == "conv" and name not in FORMATS)
               for layer in description["layers"])  # fmt: skip
    again = artifact.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.logits(images), net.logits(images))


def relabelled(path, change):
    with np.load(path) as arrays:
        arrays = dict(arrays)
    description = json.loads(bytes(arrays["net.json"]))
    change(description)
    arrays["net.json"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize("name", [name for name in NETS if name not in FORMATS])
def test_the_first_format_holds_none_of_them(name, tmp_path):
    network, images = make(NETS[name])
    artifact.save(tmp_path / "net.npz", quantise(network, images))
    relabelled(tmp_path / "net.npz", lambda d: d.update(format=1))
    with pytest.raises(ValueError, match=r"unknown field '(groups|dilation)'"):
        artifact.load(tmp_path / "net.npz")

    def forget(description):
        for layer in description["layers"]:
            layer.pop("groups", None), layer.pop("dilation", None)

    relabelled(tmp_path / "net.npz", forget)
    # What is left is another net, and whatever is wrong with it is told; nothing wrong is a dilation of 1.
    with pytest.raises(ValueError, match=r"net\.npz: layer"):
        artifact.load(tmp_path / "net.npz")


@pytest.mark.parametrize("name", [name for name in NETS if name in FORMATS])
def test_shipped_and_plain_nets_keep_their_bytes(name, tmp_path):
    network, images = make(NETS[name])
    for net in (quantise(network, images), artifact.load("lenet")):
        artifact.save(tmp_path / "a.npz", net)
        artifact.save(tmp_path / "b.npz", artifact.load(tmp_path / "a.npz"))
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("name", artifact.names())
def test_shipped_nets_are_written_as_they_stand(name, tmp_path):
    artifact.save(tmp_path / "net.npz", artifact.load(name))
    with np.load(tmp_path / "net.npz") as ours, np.load(artifact.find(name)) as shipped:
        assert ours.files == shipped.files
        for key in ours.files:
            assert ours[key].dtype == shipped[key].dtype and (ours[key] == shipped[key]).all()


def test_one_thread_or_two_and_chunks_alike():
    """The engine's arrays are reused from chunk to chunk, also of other sizes."""
    network, images = make([Conv(4, 3, 2, 2, dilation=(3, 2), groups=2, bias="pixel"), Dense(3)])
    whole = network.logits(images)
    for start in (0, 7, 33):
        np.testing.assert_allclose(network.logits(images[start:]), whole[start:], rtol=1e-5, atol=1e-6)


def test_dilated_padding_and_sizes():
    geometry = Geometry.resolve((9, 9, 1), 3, 2, "same", 3)
    assert geometry.extent == (7, 7) and geometry.positions((9, 9, 1)) == (5, 5)
    assert Geometry.resolve((9, 9, 1), 3, 1, 6, 3).padding == ((6, 6), (6, 6))
    with pytest.raises(ValueError, match="between 0 and 6"):
        Geometry.resolve((9, 9, 1), 3, 1, 7, 3)
    with pytest.raises(ValueError, match="dilation is one whole number"):
        Geometry.resolve((9, 9, 1), 3, 1, 1, 1.5)
