"""Float nets of narrow widths, with scales by channel, quantised and run in hardware."""

import numpy as np
import pytest

import stream_sim
from hdl.network import Accelerator
from model.layers import Conv, Dense, Depthwise, Pool, ReLU, Residual, Sigmoid
from model.net.network import Network
from model.quantisation.quantise import quantise
from model.quantisation.widths import Widths
from random_nets import NetDrawer


def layers():
    return [
        Conv(4, 3, 1, "same"), Pool("max", 2), ReLU(),
        Residual([Conv(4, 3, 1, "same"), ReLU(), Depthwise(3, 1, "same")]), ReLU(),
        Conv(6, 2), Sigmoid(), Pool("avg", (1, 2)), Dense(5),
    ]  # fmt: skip


@pytest.mark.parametrize("weights, activations", [(1, 4), (2, 1), (4, 3)])
def test_integers_of_floats(weights, activations):
    drawer = NetDrawer(weights * 16 + activations)
    network = Network(layers(), (6, 8, 3), drawer.rng)
    network.vector *= drawer.rng.uniform(0.5, 2, network.params).astype(np.float32)
    for layer in network.layers:
        if layer.weighted:  # channels that want scales of their own
            layer.params["weights"] *= 2.0 ** drawer.rng.integers(-2, 3, layer.channels)
    images = drawer.rng.integers(0, 256, (20, 6, 8, 3)).astype(np.uint8)
    net = quantise(network, images, Widths(weights), Widths(activations))
    assert any(spec.shifts.any() for spec in net.specs if hasattr(spec, "weights"))
    beats = stream_sim.frames(net, images[:2])
    got, _ = stream_sim.run(Accelerator(net, drawer.plan(net)), beats, 2, 0.1, limit=100_000)
    assert [list(answer.logits) for answer in got] == net.logits(images[:2]).tolist()
