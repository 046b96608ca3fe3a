"""The whole accelerator against the golden model, over nets, plans and stalls."""

import numpy as np
import pytest

import stream_sim
from hdl.network import Accelerator
from random_nets import NetDrawer


def answers(net, plan, images, stalls=0.0, seed=0):
    """Classes and logits that the hardware gives."""
    beats = stream_sim.frames(net, images)
    got, _ = stream_sim.run(Accelerator(net, plan), beats, len(images), stalls, seed, limit=100_000)
    return np.array([answer.cls for answer in got]), np.array([list(answer.logits) for answer in got])


@pytest.mark.parametrize("seed", range(40))
def test_random_net_equals_golden_model(seed):
    drawer = NetDrawer(seed)
    net = drawer.net(drawer.integer(1, 5), largest=7)
    images = drawer.images(net, 3)
    classes, logits = answers(net, drawer.plan(net), images, stalls=(0.0, 0.3)[seed % 2], seed=seed)
    np.testing.assert_array_equal(logits, net.logits(images))
    np.testing.assert_array_equal(classes, net.classify(images))
