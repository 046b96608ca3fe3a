"""Memory that the layers of a chain use in turn: no derivatives are overwritten before they are read."""

import numpy as np
import pytest

import model.arithmetic.correlation as correlation
import model.arithmetic.pooling as pooling
from model.arithmetic.scratch import LINE, lent
from model.layers import functions, requant
from model.layers.conv import Conv
from model.layers.dense import Dense
from model.layers.functions import Sigmoid
from model.layers.identity import Identity
from model.layers.pool import Pool
from model.layers.requant import ReLU
from model.layers.residual import Residual
from model.net.losses import LOSSES
from model.net.network import Network


def gradients(sizes=(5, 9, 5)):
    """Of batches of several sizes, one after another with the same caches."""
    rng = np.random.default_rng(3)
    body = [Conv(6, 3, padding="same"), Identity(), Sigmoid(), Conv(6, 5, padding="same", dilation=2)]
    layers = [
        *(Conv(6, 3, padding="same"), Identity(), ReLU(), Residual(body, []), Pool("max", 3, 2, 1)),
        *(Conv(24, 3, stride=2, padding=1), Pool("avg", 2), Identity(), Sigmoid(), Dense(4)),
    ]
    network = Network(layers, (12, 12, 2), rng, np.float64)
    caches, loss = network.new_caches(), LOSSES["cross-entropy"]
    batches = [(rng.random((n, 12, 12, 2)), rng.integers(0, 4, n)) for n in sizes]
    return [network.gradient(images, labels, loss, caches)[2].copy() for images, labels in batches]


def patch(monkeypatch, function):
    for module in (correlation, pooling, functions, requant):
        monkeypatch.setattr(module, "lent", function)


def test_gradients_are_those_of_private_memory(monkeypatch):
    ours = gradients()
    patch(monkeypatch, lambda cache, shape, dtype, *used: np.full(shape, np.nan, dtype))
    assert all(map(np.array_equal, ours, gradients()))


def test_memory_lent_twice_is_noticed(monkeypatch):
    ours = gradients()
    patch(monkeypatch, lambda cache, shape, dtype, *used: lent(cache, shape, dtype))
    assert not any(map(np.array_equal, ours, gradients()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_piece_in_use_is_not_lent_and_a_small_one_grows(dtype):
    cache = {}
    first = lent(cache, (2, 3), dtype)
    second = lent(cache, (5, 7), dtype, first[1:])
    assert not np.may_share_memory(first, second)
    assert np.may_share_memory(lent(cache, (2, 2), dtype, second), first)
    grown = lent(cache, (40, 50), dtype, second)
    assert grown.shape == (40, 50) and grown.dtype == dtype and grown.ctypes.data % LINE == 0
    assert not np.may_share_memory(grown, first) and len(cache["lent"]) == 2
