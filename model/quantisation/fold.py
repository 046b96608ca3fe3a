"""Layers folded away: the constants of batch normalisation go into the weights before it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from model.layers.batchnorm import BatchNorm
from model.layers.conv import Depthwise
from model.layers.functions import LeakyReLU
from model.layers.identity import Identity
from model.layers.requant import ReLU
from model.layers.residual import Residual
from model.net.layer import Layer
from model.net.network import Network
from model.net.weighted import Weighted

STRAIGHT = {0.0: ReLU, 1.0: Identity}
"""What a leaky ReLU is, by its slope."""


def folded(network: Network) -> Network:
    """A net of its own that computes the same outside training, without batch normalisation.

    Behind a convolution or dense layer a normalisation becomes part of its weights and biases; anywhere
    else it becomes a depthwise 1 x 1 convolution of the same name. A leaky ReLU of slope 0 or 1 becomes what
    it is, which needs no table. All layers keep their names.
    """
    return Network.of(fold(network.layers), network.in_shape, network.dtype)


def fold(layers: Sequence[Layer]) -> list[Layer]:
    """Copies of layers that are built, the normalisations among them folded."""
    result: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Residual):
            result.append(layer.with_branches(*(fold(branch) for branch in layer.layers)))
        elif isinstance(layer, LeakyReLU) and layer.slope in STRAIGHT and layer.index is None:
            result.append(renewed(STRAIGHT[layer.slope](), layer))
        elif not isinstance(layer, BatchNorm):
            result.append(copy.copy(layer))
        elif result and isinstance(result[-1], Weighted):
            result[-1] = result[-1].scaled(*layer.line)
        else:
            result.append(alone(layer))
    return result


def renewed(layer: Layer, place: Layer) -> Layer:
    """A layer in the place of another one."""
    layer.build(place.name, place.in_shape, np.random.default_rng(0), place.dtype)
    return layer


def alone(norm: BatchNorm) -> Depthwise:
    """A normalisation as a convolution of every channel by itself, with 1 x 1 kernels."""
    layer = renewed(Depthwise(1), norm)
    scale, shift = norm.line
    layer.params = {"weights": scale.reshape(1, 1, 1, -1), "bias": shift}
    return layer
