"""Layers as loops over single numbers, written from their definition: the tests' independent reference.

Images are nested lists or arrays (H, W, C) of any kind of number: Python integers, floats, fractions.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np


def positions(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Places of a window along one axis, by trying them all."""
    return sum(1 for start in range(0, before + size + after) if start % stride == 0
               and start + kernel <= before + size + after)  # fmt: skip


def window(image, top: int, left: int, kernel, dilation=(1, 1)):
    """Pixels (i, j, values) that a window covers, those in the padding left out."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y, x = top + i * dilation[0], left + j * dilation[1]
            if 0 <= y < len(image) and 0 <= x < len(image[0]):
                yield i, j, image[y][x]


def places(image, kernel, stride, padding):
    """Rows of top-left corners (top, left) of all windows."""
    rows = positions(len(image), kernel[0], stride[0], *padding[0])
    columns = positions(len(image[0]), kernel[1], stride[1], *padding[1])
    return [
        [(r * stride[0] - padding[0][0], c * stride[1] - padding[1][0]) for c in range(columns)]
        for r in range(rows)
    ]


def conv(image, weights, bias, stride, padding, dilation=(1, 1), groups=1):
    """Convolution: weights[i][j][c][k], with c counted from its group's first; bias[k] or bias[y][x][k]."""
    kernel = len(weights), len(weights[0])
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    kernels, channels = len(weights[0][0][0]), len(weights[0][0])

    def value(top, left, k, total):
        first = k * groups // kernels * channels
        for i, j, pixel in window(image, top, left, kernel, dilation):
            for c in range(channels):
                total += pixel[first + c] * weights[i][j][c][k]
        return total

    def pixel(y, x, top, left):
        seeds = bias[y][x] if isinstance(bias[0], list) else bias
        return [value(top, left, k, seeds[k]) for k in range(kernels)]

    return [
        [pixel(y, x, *corner) for x, corner in enumerate(row)]
        for y, row in enumerate(places(image, extent, stride, padding))
    ]


def pool(image, mode, kernel, stride, padding):
    """Pooling; the average of integers or fractions is a `Fraction`."""

    def value(top, left, c):
        values = [pixel[c] for _, _, pixel in window(image, top, left, kernel)]
        if mode == "max":
            return max(values)
        total = sum(values)
        if mode == "sum":
            return total
        area = kernel[0] * kernel[1]
        return total / area if isinstance(total, float) else Fraction(total, area)

    return [
        [[value(top, left, c) for c in range(len(image[0][0]))] for top, left in row]
        for row in places(image, kernel, stride, padding)
    ]


def dense(image, weights, bias):
    """Dense layer: weights[(row * W + column) * C + channel][k]."""
    values = [x for row in image for pixel in row for x in pixel]
    return [[[sum((x * w[k] for x, w in zip(values, weights)), b) for k, b in enumerate(bias)]]]


def requant(value, frac: int, width: int, dst_frac: int, signed: bool) -> int:
    """An integer (or fraction) in steps of 2**-frac, in steps of 2**-dst_frac: half up, then saturated."""
    rounded = floor(Fraction(value) * Fraction(2) ** (dst_frac - frac) + Fraction(1, 2))
    low = -(2 ** (width - 1)) if signed else 0
    return min(max(rounded, low), low + 2**width - 1)


def requanted(image, src, dst) -> np.ndarray:
    """`requant` of every value of an image from format `src` to `dst`."""
    return np.array(
        [
            [[requant(x, src.frac, dst.width, dst.frac, dst.signed) for x in pixel] for pixel in row]
            for row in image
        ]
    )


def grey(pixel, mode) -> int:
    """The grey level of a pixel, an exact fraction rounded down."""
    red, green, blue = (Fraction(value) for value in pixel)
    if mode == "average":
        return floor((red + green + blue) / 3)
    if mode == "lightness":
        return floor((max(red, green, blue) + min(red, green, blue)) / 2)
    assert mode == "luminosity"
    return floor(Fraction("0.21") * red + Fraction("0.72") * green + Fraction("0.07") * blue)


def reduced(image, weights, stride, padding, low=0, high=255):
    """A reduction by a kernel of fractions, the same for every channel: max(low, min(high, floor(k)))."""
    kernel = len(weights), len(weights[0])

    def value(top, left, c):
        k = sum((weights[i][j] * pixel[c] for i, j, pixel in window(image, top, left, kernel)), Fraction(0))
        return max(low, min(high, floor(k)))

    return [
        [[value(top, left, c) for c in range(len(image[0][0]))] for top, left in row]
        for row in places(image, kernel, stride, padding)
    ]
