"""TFLite's functions of one value, for each of the 256 that its input can have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.arithmetic.rules import away_from_zero, doubling_high, multiplier_of, nearest_away
from model.interchange.description import Values
from model.interchange.tflite_file import Operator

INT16 = np.iinfo(np.int16)


def codes(x: Values) -> np.ndarray:
    """All values, as differences from the zero point."""
    return np.arange(x.format.min, x.format.max + 1) - x.zero


def clipped(y: Values, low: float | None, high: float | None) -> tuple[int, int]:
    """The integers between two real numbers, as TFLite rounds them."""

    def code(real):
        return y.zero + int(nearest_away(np.float32(real) / np.float32(y.step)))

    return (
        y.format.min if low is None else max(y.format.min, code(low)),
        y.format.max if high is None else min(y.format.max, code(high)),
    )


def rescaled(values: np.ndarray, scale: float) -> np.ndarray:
    """Integers at a real scale, with TFLite's two roundings."""
    sign = -1 if scale < 0 else 1
    return sign * doubling_high(values, *multiplier_of(abs(scale)))


def relu(low: float, high: float | None) -> Callable[[Operator, Values, Values], np.ndarray]:
    """RELU, RELU6 and RELU_N1_TO_1."""

    def entries(op, x, y):
        scale = float(np.float32(x.step) / np.float32(y.step))
        return (rescaled(codes(x), scale) + y.zero).clip(*clipped(y, low, high))

    return entries


def leaky_relu(op: Operator, x: Values, y: Values) -> np.ndarray:
    """LEAKY_RELU."""
    alpha = np.float32(op.options("LeakyReluOptions").Alpha())
    step, out = np.float32(x.step), np.float32(y.step)
    values = codes(x)
    above, below = (rescaled(values, float(scale)) for scale in (step / out, step * alpha / out))
    return np.where(values >= 0, above, below) + y.zero


def requantised(op: Operator, x: Values, y: Values) -> np.ndarray:
    """QUANTIZE between two grids of integers."""
    return rescaled(codes(x), float(np.float64(x.step) / np.float64(y.step))) + y.zero


def tabled(h: Callable[[np.ndarray], np.ndarray]) -> Callable[[Operator, Values, Values], np.ndarray]:
    """A function that TFLite has a table for, computed in float32."""

    def entries(op, x, y):
        reals = np.float32(x.step) * codes(x).astype(np.float32)
        with np.errstate(over="ignore"):
            values = h(reals) * (np.float32(1) / np.float32(y.step))
        return nearest_away(values.clip(-1000, 1000)).astype(np.int64) + y.zero

    return entries


def logistic(op: Operator, x: Values, y: Values) -> np.ndarray:
    """LOGISTIC, whose output has a grid of its own."""
    op.demand(y.step == 1 / 256, "its output's scale", y.step, "1/256")
    return tabled(lambda reals: np.float32(1) / (np.float32(1) + np.exp(-reals)))(op, x, y)


def hard_swish(op: Operator, x: Values, y: Values) -> np.ndarray:
    """HARD_SWISH: ``x * clip(x + 3, 0, 6) / 6`` in 16 bits."""
    fine, out = np.float32(1 / 128) * np.float32(x.step), np.float32(y.step)
    (to_output, output_shift), (to_reluish, shift) = (
        multiplier16(float(scale)) for scale in (fine / out, fine / np.float32(3 / 32768))
    )
    op.demand(output_shift <= 0, "its output's scale", y.step, f"above {float(fine):g}")
    fine_values = codes(x) << 7
    preshift = high16(fine_values, to_output)
    reluish = saturated(fine_values << max(shift - 1, 0))
    reluish = high16(reluish, to_reluish)
    if shift > 0:
        reluish = saturated(reluish << 1)
    if shift < 0:
        reluish = away_from_zero(reluish, np.int64(-shift))
    reluish = (reluish + (1 << 15)) >> 1
    product = reluish * preshift
    product = np.sign(product) * (np.abs(product) >> 15)  # towards zero
    return away_from_zero(product, np.int64(max(-output_shift, 0))) + y.zero


def multiplier16(scale: float) -> tuple[int, int]:
    """A scale with a multiplier of 16 bits."""
    multiplier, shift = multiplier_of(scale)
    return min((multiplier + (1 << 15)) >> 16, INT16.max), shift


def high16(a: np.ndarray, b: int) -> np.ndarray:
    """``a * b / 2**15`` to the nearest, halves up."""
    return (a * b + (1 << 14)) >> 15


def saturated(a: np.ndarray) -> np.ndarray:
    """Clipped to 16 bits."""
    return a.clip(INT16.min, INT16.max)


FUNCTIONS: dict[str, Callable[[Operator, Values, Values], np.ndarray]] = {
    "RELU": relu(0.0, None),
    "RELU6": relu(0.0, 6.0),
    "RELU_N1_TO_1": relu(-1.0, 1.0),
    "LEAKY_RELU": leaky_relu,
    "LOGISTIC": logistic,
    "TANH": tabled(np.tanh),
    "HARD_SWISH": hard_swish,
    "QUANTIZE": requantised,
}
"""Results, not yet clipped to the output's format, by the operators' names."""
