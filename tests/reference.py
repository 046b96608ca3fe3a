"""The integer layers over whole arrays, (N, H, W, C) and int64 throughout, as plain as NumPy allows.

The golden model in `model/` computes in another layout, mostly in floats, and in another order. Here every
layer is its definition: quick enough for whole nets, where the loops of `naive` are not. The benchmark
measures what that costs.
"""

from __future__ import annotations

import numpy as np


def trace(net, images) -> list[np.ndarray]:
    """Output of every layer of a net, (N, *out_shape) each."""
    x, outputs = np.asarray(images, np.int64), []
    for spec in net.specs:
        x = run(spec, x)
        outputs.append(x)
    return outputs


def logits(net, images) -> np.ndarray:
    """The last layer's integers, (N, classes)."""
    return trace(net, images)[-1].reshape(len(images), -1)


def run(spec, x) -> np.ndarray:
    """One layer: (N, *in_shape) to (N, *out_shape)."""
    return LAYERS[spec.kind](spec, np.asarray(x, np.int64))


def requant(x, shift: int, dst) -> np.ndarray:
    """To a format with `shift` fewer fraction bits: half up, then saturated."""
    if shift > 62:
        x = np.zeros_like(x)
    elif shift > 0:
        whole, rest = np.divmod(x, 1 << shift)
        x = whole + (rest >= 1 << (shift - 1))
    else:
        x = x * (1 << -shift)
    return saturate(x, dst)


def saturate(x, dst) -> np.ndarray:
    return np.minimum(np.maximum(x, dst.min), dst.max)


def taps(spec, x, kernel, fill: int, dilation=(1, 1)):
    """For each pixel (i, j) of the window, what it sees: (N, H_out, W_out, C)."""
    x = np.pad(x, ((0, 0), *spec.padding, (0, 0)), constant_values=fill)
    height, width = spec.out_shape[:2]
    for i, j in np.ndindex(*kernel):
        rows = i * dilation[0] + spec.stride[0] * np.arange(height)
        columns = j * dilation[1] + spec.stride[1] * np.arange(width)
        yield (i, j), x[:, rows[:, None], columns]


def conv(spec, x):
    *kernel, channels, kernels = spec.weights.shape
    part = kernels // spec.groups
    sums = np.zeros((len(x), *spec.out_shape), np.int64) + spec.bias
    for tap, pixels in taps(spec, x, kernel, spec.fill, spec.dilation):
        for g in range(spec.groups):
            inputs = pixels[..., g * channels : (g + 1) * channels]
            sums[..., g * part : (g + 1) * part] += inputs @ spec.weights[tap][:, g * part : (g + 1) * part]
    shift = spec.src.frac + spec.weight_format.frac - spec.dst.frac
    return requant(sums << spec.shifts, shift, spec.dst)


def dense(spec, x):
    sums = x.reshape(len(x), -1) @ spec.weights + spec.bias
    shift = spec.src.frac + spec.weight_format.frac - spec.dst.frac
    return requant(sums << spec.shifts, shift, spec.dst).reshape(len(x), *spec.out_shape)


def pool(spec, x):
    fill = spec.src.min if spec.mode == "max" else 0
    windows = np.stack([pixels for _, pixels in taps(spec, x, spec.kernel, fill)])
    if spec.mode == "max":
        return windows.max(axis=0)
    sums = windows.sum(axis=0)
    up = spec.dst.frac - spec.src.frac
    if spec.mode == "sum":
        return requant(sums, -up, spec.dst)
    divisor = len(windows) << max(-up, 0)
    return saturate((2 * (sums << max(up, 0)) + divisor) // (2 * divisor), spec.dst)


def grey(spec, x):
    if spec.mode == "lightness":
        sums, divisor = x.max(axis=3) + x.min(axis=3), 2
    else:
        weights, divisor = {"average": ((1, 1, 1), 3), "luminosity": ((21, 72, 7), 100)}[spec.mode]
        sums = x @ np.array(weights)
    return saturate(sums // divisor, spec.dst)[..., None]


def reduce(spec, x):
    pixels = taps(spec, x, spec.weights.shape, 0)
    return saturate(sum(seen * spec.weights[tap] for tap, seen in pixels) // spec.divisor, spec.dst)


def table(spec, x):
    return spec.table[x % len(spec.table)]


def rescale(spec, x):
    negative, other = spec.offsets
    y = (spec.multipliers * x + np.where(x < 0, negative, other)) // (1 << spec.shifts)
    if spec.odd is not None:
        odd = (spec.multipliers * x + np.where(x < 0, *spec.odd)) // (1 << spec.shifts)
        y = np.maximum(y // 2 * 2, (odd + 1) // 2 * 2 - 1)
    return np.minimum(np.maximum(y, spec.low), spec.high)


def residual(spec, x):
    ends = []
    for branch in (spec.body, spec.shortcut):
        y, frac = x, spec.src.frac
        for each in branch:
            y, frac = run(each, y), each.dst.frac
        ends.append((y, frac))
    finest = max(frac for _, frac in ends)
    return requant(sum(y << (finest - frac) for y, frac in ends), finest - spec.dst.frac, spec.dst)


LAYERS = {
    "conv": conv,
    "dense": dense,
    "pool": pool,
    "grey": grey,
    "reduce": reduce,
    "rescale": rescale,
    "residual": residual,
    "table": table,
    "requant": lambda spec, x: requant(x, spec.src.frac - spec.dst.frac, spec.dst),
}
