"""Residual additions in hardware: the branches keep step whatever their windows, lanes and stalls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hdl.stages.residual
import stream_sim
from hdl.folding.net import Plan, weighted
from hdl.folding.reach import depths, reach_of, window_reach
from hdl.network import Accelerator
from hdl.planning.cost import cost
from hdl.planning.estimate import estimate
from hdl.planning.search import default
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec, RequantSpec, ResidualSpec
from random_nets import INNER, NetDrawer


def answers(net, plan, images, stalls=0.0, seed=0, limit=100_000):
    beats = stream_sim.frames(net, images)
    got, _ = stream_sim.run(Accelerator(net, plan), beats, len(images), stalls, seed, limit=limit, longest=9)
    return np.array([list(answer.logits) for answer in got])


@pytest.mark.parametrize("seed", range(24))
def test_random_nets_equal_the_golden_model(seed):
    drawer = NetDrawer(5000 + seed)
    net = drawer.net(drawer.integer(2, 3), largest=7, inner=("residual",) * 3 + INNER)
    images = drawer.images(net, 4)
    logits = answers(net, drawer.plan(net), images, (0.0, 0.3)[seed % 2], seed)
    np.testing.assert_array_equal(logits, net.logits(images))


U4, S6 = QFormat(4, 2, False), QFormat(6, 3)


def conv(name, shape, kernel, channels, src=U4, dst=U4):
    rng = np.random.default_rng(len(name))
    fmt = QFormat(3, 2)
    geometry = Geometry.resolve(shape, kernel, 1, "same")
    return ConvSpec(
        name=name, in_shape=shape, src=src, dst=dst, weight_format=fmt,
        weights=rng.integers(fmt.min, fmt.max + 1, (*geometry.kernel, shape[2], channels)),
        bias=rng.integers(-20, 20, channels), padding=geometry.padding,
    )  # fmt: skip


SHAPE = (6, 7, 2)


def net_of(body, shortcut, shape=SHAPE):
    add = ResidualSpec(name="add", in_shape=shape, src=U4, dst=S6, body=body, shortcut=shortcut)
    return QNetwork("n", U4, (add,))


DEEP = (conv("c1", SHAPE, 3, 2), conv("c2", SHAPE, (5, 3), 2), conv("c3", SHAPE, 3, 2))
INNER_ADD = ResidualSpec(name="in", in_shape=SHAPE, src=U4, dst=U4, body=DEEP[:2])
NETS = {
    "identity": net_of(DEEP, ()),
    "turned round": net_of((), DEEP),
    "nothing but a sum": net_of((), ()),
    "tail": net_of((conv("c1", SHAPE, (1, 7), 2),), (conv("d1", SHAPE, (6, 1), 2),)),
    "nested": net_of((INNER_ADD, conv("c4", SHAPE, 3, 2)), (conv("d1", SHAPE, 1, 2),)),
    "one pixel": net_of((conv("c1", (1, 1, 3), 1, 3),), (), (1, 1, 3)),
}


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize("name", NETS)
def test_edges(name, stalls):
    net, drawer = NETS[name], NetDrawer(1)
    images = drawer.images(net, 5)
    for plan in (Plan.serial(net), drawer.plan(net)):
        np.testing.assert_array_equal(answers(net, plan, images, stalls), net.logits(images))


def test_a_shallower_fifo_would_hang(monkeypatch):
    """The depth is no larger than it must be, but for what the branch holds at full rate."""
    net = NETS["identity"]
    images = NetDrawer(1).images(net, 2)
    lead = int((reach_of(DEEP, SHAPE) - np.arange(1, 43)).max())

    def room(more):
        monkeypatch.setattr(hdl.stages.residual, "depths", lambda spec: (2, lead + more))
        np.testing.assert_array_equal(
            answers(net, Plan.serial(net), images, limit=20_000), net.logits(images)
        )

    room(1)
    with pytest.raises(AssertionError):
        room(-3)


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 2),
    kernel=st.tuples(*[st.integers(1, 4)] * 2),
    stride=st.tuples(*[st.integers(1, 3)] * 2),
    dilation=st.tuples(*[st.integers(1, 2)] * 2),
)
@settings(max_examples=100, deadline=None)
def test_reach_of_a_window_by_looking(shape, kernel, stride, dilation):
    geometry = Geometry.resolve((*shape, 1), kernel, stride, "same", dilation)
    rows, columns = geometry.positions((*shape, 1))
    (tall, wide), inside = geometry.extent, np.pad(np.ones(shape, int), geometry.padding)
    corners = [(r * stride[0] + tall, c * stride[1] + wide) for r in range(rows) for c in range(columns)]
    # What has passed when a window's bottom right corner has: whole rows above it, and its own up to there.
    passed = [inside[: y - 1].sum() + inside[y - 1, :x].sum() for y, x in corners]
    np.testing.assert_array_equal(window_reach(geometry, (*shape, 1)), passed)


def test_depths_and_costs():
    body, shortcut = depths(NETS["identity"].specs[0])
    assert body < shortcut <= 42 + 32
    dense = DenseSpec(
        name="d", in_shape=SHAPE, src=U4, dst=U4, weight_format=QFormat(2, 0),
        weights=np.ones((84, 3), int), bias=np.zeros(3, int),
    )  # fmt: skip
    assert reach_of((dense,), SHAPE).tolist() == [42]
    assert reach_of((RequantSpec(name="r", in_shape=SHAPE, src=U4, dst=S6),), SHAPE)[-1] == 42
    net = NETS["nested"]
    assert [spec.name for spec in weighted(net)] == ["c1", "c2", "c4", "d1"]
    assert [stage.name for stage in cost(net, default(net))] == ["c1", "c2", "in", "c4", "d1", "add"]
    assert sum(stage.macs for stage in cost(net, default(net))) == net.macs
    budget = estimate(net, default(net))
    assert budget.dsp == default(net).multipliers and budget.lut > 500
