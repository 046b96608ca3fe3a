"""Weights and biases that make up for what rounding does, by what layers compute for calibration images.

The error of a rounded weight times the mean of its input is an offset that all outputs of a channel share. A
bias takes it back at no cost (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019). Here the means are those of values as they go on, saturated: a mean of sums would
trade the errors of few pixels against many that a ReLU makes zero, and at 2 bits does more harm than good.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.arithmetic.chunks import CHUNK
from model.arithmetic.qformat import PIXELS, QFormat
from model.golden.workers import blas
from model.layers.residual import Residual
from model.net.chain import flow
from model.net.layer import Layer
from model.net.network import Network
from model.quantisation.fake import bared, faked
from model.quantisation.feedback import fed_back
from model.quantisation.rounded import FakeWeighted
from model.quantisation.scheme import Scheme

VALUES = 1 << 24
"""Of one layer's outputs for all images that are looked at: 64 MB, and a few times as much together."""

TRIES = 40
"""Of an offset, at most; most take two or three."""
FLATTEST = 1 / 16
"""Slope at least that Newton's method believes: few values that are not cut off say little."""

Parts = list[np.ndarray]
"""A layer's values, engine layout, some images at a time."""


def corrected(network: Network, scheme: Scheme, images: np.ndarray) -> Network:
    """A net of its own whose integers stand for a net better than the net's own parameters, rounded.

    Layer by layer, fed with what the integers before compute, weights are rounded for the sums
    (`model.quantisation.feedback`) and biases chosen for the means: those of the values that go on, rounding
    left out, become the floats', for each output channel, or for each output value where it has a bias of its
    own. A layer without biases gets one for each channel.

    Parameters
    ----------
    network : Network
        Without batch normalisation.
    scheme : Scheme
    images : ndarray of uint8, (N, H, W, C)
        For calibration, at least one; if layers are large, the first ones alone are looked at.

    Returns
    -------
    Network
        Its weights are numbers of their grids.
    """
    largest = max(int(np.prod(layer.out_shape)) for layer, _ in flow(network.layers))
    images = images[: max(VALUES // largest, CHUNK)]
    parts = [network.engine(images[start : start + CHUNK], {}) for start in range(0, len(images), CHUNK)]
    fakes = faked(network.layers, scheme, PIXELS, network.dtype)
    with blas().limit(limits=1):  # so that sums, and what is made of them, are always the same
        correct(network.layers, fakes, parts, parts)
    return Network.of(bared(fakes), network.in_shape, network.dtype)


def correct(layers: Sequence[Layer], fakes: Sequence[Layer], x: Parts, y: Parts) -> tuple[Parts, Parts]:
    """Correct the fakes of layers; `x` is what comes to the layers, `y` to the fakes. Gives both outputs."""
    for layer, twin in zip(layers, fakes):
        if isinstance(layer, Residual):
            sides = [correct(*branches, x, y) for branches in zip(layer.layers, twin.inner.layers)]
            x, y = ([body + shortcut for body, shortcut in zip(*ends)] for ends in zip(*sides))
            y = [twin.rounded(part, {}) for part in y]
            continue
        x = [layer.forward(part, {}) for part in x]
        if isinstance(twin, FakeWeighted):
            y = corrected_outputs(twin, x, y)
        else:
            y = [twin.forward(part, {}) for part in y]
    return x, y


def corrected_outputs(twin: FakeWeighted, wanted: Parts, inputs: Parts) -> Parts:
    """Give a fake other weights and biases, for sums like those `wanted`; gives its outputs."""
    inner, grid = twin.inner, twin.formats.grid
    twin.inner = inner = inner.biased(inner.biases)
    inner.params["weights"] = fed_back(inner, grid, inputs)
    bias = twin.quantised()["bias"]
    sums = [twin.sums(part, {}) for part in inputs]
    axes = (0, 2, 3) if bias.ndim == 1 else 3
    steps = (grid.steps * 2.0**-twin.frac)[:, None, None]
    more = offsets(wanted, sums, steps, twin.formats.dst, axes).astype(twin.dtype)
    by_pixel = more[..., 0].transpose(0, 2, 1)
    twin.inner = inner.biased(bias + (by_pixel[0, 0] if bias.ndim == 1 else by_pixel))
    return [twin.rounded(part + more, {}) for part in sums]


def offsets(wanted: Parts, sums: Parts, steps: np.ndarray, dst: QFormat | None, axes) -> np.ndarray:
    """What makes the means of sums those wanted, once both are cut off at the ends of a format.

    A mean does not fall where its offset rises, and rises by no more than that. So of two multiples of a step
    that are neighbours, one comes within half a step. Where that is shows in a bracket, which each try makes
    smaller: Newton's method and halving take turns.

    Parameters
    ----------
    wanted, sums : list of ndarray
    steps : ndarray, (C, 1, 1)
        Offsets are multiples of these.
    dst : QFormat or None
        None cuts nothing off.
    axes : int or tuple of int
        What means are over.

    Returns
    -------
    ndarray
        With these axes of length 1. Never one that is worse than none.
    """
    ends = (-np.inf, np.inf) if dst is None else dst.real([dst.min, dst.max])
    images = sum(part.shape[3] for part in sums)

    def means(parts: Parts, offset) -> tuple[np.ndarray, np.ndarray]:
        """Of values with an offset, cut off, and of their slopes by it."""
        value = slope = 0
        for part in parts:
            moved = part + offset
            cut = moved.clip(*ends)
            value = value + cut.mean(axes, np.float64, keepdims=True) * (part.shape[3] / images)
            slope = slope + (cut == moved).mean(axes, keepdims=True) * (part.shape[3] / images)
        return value, slope

    goal, _ = means(wanted, 0)
    largest = max(np.abs(part).max(initial=0) for part in sums)
    enough = np.maximum(0.5, np.finfo(sums[0].dtype).eps * largest / steps)  # means are not known better
    tried = best = np.zeros_like(goal)
    least, below, above = np.full_like(goal, np.inf), np.full_like(goal, -np.inf), np.full_like(goal, np.inf)
    for turn in range(TRIES):
        value, slope = means(sums, (tried * steps).astype(sums[0].dtype))
        missing = (goal - value) / steps
        best = np.where(np.abs(missing) < least, tried, best)
        least = np.minimum(np.abs(missing), least)
        if (least <= enough).all():
            break
        below, above = np.where(missing > 0, tried, below), np.where(missing < 0, tried, above)
        step = np.rint(missing / np.maximum(slope, FLATTEST))
        step = tried + np.copysign(np.maximum(np.abs(step), 2.0**turn), missing)
        closed = np.isfinite(above - below)
        middle = np.floor((np.where(closed, below, 0) + np.where(closed, above, 0)) / 2)
        halve = closed & ((turn % 2 == 1) | (step <= below) | (step >= above))
        tried = np.where(least <= enough, best, np.where(halve, middle, step))
    return best * steps
