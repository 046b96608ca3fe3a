"""How much of its input a layer has to see before an output, and what two branches must hold for that."""

from __future__ import annotations

import numpy as np

from model.arithmetic.geometry import Geometry, Shape
from model.golden.spec import Spec, WeightedSpec
from model.layers import ConvSpec, DenseSpec, PoolSpec, ReduceSpec, ResidualSpec

PIPELINE = 32
"""Pixels that may be under way in the pipelines of a layer with weights, at one pixel a cycle."""


def reach(spec: Spec) -> np.ndarray:
    """For each output pixel, how many input pixels must have come; raster order, (H_out * W_out,)."""
    height, width, _ = spec.in_shape
    if isinstance(spec, ResidualSpec):
        return np.maximum(*(reach_of(branch, spec.in_shape) for branch in spec.branches))
    if isinstance(spec, DenseSpec):
        return np.array([height * width])
    if isinstance(spec, (ConvSpec, PoolSpec, ReduceSpec)):
        return window_reach(spec.geometry, spec.in_shape)
    return np.arange(1, height * width + 1)


def window_reach(geometry: Geometry, shape: Shape) -> np.ndarray:
    """`reach` of a window that slides over an image: pixels up to its bottom right corner."""
    height, width, _ = shape
    (top, _), (left, _) = geometry.padding
    rows, columns = (
        np.arange(count) * stride + extent - 1 - before
        for count, stride, extent, before in zip(
            geometry.positions(shape), geometry.stride, geometry.extent, (top, left)
        )
    )
    rows, within = rows[:, None], np.clip(columns + 1, 0, width)
    seen = np.where(rows < 0, 0, rows * width + within)
    return np.where(rows >= height, height * width, seen).ravel()


def reach_of(chain: tuple[Spec, ...], shape: Shape) -> np.ndarray:
    """`reach` of layers one behind the other, in pixels of the first one's input."""
    seen = np.arange(1, shape[0] * shape[1] + 1)
    for spec in chain:
        # what 0, 1, ... pixels of this layer's input take of the chain's
        seen = np.concatenate([[0], seen])[reach(spec)]
    return seen


def slack(chain: tuple[Spec, ...], shape: Shape) -> int:
    """Pixels of a chain's input that wait in the FIFOs and pipelines within it while it runs at full rate."""
    total = 0
    for spec in chain:
        # pixels of the chain's input to one of this layer's, rounded up
        scale = -(-shape[0] * shape[1] // (spec.in_shape[0] * spec.in_shape[1]))
        if isinstance(spec, WeightedSpec):
            total += scale * ahead_rows(spec) * spec.in_shape[1] + PIPELINE
        elif isinstance(spec, ResidualSpec):
            total += scale * max(slack(branch, spec.in_shape) for branch in spec.branches)
    return total


def ahead_rows(spec: WeightedSpec) -> int:
    """Rows in which the layers before may work ahead: as many as a layer's window has."""
    return min(spec.geometry.extent[0], spec.in_shape[0]) if isinstance(spec, ConvSpec) else 1


def depths(spec: ResidualSpec) -> tuple[int, int]:
    """Pixels of room that the input of the body, and that of the shortcut, needs before it.

    While one branch waits for the pixels of its next output, the other must take in as many. What the
    slower one holds in its FIFOs at full rate comes on top; else it could not fill them.
    """
    body, shortcut = (reach_of(branch, spec.in_shape) for branch in spec.branches)
    extra = [slack(branch, spec.in_shape) for branch in spec.branches]
    pixels = spec.in_shape[0] * spec.in_shape[1]
    return tuple(
        min(max(int(lead.max()), 0) + 1 + more, pixels + PIPELINE)
        for lead, more in ((shortcut - body, extra[1]), (body - shortcut, extra[0]))
    )
