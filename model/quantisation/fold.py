"""Batch normalisation folded away: its constants go into the weights before it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from model.layers.batchnorm import BatchNorm
from model.layers.conv import Depthwise
from model.layers.residual import Residual
from model.net.layer import Layer
from model.net.network import Network
from model.net.weighted import Weighted


def folded(network: Network) -> Network:
    """A net of its own that computes the same outside training, without batch normalisation.

    Behind a convolution or dense layer a normalisation becomes part of its weights and biases; anywhere
    else it becomes a depthwise 1 x 1 convolution of the same name. The other layers keep their names.
    """
    return Network.of(fold(network.layers), network.in_shape, network.dtype)


def fold(layers: Sequence[Layer]) -> list[Layer]:
    """Copies of layers that are built, the normalisations among them folded."""
    result: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Residual):
            result.append(layer.with_branches(*(fold(branch) for branch in layer.layers)))
        elif not isinstance(layer, BatchNorm):
            result.append(copy.copy(layer))
        elif result and isinstance(result[-1], Weighted):
            result[-1] = result[-1].scaled(*layer.line)
        else:
            result.append(alone(layer))
    return result


def alone(norm: BatchNorm) -> Depthwise:
    """A normalisation as a convolution of every channel by itself, with 1 x 1 kernels."""
    layer = Depthwise(1)
    layer.build(norm.name, norm.in_shape, np.random.default_rng(0), norm.dtype)
    scale, shift = norm.line
    layer.params = {"weights": scale.reshape(1, 1, 1, -1), "bias": shift}
    return layer
