"""What calibration decides: the formats of every layer, as a value that integers and training share."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.arithmetic.chunks import CHUNK
from model.arithmetic.grid import Grid
from model.arithmetic.qformat import PIXELS, QFormat
from model.arithmetic.scale import FINEST, best_format
from model.layers.batchnorm import BatchNorm
from model.layers.residual import Residual
from model.net.chain import flow
from model.net.layer import Activation, Layer
from model.net.network import Network
from model.quantisation.widths import MAX_WIDTH, Widths

SAMPLES = 200_000
"""Values of a layer's output that a format is chosen by."""
MANTISSA = 24
"""Bits of the outputs, from the largest down, that weights are chosen for: float32, in which nets are
trained, has no more."""
LARGEST = 2.0**60
"""Outputs beyond are refused."""
SCALES = ("channel", "tensor")
"""Whether weights have a scale for each output channel, or one for all."""


@dataclass(frozen=True)
class Formats:
    """How one layer computes in integers.

    Parameters
    ----------
    dst : QFormat or None
        Of the output; None leaves sums exact, or a value in the format in which it comes.
    index : QFormat, optional
        Of an activation's input.
    grid : Grid, optional
        Of the weights.
    """

    dst: QFormat | None = None
    index: QFormat | None = None
    grid: Grid | None = None


@dataclass(frozen=True)
class Scheme:
    """The `Formats` of a net's layers, those within residual branches included, by their names."""

    formats: Mapping[str, Formats]

    def of(self, layer: Layer) -> Formats:
        """The formats of a layer.

        Raises
        ------
        ValueError
            If none were chosen for it.
        """
        if layer.name not in self.formats:
            raise ValueError(f"layer {layer.name!r}: no formats were chosen for it")
        return self.formats[layer.name]


def calibrate(
    network: Network,
    images: np.ndarray,
    weights: Widths = Widths(),
    activations: Widths = Widths(),
    scales: str = "channel",
) -> Scheme:
    """Choose all formats by what layers compute for calibration images.

    An activation behind sums (with max pooling between them or not) chooses the format into which they are
    rounded: a ReLU is then nothing but their saturation at zero, any other function a table that they
    index. The last layer's sums stay exact, and so do those that a residual addition adds; activations
    behind them, as far as they keep the order of values, are `left_out`, and an average pooling behind them
    has all the bits that there are, unless `activations` names it.

    Parameters
    ----------
    network : Network
        Without batch normalisation: `model.quantisation.fold` folds it away.
    images : ndarray of uint8, (N, H, W, C)
        Of the training set.
    weights, activations : Widths
        An activation's width goes by the layer that computes it; behind a ReLU, by the ReLU.
    scales : {"channel", "tensor"}

    Raises
    ------
    ValueError
        For an unknown layer among the widths, or one that integers do not have; names it.
    """
    if scales not in SCALES:
        raise ValueError(f"scales are one a {' or one a '.join(SCALES)}, not {scales!r}")
    check_widths(network, weights, activations)
    for layer, _ in flow(network.layers):
        if isinstance(layer, BatchNorm):
            raise ValueError(f"layer {layer.name!r}: batch normalisation has no integers; fold it away first")
    chooser = Chooser(observed(network, images), weights, activations, scales == "channel")
    chooser.left_out = left_out(network, activations)
    chooser.choose(network.layers, PIXELS.signed)
    return Scheme(chooser.formats)


def check_widths(network: Network, weights: Widths, activations: Widths) -> None:
    """Raise a ValueError if widths name a layer that the net does not have."""
    layers = [layer for layer, _ in flow(network.layers)]
    weights.check([layer.name for layer in layers if layer.weighted], "weights")
    activations.check([layer.name for layer in layers], "activations")


def left_out(network: Network, activations: Widths) -> list[str]:
    """Names of the activations at a net's end that integers leave out.

    They decide no class: rounding could only make equals of the best values. One that `activations` names is
    wanted for its values, and stays with those before it.
    """
    tail = [layer.name for layer in network.layers[network.deciding :] if isinstance(layer, Activation)]
    wanted = [place for place, name in enumerate(tail, 1) if name in activations.layers]
    return tail[max(wanted, default=0) :]


class Chooser:
    """Chooses the formats of a net's layers, one after another.

    Parameters
    ----------
    values : dict of str to (ndarray, ndarray)
        Inputs and outputs of the layers by name, for the calibration images.
    weights, activations : Widths
    by_channel : bool

    Attributes
    ----------
    left_out : list of str
        Layers that integers do without.
    """

    left_out: Sequence[str] = ()

    def __init__(self, values, weights: Widths, activations: Widths, by_channel: bool):
        self.values, self.weights, self.activations = values, weights, activations
        self.by_channel = by_channel
        self.formats: dict[str, Formats] = {}

    def choose(self, layers: Sequence[Layer], signed: bool) -> bool:
        """Formats of layers whose input is `signed` or not; gives what their output is."""
        for index, layer in enumerate(layers):
            formats = self.of(layer, layers[index + 1 :], signed)
            self.formats[layer.name] = formats
            if isinstance(layer, Residual):
                for branch in layer.layers:
                    self.choose(branch, signed)
            if summing(layer):
                signed = formats.dst.signed if formats.dst else True
            elif formats.dst:
                signed = formats.dst.signed
        return signed

    def of(self, layer: Layer, after: Sequence[Layer], signed: bool) -> Formats:
        """Formats of one layer, with the layers after it."""
        width, (_, y) = self.activations.of(layer.name), self.values[layer.name]
        if layer.name in self.left_out:
            return Formats()
        if summing(layer):
            grid = None
            if layer.weighted:
                bits = self.weights.of(layer.name)
                bias = layer.params.get("bias")
                grid = Grid.best(layer.params["weights"], bits, self.by_channel, bias, self.finest(layer))
            return Formats(self.destination(layer, after), grid=grid)
        if isinstance(layer, Activation):
            index = self.index(layer)
            return Formats(layer.target_format(index, y, width), index)
        if layer.monotone or layer.prepares:
            return Formats()
        if layer.name not in self.activations.layers and not any(map(summing, after)):
            width = MAX_WIDTH  # the net's answer: few bits would make equals of its best values
        return Formats(best_format(y, width, signed))

    def finest(self, layer: Layer) -> int:
        """Fraction bits of the finest steps of a layer's weights that its outputs tell from none.

        Raises
        ------
        ValueError
            For outputs that no format holds; names the layer.
        """
        x, y = (float(np.abs(values).max(initial=0)) for values in self.values[layer.name])
        if not y < LARGEST:
            raise ValueError(
                f"layer {layer.name!r}: outputs of {y:.3g} are too wide for any format (2**60);"
                " train with a lower rate or a penalty"
            )
        if not x or not y:
            return FINEST  # calibration images say nothing
        products = layer.params["weights"][..., 0].size
        return MANTISSA + math.floor(math.log2(products) + math.log2(x) - math.log2(y))

    def index(self, layer: Activation) -> QFormat:
        """The format in which an activation takes its input."""
        return layer.source_format(*self.values[layer.name], self.activations.of(layer.name))

    def destination(self, layer: Layer, after: Sequence[Layer]) -> QFormat | None:
        """Where sums go; None leaves them exact."""
        passing = (other for other in after if not other.monotone and other.name not in self.left_out)
        follower = next(passing, None)
        if isinstance(follower, Activation):
            return self.index(follower)
        if not any(summing(other) for other in after):
            return None
        return best_format(self.values[layer.name][1], self.activations.of(layer.name), signed=True)


def summing(layer: Layer) -> bool:
    """Whether a layer ends in sums that may be rounded into any format."""
    return layer.weighted or isinstance(layer, Residual)


def observed(network: Network, images: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Samples of every layer's inputs and outputs for images, by the layer's name."""
    seen = defaultdict(lambda: ([], []))
    rng = np.random.default_rng(0)
    share = max(SAMPLES * CHUNK // max(len(images), 1), 1)

    def sample(values):
        flat = values.ravel()
        return flat.copy() if flat.size <= share else flat[rng.integers(0, flat.size, share)]

    def run(layers, x):
        for layer in layers:
            if isinstance(layer, Residual):
                body, shortcut = (run(branch, x) for branch in layer.layers)
                y = body + shortcut
            else:
                y = layer.forward(x, {})
            for side, values in zip(seen[layer.name], (x, y)):
                side.append(sample(values))
            x = y
        return x

    for start in range(0, len(images), CHUNK):
        run(network.layers, network.engine(images[start : start + CHUNK], {}))
    return {name: tuple(np.concatenate(side) for side in sides) for name, sides in seen.items()}
