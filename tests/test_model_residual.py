"""Residual additions: in floats, in integers and in artifacts."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from gradients import differences, relative_error
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.layers import (
    Conv,
    Dense,
    Dropout,
    Grey,
    Pool,
    PoolSpec,
    ReLU,
    RequantSpec,
    Residual,
    ResidualSpec,
    Softmax,
)
from model.net.losses import cross_entropy
from model.net.network import Network
from naive import requant
from random_nets import NetDrawer

U4, S6 = QFormat(4, 2, False), QFormat(6, 3)


def requanted(name, src, dst, shape=(2, 3, 2)):
    return RequantSpec(name=name, in_shape=shape, src=src, dst=dst)


def addition(body, shortcut, dst, src=U4, shape=(2, 3, 2)):
    return ResidualSpec(name="add", in_shape=shape, src=src, dst=dst, body=body, shortcut=shortcut)


@pytest.mark.parametrize("seed", range(30))
def test_integers_against_fractions(seed):
    drawer = NetDrawer(seed)
    src, first, second, dst = (drawer.format(2, 7) for _ in range(4))
    body = (requanted("a", src, first),)
    shortcut = (requanted("b", src, second),) if seed % 3 else ()
    spec = addition(body, shortcut, dst, src)
    x = drawer.values(src, (4, 2, 3, 2))
    sums = [
        Fraction(int(a)) / Fraction(2) ** first.frac
        + (Fraction(int(b)) / Fraction(2) ** (second.frac if shortcut else src.frac))
        for a, b in zip(body[0].run(x).flat, (shortcut[0].run(x) if shortcut else x).flat)
    ]
    expected = [requant(value, 0, dst.width, dst.frac, dst.signed) for value in sums]
    np.testing.assert_array_equal(spec.run(x).ravel(), expected)
    low, high = spec.sum_format.min, spec.sum_format.max
    assert all(low <= value * Fraction(2) ** spec.sum_format.frac <= high for value in sums)


def test_sum_format_is_not_wider_than_the_sums():
    assert addition((requanted("a", U4, S6),), (), S6).sum_format == QFormat(7, 3)
    assert addition((), (), S6).sum_format == QFormat(6, 2)


def test_misfits_name_the_layer():
    pool = PoolSpec(name="p", in_shape=(2, 3, 2), src=U4, dst=U4, mode="max", kernel=(2, 2), stride=(1, 1))
    with pytest.raises(ValueError, match=r"layer 'add': branches of \(1, 2, 2\) and \(2, 3, 2\)"):
        addition((pool,), (), S6)
    with pytest.raises(ValueError, match=r"layer 'b': takes s6\.3 values, but is given u4\.2"):
        addition((requanted("b", S6, U4),), (), S6)
    with pytest.raises(ValueError, match="layer 'a': another layer has the same name"):
        QNetwork("n", U4, (addition((requanted("a", U4, S6),), (requanted("a", U4, S6),), S6),))
    with pytest.raises(ValueError, match=r"layer 'add': .*too wide"):
        addition((requanted("a", QFormat(4, 0), QFormat(62, 0)),), (), S6, QFormat(4, 0))


def nested():
    inner = ResidualSpec(
        name="inner", in_shape=(2, 3, 2), src=U4, dst=S6, body=(requanted("c", U4, S6),), shortcut=()
    )
    return QNetwork("nested", U4, (addition((inner, requanted("d", S6, U4)), (), S6),))


def test_artifacts(tmp_path):
    net = nested()
    assert [spec.name for spec in walk(net.specs)] == ["add", "inner", "c", "d"]
    artifact.save(tmp_path / "net.npz", net)
    again = artifact.load(tmp_path / "net.npz")
    images = NetDrawer(0).images(net, 5)
    np.testing.assert_array_equal(again.logits(images), net.logits(images))
    with np.load(tmp_path / "net.npz") as arrays:
        description = json.loads(bytes(arrays["net.json"]))
    assert description["format"] == 3

    def reject(change, message):
        changed = json.loads(json.dumps(description))
        change(changed)
        np.savez(tmp_path / "bad.npz", **{"net.json": np.frombuffer(json.dumps(changed).encode(), np.uint8)})
        with pytest.raises(ValueError, match=message):
            artifact.load(tmp_path / "bad.npz")

    reject(lambda d: d.update(format=2), "layer 'inner': such a layer needs artifact format 3")
    reject(lambda d: d["layers"][0]["body"][0].update(kind="sum"), "layer 0/body/0 is of the unknown kind")
    reject(lambda d: d["layers"][0].update(body=[[]]), "damaged")
    reject(lambda d: d["layers"][0].update(body=3), "damaged")


def test_layers_see_the_same_input_and_keep_their_names():
    rng = np.random.default_rng(0)
    body = [Conv(3, 3, 1, "same"), ReLU(), Residual([Conv(3, 1)]), Dropout(0.5)]
    network = Network([Conv(3, 1), Residual(body, [Conv(3, 1)]), Dense(2)], (4, 4, 1), rng)
    assert list(network.chain.params)[2:-2] == [
        "residual1.residual1_conv1.weights",
        "residual1.residual1_conv1.bias",
        "residual1.residual1_residual1.residual1_residual1_conv1.weights",
        "residual1.residual1_residual1.residual1_residual1_conv1.bias",
        "residual1.residual1_conv2.weights",
        "residual1.residual1_conv2.bias",
    ]
    network.vector[:] = 0
    assert not body[0].params["weights"].any()
    assert network.macs == 16 * (3 + 81 + 9 + 9) + 96


@pytest.mark.parametrize(
    "layer, problem",
    [
        (lambda: Residual([Conv(2, 3)]), r"layer 'residual1': its body makes \(2, 2, 2\)"),
        (lambda: Residual([Conv(1, 5)]), "^layer 'residual1_conv1': a window of 5 x 5"),
        (lambda: Residual([Grey()]), "layer 'residual1': a branch cannot hold a layer of the kind 'grey'"),
        (lambda: Residual([ReLU(), Softmax()]), "a branch cannot hold .*'softmax'"),
        (lambda: Residual([]), "at least one layer in its body"),
    ],
)
def test_networks_refuse(layer, problem):
    with pytest.raises(ValueError, match=problem):
        Network([layer()], (4, 4, 1), np.random.default_rng(0))


def test_gradient_of_a_net_with_branches():
    rng = np.random.default_rng(1)
    body = [Conv(3, 3, 2, "same"), ReLU(), Conv(3, 3, 1, "same")]
    layers = [Residual([Conv(2, 1)]), Residual(body, [Conv(3, 1, 2)]), ReLU(), Pool("avg", 2), Dense(3)]
    network = Network(layers, (5, 6, 2), rng, np.float64)
    images, labels = rng.integers(0, 256, (5, 5, 6, 2)), rng.integers(0, 3, 5)
    caches = network.new_caches()
    _, _, gradient = network.gradient(images, labels, cross_entropy, caches)
    numerical = differences(
        lambda: network.gradient(images, labels, cross_entropy, caches)[0], network.vector
    )
    assert relative_error(gradient, numerical) < 1e-6


def test_the_rounding_happens_once():
    """A mutant that rounds each branch before the addition gives another answer."""
    coarse = QFormat(6, 0)
    once = addition((requanted("a", U4, S6),), (), coarse)
    early = replace(once, body=(requanted("a", U4, coarse),), shortcut=(requanted("b", U4, coarse),))
    x = NetDrawer(0).values(U4, (4, 2, 3, 2))
    assert (once.run(x) != early.run(x)).any()
