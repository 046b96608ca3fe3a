"""Nets and plans drawn by Hypothesis: the accelerator puts out the golden model's every value."""

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import stream_sim
from drawn_nets import DrawnNets
from hdl.network import Accelerator
from model.qchain import walk
from sim.accelerator import Unloaded

IMAGES = 3
DRAWN = dict(
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def check(data):
    """Draws a net and a plan and compares all answers, with stalls on both sides."""
    drawer = DrawnNets(data.draw)
    net, plan = drawer.drawn()
    for spec in walk(net.specs):
        event(spec.kind)
    event(f"weights {plan.weights}")
    images = drawer.images(net, IMAGES)
    accelerator = Accelerator(net, plan)
    stalls = drawer.integer(0, 4) / 10, drawer.integer(0, 4) / 10
    got, _ = stream_sim.run(
        Unloaded(accelerator) if plan.loadable else accelerator,
        stream_sim.frames(net, images),
        IMAGES,
        stalls,
        seed=drawer.integer(0, 1000),
        limit=200_000,
        longest=(1, 4, 60)[drawer.integer(0, 2)],
    )
    logits = np.array([list(answer.logits) for answer in got])
    np.testing.assert_array_equal(logits, net.logits(images))
    np.testing.assert_array_equal([answer.cls for answer in got], net.classify(images))


@settings(max_examples=40, **DRAWN)
@given(st.data())
def test_drawn_nets_equal_the_golden_model(data):
    check(data)


@pytest.mark.slow
@settings(max_examples=300, **DRAWN)
@given(st.data())
def test_many_drawn_nets_equal_the_golden_model(data):
    check(data)
