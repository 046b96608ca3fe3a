"""From a trained float net to integers: formats chosen on calibration images, layer after layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from model.layer import Activation
from model.layers import RequantSpec
from model.network import PIXELS, Network
from model.qformat import QFormat
from model.qnetwork import QNetwork
from model.scale import best_format
from model.spec import Spec

MIN_WIDTH, MAX_WIDTH = 2, 16
SAMPLES = 200_000
"""Values of a layer's output that a format is chosen by."""


@dataclass(frozen=True)
class Widths:
    """Bits of weights or activations: for all layers, and for some by name.

    Parameters
    ----------
    default : int
        2 to 16.
    layers : dict of str to int
    """

    default: int = 8
    layers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        for name, bits in {"": self.default, **self.layers}.items():
            if not MIN_WIDTH <= bits <= MAX_WIDTH:
                where = f"layer {name!r}: " if name else ""
                raise ValueError(f"{where}widths lie between {MIN_WIDTH} and {MAX_WIDTH} bits, not {bits}")

    @classmethod
    def parse(cls, text: str) -> Widths:
        """From what a user writes: ``8``, ``conv1=4``, or ``8,conv1=4,dense1=6``."""
        default, layers = cls.default, {}
        for part in text.split(","):
            name, _, bits = part.rpartition("=")
            if not bits.strip().isascii() or not bits.strip().isdigit():
                raise ValueError(f"widths are written like 8 or 8,conv1=4; {part!r} is none")
            if name:
                layers[name.strip()] = int(bits)
            else:
                default = int(bits)
        return cls(default, layers)

    def of(self, name: str) -> int:
        """Bits of one layer."""
        return self.layers.get(name, self.default)

    def check(self, names: list[str], what: str) -> None:
        """Raise a ValueError if a layer is named that does not exist."""
        if unknown := self.layers.keys() - set(names):
            raise ValueError(f"no layer {min(unknown)!r} has {what}; there are {', '.join(names)}")


def quantise(
    network: Network,
    images: np.ndarray,
    weights: Widths = Widths(),
    activations: Widths = Widths(),
    name: str = "net",
    metadata: dict | None = None,
) -> QNetwork:
    """A trained net in integers.

    An activation behind a convolution or dense layer (with max pooling between them or not) chooses the
    format into which that layer's sums are rounded: a ReLU is then nothing but their saturation at zero,
    any other function a table that they index. The last layer's sums stay exact; a softmax behind them
    falls away.

    Parameters
    ----------
    network : Network
    images : ndarray of uint8, (N, H, W, C)
        Calibration images, of the training set.
    weights, activations : Widths
        An activation's width goes by the layer that computes it; behind a ReLU, by the ReLU.
    name : str
    metadata : dict, optional

    Raises
    ------
    ValueError
        For an unknown layer among the widths, or an accumulator that is too wide; names the layer.
    """
    layers = network.layers
    weights.check([layer.name for layer in layers if layer.weighted], "weights")
    activations.check([layer.name for layer in layers], "activations")
    values = [thinned(PIXELS.real(images)), *(thinned(y) for y in network.trace(images))]
    specs: list[Spec] = []
    src = PIXELS
    for index, layer in enumerate(layers):
        width = activations.of(layer.name)
        if layer.weighted:
            dst = destination(network, index, values, activations)
            spec = layer.quantise(src, dst, weights.of(layer.name))
        elif isinstance(layer, Activation):
            fmt = layer.source_format(*values[index : index + 2], width)
            if src != fmt and not fused(layers, index):
                specs.append(RequantSpec(name=f"{layer.name}_in", in_shape=layer.in_shape, src=src, dst=fmt))
                src = fmt
            spec = layer.quantise(src, values[index + 1], width)
        else:
            spec = layer.quantise(src, best_format(values[index + 1], width, src.signed))
        if spec is not None:
            specs.append(spec)
            src = spec.dst
    return QNetwork(name, PIXELS, tuple(specs), metadata or {})


def destination(network: Network, index: int, values, activations: Widths) -> QFormat | None:
    """Where a weighted layer's sums go; None leaves them exact. `values` holds every layer's input."""
    layers = network.layers
    after = next((i for i in range(index + 1, len(layers)) if not layers[i].monotone), None)
    if after is not None and isinstance(layers[after], Activation):
        return layers[after].source_format(*values[after : after + 2], activations.of(layers[after].name))
    if not any(layer.weighted for layer in layers[index + 1 :]):
        return None
    return best_format(values[index + 1], activations.of(layers[index].name), signed=True)


def fused(layers, index: int) -> bool:
    """Whether an activation's input already comes in the format that it chose."""
    before = next((i for i in range(index - 1, -1, -1) if not layers[i].monotone), None)
    return before is not None and layers[before].weighted


def thinned(y: np.ndarray) -> np.ndarray:
    """At most about `SAMPLES` of an array's values, evenly taken."""
    return y.ravel()[:: max(1, y.size // SAMPLES)]
