"""The integers of a net: its layers in the formats of a scheme."""

from __future__ import annotations

from collections.abc import Sequence

from model.arithmetic.qformat import PIXELS, QFormat
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec
from model.layers import RequantSpec, Residual
from model.net.layer import Activation, Layer
from model.net.network import Network
from model.quantisation.scheme import Scheme


def build(network: Network, scheme: Scheme, name: str = "net", metadata: dict | None = None) -> QNetwork:
    """A trained net in integers.

    Parameters
    ----------
    network : Network
        Without batch normalisation.
    scheme : Scheme
        Of this net, or of one with the same layers.
    name : str
    metadata : dict, optional

    Raises
    ------
    ValueError
        For an accumulator that is too wide, or a layer that the scheme does not know; names the layer.
    """
    return QNetwork(name, PIXELS, specs_of(network.layers, scheme, PIXELS), metadata or {})


def specs_of(layers: Sequence[Layer], scheme: Scheme, src: QFormat) -> tuple[Spec, ...]:
    """Layers that are fed with values of `src`, in integers."""
    specs: list[Spec] = []
    for layer in layers:
        formats = scheme.of(layer)
        if layer.weighted:
            spec = layer.quantise(src, formats.dst, formats.grid)
        elif isinstance(layer, Residual):
            branches = [specs_of(branch, scheme, src) for branch in layer.layers]
            spec = layer.quantise(src, formats.dst, branches)
        elif isinstance(layer, Activation) and formats.index is None:
            spec = None
        elif isinstance(layer, Activation):
            if src != formats.index:
                specs.append(
                    RequantSpec(name=f"{layer.name}_in", in_shape=layer.in_shape, src=src, dst=formats.index)
                )
            spec = layer.quantise(formats.index, formats.dst)
            src = formats.index
        else:
            spec = layer.quantise(src, formats.dst)
        if spec is not None:
            specs.append(spec)
            src = spec.dst
    return tuple(specs)
