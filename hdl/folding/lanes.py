"""Pixels side by side: which widths of a beat divide a row, and what windows make of a beat."""

from __future__ import annotations

from model.arithmetic.geometry import Geometry, Shape
from model.golden.spec import Spec


def divides(shape: Shape, geometry: Geometry, pixels: int) -> bool:
    """Whether beats of so many pixels divide a row, and those of the windows that belong to them theirs."""
    width, stride, across = shape[1], geometry.stride[1], geometry.positions(shape)[1]
    if pixels == width:
        return True
    if pixels % stride or width % pixels:
        return False
    return across % (pixels // stride) == 0 and across * stride <= width


def windows_of(shape: Shape, geometry: Geometry, pixels: int) -> int:
    """Windows that belong to a beat of pixels."""
    return geometry.positions(shape)[1] if pixels == shape[1] else pixels // geometry.stride[1]


def pooled(spec: Spec, lanes: int) -> tuple[int, int]:
    """Values of a beat that a layer's windows of each channel take, and that come of it.

    Parts of a pixel stay what they are. Of several pixels it is as many as came, or the next larger number
    that divides its row and the windows in it; if there is none, one.
    """
    channels = spec.in_shape[2]
    for pixels in range(lanes // channels, spec.in_shape[1] + 1) if lanes > channels else ():
        if divides(spec.in_shape, spec.geometry, pixels):
            return pixels * channels, windows_of(spec.in_shape, spec.geometry, pixels) * channels
    return min(lanes, channels), min(lanes, channels)
