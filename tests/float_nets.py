"""Float nets with random layers, parameters and formats, and all that they and their integers compute."""

from __future__ import annotations

import numpy as np
from hypothesis import reject

from model.arithmetic.chunks import CHUNK
from model.layers import (
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Function,
    Grey,
    Identity,
    LeakyReLU,
    Pool,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from model.net.network import Network
from model.quantisation.build import build
from model.quantisation.rounded import Rounded
from model.quantisation.scheme import calibrate
from model.quantisation.widths import Widths


def activation(rng):
    makers = (
        ReLU, Sigmoid, Tanh, LeakyReLU, Identity, lambda: Dropout(0.3),
        lambda: Function("square", lambda x: x * x, lambda x: 2 * x),
    )  # fmt: skip
    return makers[rng.integers(len(makers))]()


def body(rng, channels, depth=0):
    """A few layers that keep the image's size, and their channels in the end."""
    kinds, layers = int(rng.integers(4 - depth)), []
    if kinds == 3:
        inner, _ = body(rng, channels, 1)
        shortcut = ([], [Conv(channels, 1)])[rng.integers(2)]
        layers = [Residual(inner, shortcut)]
    elif kinds == 2:
        layers = [Depthwise((1, 3), 1, "same")]
    else:
        channels = channels if depth else int(rng.integers(1, 5))
        bias = ("channel", "pixel", None)[rng.integers(3)]
        layers = [Conv(channels, (3, 2), 1, "same", bias=bias)]
    if rng.integers(3):
        layers.append(activation(rng))
    return layers, channels


def drawn(seed, dtype=np.float32):
    """A net with random parameters, a scheme of random widths, and images."""
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([1, 3]))
    layers, shape = ([Grey()] if channels == 3 and rng.integers(2) else []), (6, 7, channels)
    channels = 1 if layers else channels
    for _ in range(rng.integers(1, 4)):
        more, channels = body(rng, channels)
        layers += more
        mode = ("max", "avg", "sum", "none", "none")[rng.integers(5)]
        if mode != "none":
            layers.append(Pool(mode, tuple(rng.integers(1, 4, 2).tolist()), 1, "same"))
    layers += [[Dense(3)], [Dense(3), Softmax()], [], [Pool("avg", 2)]][rng.integers(4)]
    network = Network(layers, shape, rng, dtype)
    network.vector += rng.normal(0, 0.3, network.params).astype(dtype)
    images = rng.integers(0, 256, (CHUNK + 3, *shape)).astype(np.uint8)
    bits = [Widths(int(bits)) for bits in rng.choice([1, 2, 3, 4, 5, 8, 11, 14], 2)]
    scheme = calibrate(network, images, *bits, ("channel", "tensor")[rng.integers(2)])
    try:
        build(network, scheme)
    except ValueError as error:
        # averages of sums that stay exact may be too wide, which is told
        assert "averages of" in str(error) and "need more than 64 bits" in str(error)
        reject()
    return network, scheme, images


def reals(net, images):
    """Real values that the integers of each layer stand for, by its name, those in branches included."""
    found = {}

    def run(specs, x):
        for spec in specs:
            ends = [run(branch, x) for branch in spec.branches]
            x = spec.run(x)
            found[spec.name] = spec.dst.real(x)
            assert all(len(end) == len(x) for end in ends)
        return x

    run(net.specs, images)
    return found


def values(network, images):
    """Every layer's output, by its name, those in branches included."""
    found = {}

    def run(layers, x):
        for layer in layers:
            inner = layer.inner if isinstance(layer, Rounded) else layer
            if isinstance(inner, Residual):
                for branch in inner.layers:
                    run(branch, x)
            x = layer.forward(x, {})
            found[layer.name] = x.transpose(3, 0, 2, 1)
        return x

    run(network.layers, (images / 256).astype(network.dtype).transpose(1, 3, 2, 0))
    return found
