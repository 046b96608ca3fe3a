"""The whole accelerator against the golden model, over nets, plans and stalls."""

from dataclasses import replace

import numpy as np
import pytest

import stream_sim
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from hdl.network import Accelerator
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec, PoolSpec, RequantSpec, TableSpec
from random_nets import NetDrawer
from sim.simulators.verilog import emit


def answers(net, plan, images, stalls=0.0, seed=0, longest=1):
    """Classes and logits that the hardware gives."""
    beats = stream_sim.frames(net, images)
    got, _ = stream_sim.run(
        Accelerator(net, plan), beats, len(images), stalls, seed, limit=100_000, longest=longest
    )
    return np.array([answer.cls for answer in got]), np.array([list(answer.logits) for answer in got])


@pytest.mark.parametrize("seed", range(40))
def test_random_net_equals_golden_model(seed):
    drawer = NetDrawer(seed)
    net = drawer.net(drawer.integer(1, 5), largest=7)
    images = drawer.images(net, 3)
    classes, logits = answers(net, drawer.plan(net), images, stalls=(0.0, 0.3)[seed % 2], seed=seed)
    np.testing.assert_array_equal(logits, net.logits(images))
    np.testing.assert_array_equal(classes, net.classify(images))


@pytest.mark.parametrize("seed", range(8))
def test_long_stalls_fill_every_buffer(seed):
    drawer = NetDrawer(1000 + seed)
    net = drawer.net(3, largest=5)
    images = drawer.images(net, 6)
    _, logits = answers(net, drawer.plan(net), images, ((0.0, 0.3), (0.05, 0.3))[seed % 2], seed, longest=400)
    np.testing.assert_array_equal(logits, net.logits(images))


U8 = QFormat(8, 0, False)
S3, WIDE = QFormat(3, 0), QFormat(12, 0)
RNG = np.random.default_rng(0)


def weighted(kind, shape, weights_shape, dst=None, weight_format=S3, name="w", **fields):
    weights = RNG.integers(weight_format.min, weight_format.max + 1, weights_shape)
    fields.update(name=name, in_shape=shape, src=U8, weights=weights, weight_format=weight_format)
    fields.update(bias=RNG.integers(-9, 9, weights_shape[-1]))
    return kind(**fields, dst=dst or kind(**fields, dst=U8).accumulator)


def pool(shape, mode, kernel, src=U8, dst=None, **fields):
    fields.update(kernel=kernel, stride=kernel)
    return PoolSpec(name="p", in_shape=shape, src=src, dst=dst or src, mode=mode, **fields)


EDGES = {
    "nothing to do": RequantSpec(name="r", in_shape=(2, 2, 1), src=U8, dst=U8),
    "all is rounded away": RequantSpec(name="r", in_shape=(2, 2, 1), src=U8, dst=QFormat(4, -70)),
    "left shift": weighted(DenseSpec, (2, 2, 1), (4, 3), QFormat(4, 40)),
    "one pixel, one class": weighted(DenseSpec, (1, 1, 1), (1, 1)),
    "one class of many pixels": weighted(DenseSpec, (3, 2, 2), (12, 1)),
    "pool of one pixel": pool((4, 3, 2), "max", (1, 1)),
    "wide average": pool((3, 6, 1), "avg", (3, 3), QFormat(20, 0), QFormat(20, 3)),
    "twelve-bit table": TableSpec(
        name="t", in_shape=(1, 2, 1), src=WIDE, dst=WIDE, function="f", table=RNG.permutation(4096) - 2048
    ),
    "kernel larger than the image": weighted(
        ConvSpec, (1, 2, 1), (3, 5, 1, 2), QFormat(8, 0), padding=((1, 1), (2, 2))
    ),
    "image one pixel wide": weighted(ConvSpec, (5, 1, 1), (3, 1, 1, 2)),
    "binary weights": weighted(ConvSpec, (3, 3, 1), (2, 2, 1, 3), None, QFormat(1, 0)),
    "unsigned weights": weighted(ConvSpec, (3, 3, 2), (2, 2, 2, 3), None, QFormat(8, 0, False)),
    "no weights": weighted(DenseSpec, (2, 2, 1), (4, 3), None, QFormat(1, 0, False)),
    "a name of the accelerator's own": weighted(DenseSpec, (1, 1, 2), (2, 2), name="logits"),
    "a name that is no identifier": weighted(DenseSpec, (1, 1, 2), (2, 2), name="conv 1/é"),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges(edge):
    spec = EDGES[edge]
    net = QNetwork("edge", spec.src, (spec,))
    images = NetDrawer(0).images(net, 4)
    images[:2] = np.array([spec.src.min, spec.src.max])[:, None, None, None]
    classes, logits = answers(net, Plan.serial(net), images, 0.2)
    np.testing.assert_array_equal(logits, net.logits(images))
    np.testing.assert_array_equal(classes, net.classify(images))


def test_layers_work_ahead():
    """Two layers share multipliers, and the one between them never waits for what they owe it."""
    first = weighted(ConvSpec, (14, 14, 1), (3, 3, 1, 3), QFormat(8, 0, False), name="a")
    second = weighted(ConvSpec, (6, 6, 3), (3, 3, 3, 6), QFormat(8, 0, False), name="b")
    last = weighted(DenseSpec, (4, 4, 6), (96, 4), name="c")
    net = QNetwork("hours", U8, (first, pool((12, 12, 3), "max", (2, 2)), second, last))
    plan = Plan({"a": StagePlan(9, 1, "m"), "b": StagePlan(5, 1), "c": StagePlan(3, 1, "m")})
    images = NetDrawer(0).images(net, 5)
    got, cycles = stream_sim.run(Accelerator(net, plan), stream_sim.frames(net, images), 5, 0.0, 0, 100_000)
    np.testing.assert_array_equal([list(answer.logits) for answer in got], net.logits(images))
    # Of the shared multipliers 560 cycles, and of its own 576.
    assert cycles[-1] - cycles[-2] == plan.folding(second).cycles == 576


def test_any_name_becomes_verilog():
    spec = replace(EDGES["a name that is no identifier"], dst=U8)
    net = QNetwork("edge", U8, (spec, replace(spec, name="conv_1_é")))
    assert "module top(" in emit(Accelerator(net, Plan.serial(net)))


def test_a_wrong_weight_is_seen():
    spec = EDGES["unsigned weights"]
    net = QNetwork("right", U8, (spec,))
    weights = spec.weights.copy()
    weights[1, 1, 1, 2] ^= 1
    wrong = QNetwork("wrong", U8, (replace(spec, weights=weights),))
    images = NetDrawer(0).images(net, 2)
    _, logits = answers(wrong, Plan.serial(wrong), images)
    assert not np.array_equal(logits, net.logits(images))
