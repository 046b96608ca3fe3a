"""Fake quantisation: a float net that computes the very numbers of its integer form, and can be trained.

Each layer rounds its weights, biases and outputs as its integers would (`model.quantisation.rounded`). All
values are integers times powers of two, and exact as long as the integers fit the float's mantissa: `fake`
chooses a float type in which they do.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model.arithmetic.exact import FLOAT32_EXACT, FLOAT64_EXACT
from model.arithmetic.qformat import MAX_WIDTH, PIXELS, QFormat
from model.golden.qchain import walk
from model.golden.spec import Spec, WeightedSpec
from model.layers import Pool, PoolSpec, Residual, ResidualSpec
from model.layers.table import Tabled
from model.net.layer import Activation, Layer
from model.net.network import Network
from model.net.weighted import Weighted
from model.quantisation.build import build
from model.quantisation.rounded import FakePool, FakeTable, FakeWeighted, Passing, Rounded
from model.quantisation.scheme import Formats, Scheme, summing


def fake(network: Network, scheme: Scheme, late: bool = False) -> Network:
    """A net of its own that starts with a net's parameters and computes like its integers.

    Parameters
    ----------
    network : Network
        Without batch normalisation.
    scheme : Scheme
    late : bool
        Round sums behind the maxima that follow them, and not before. The maxima are the same, but the
        gradient finds the largest sum, and not the first of those that are equal once they are rounded.

    Returns
    -------
    Network
        In float32 if that is exact, else in float64, which is slower. Its parameters are those before
        rounding; `latent` takes them out again.

    Raises
    ------
    ValueError
        For sums that are too wide for both; names the layer.
    """
    specs = list(walk(build(network, scheme).specs))
    dtype = np.float32 if max(map(widest, specs)) < FLOAT32_EXACT else np.float64
    for spec in specs:
        if widest(spec) >= FLOAT64_EXACT:
            spec.fail("its sums are too wide to be exact in floats (2**53); use narrower formats")
    return Network.of(faked(network.layers, scheme, PIXELS, dtype, late), network.in_shape, dtype)


def outgrown(network: Network, scheme: Scheme) -> str | None:
    """A layer of a fake-quantised net whose sums its float type does not hold any more; None if all is well.

    `fake` leaves room for weights of any size, but only for biases twice those that it was given.
    """
    limit = FLOAT32_EXACT if network.dtype is np.float32 else FLOAT64_EXACT
    specs = walk(build(latent(network), scheme).specs)
    return next((spec.name for spec in specs if widest(spec, growth=1) >= limit), None)


def latent(network: Network) -> Network:
    """A float net of its own with the parameters that a fake-quantised net has before rounding."""
    return Network.of(bared(network.layers), network.in_shape, network.dtype)


def faked(
    layers: Sequence[Layer], scheme: Scheme, src: QFormat, dtype: type, late: bool = False
) -> list[Layer]:
    """Layers as fakes, fed with values of `src`; of sums that stay exact its width means nothing."""
    result = []
    for layer, after in zip(layers, [*layers[1:], None]):
        formats = scheme.of(layer)
        layer = own(layer, dtype)
        if isinstance(layer, Weighted):
            waits = late and formats.dst and maximum(after)
            result.append(FakeWeighted(layer, replace(formats, dst=None) if waits else formats, src.frac))
        elif late and maximum(layer) and result and isinstance(result[-1], FakeWeighted):
            result.append(Rounded(layer, Formats(scheme.of(result[-1]).dst)))
        elif isinstance(layer, Residual):
            branches = [faked(branch, scheme, src, dtype, late) for branch in layer.layers]
            result.append(Rounded(layer.with_branches(*branches), formats))
        elif isinstance(layer, Activation) and formats.index is None:
            result.append(layer)
        elif isinstance(layer, Tabled):
            result.append(FakeTable(layer, formats))
        elif isinstance(layer, Activation):
            result.append((Passing if src == formats.dst else Rounded)(layer, formats))
        elif isinstance(layer, Pool) and formats.dst:
            result.append(FakePool(layer, formats, src.frac))
        else:
            result.append(layer)
        if summing(layer) or formats.dst:
            src = formats.dst or QFormat(MAX_WIDTH, frac_behind([layer], scheme, src.frac))
    return result


def maximum(layer: Layer | None) -> bool:
    """Whether a layer is a max pooling."""
    return isinstance(layer, Pool) and layer.monotone


def frac_behind(layers: Sequence[Layer], scheme: Scheme, frac: int) -> int:
    """Fraction bits behind layers that are fed with values of `frac`."""
    for layer in layers:
        formats = scheme.of(layer)
        if formats.dst:
            frac = formats.dst.frac
        elif formats.grid:
            frac += formats.grid.frac
        elif isinstance(layer, Residual):
            frac = max(frac_behind(branch, scheme, frac) for branch in layer.layers)
    return frac


def own(layer: Layer, dtype: type) -> Layer:
    """A copy of a layer with parameters of its own, of a type."""
    layer = copy.copy(layer)
    layer.dtype = dtype
    layer.params = {key: value.astype(dtype) for key, value in layer.params.items()}
    return layer


def bared(layers: Sequence[Layer]) -> list[Layer]:
    """Copies of the layers that fakes are made of."""
    result = []
    for layer in layers:
        layer = own(layer.inner if isinstance(layer, Rounded) else layer, layer.dtype)
        if isinstance(layer, Residual):
            layer = layer.with_branches(*(bared(branch) for branch in layer.layers))
        result.append(layer)
    return result


def widest(spec: Spec, growth: int = 2) -> int:
    """Bound of the integers that a float must hold to compute like a layer, whatever its weights become.

    Biases, and sums of branches, may become `growth` times what they are.
    """
    src = max(-spec.src.min, spec.src.max)
    if isinstance(spec, WeightedSpec):
        products = len(spec.matrix) * max(-spec.weight_format.min, spec.weight_format.max)
        frac, bound = spec.accumulator.frac, products * src + growth * int(np.abs(spec.bias).max())
    elif isinstance(spec, PoolSpec):
        area = spec.kernel[0] * spec.kernel[1]
        frac, bound = spec.src.frac + area.bit_length(), area * src
    elif isinstance(spec, ResidualSpec):
        frac, bound = spec.sum_format.frac, growth * spec.sum_format.max
    else:
        frac, bound = spec.src.frac, src
    return bound + (1 << max(frac - spec.dst.frac, 0))
