"""What TFLite's operators do, as nodes of a description.

Each function takes an operator and what gives a tensor's `Values`; it notes all problems at the operator and
raises a ValueError where it cannot go on. The node that it returns gets its ends from the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from model.arithmetic.geometry import Geometry
from model.arithmetic.rules import FloatProduct, Mean, TwoRoundings, doubling_high, multiplier_of
from model.interchange.assemble import shape_of
from model.interchange.description import (
    Add,
    Average,
    Conv,
    Dense,
    Map,
    Maximum,
    Node,
    Pad,
    Rounding,
    Values,
    View,
    problem,
)
from model.interchange.tflite_file import Operator, Tensor
from model.interchange.tflite_functions import FUNCTIONS, clipped

Look = Callable[[Tensor], Values]
ENDS = {"where": "", "inputs": (), "output": ""}
"""What the reader puts in."""
PADDINGS = {0: "same", 1: "valid"}
ACTIVATIONS = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
"""Limits of fused activations (NONE, RELU, RELU_N1_TO_1, RELU6), by their numbers in the format."""
MOST = 4096
"""Height and width of a window, and channels of a layer, at most."""
HEADROOM = 20
"""Bits by which an addition moves its inputs to the left before it scales them."""


def limits(op: Operator, activation: int, y: Values) -> tuple[int, int]:
    """What a fused activation clips a layer's output to."""
    op.demand(activation in ACTIVATIONS, "fused activation", activation, "NONE, RELU, RELU_N1_TO_1, RELU6")
    return clipped(y, *ACTIVATIONS.get(activation, (None, None)))


def window(op: Operator, x: Values, y: Values, kernel, stride, padding: int, dilation=(1, 1)) -> Geometry:
    """Where a window stands; its positions are those of the output."""
    if padding not in PADDINGS:
        raise ValueError(problem("padding", padding, "SAME or VALID"))
    for what, values in (("its input's shape", x), ("its output's shape", y)):
        if len(values.dims) != 3:
            raise ValueError(problem(what, (1, *values.dims), "batch, height, width and channels"))
    op.demand(max(kernel) <= MOST, "its window", tuple(kernel), f"up to {MOST} on each side")
    geometry = Geometry.resolve(x.dims, kernel, stride, PADDINGS[padding], dilation)
    shape = (1, *geometry.positions(x.dims))
    op.demand((1, *y.dims[:2]) == shape, "its output's shape", (1, *y.dims), f"{shape} and channels")
    return geometry


def constants(op: Operator, rank: int, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, their scales along an axis, and biases."""
    weights, bias = op.input(1), op.input(2)
    if weights is None or weights.data is None or weights.type != "INT8" or len(weights.dims) != rank:
        what = f"{weights.type} of shape {list(weights.dims)}" if weights else "missing"
        raise ValueError(problem("the weights' tensor", what, f"INT8 constants of {rank} dimensions"))
    if not 0 < (channels := weights.dims[axis]) <= MOST:
        raise ValueError(problem("the number of its output channels", f"{channels:,}", f"1 to {MOST:,}"))
    scales = weights.per_channel(axis)
    if scales is None:
        raise ValueError(
            problem(
                "the weights' quantisation", f"{weights.scales.size} scales along dimension {weights.axis}",
                "one scale, or one an output channel, and zero points of 0",
            )
        )  # fmt: skip
    if bias is None:
        return weights.data, scales, np.zeros(channels, np.int64)
    if bias.data is None or bias.type != "INT32" or bias.data.size != channels:
        raise ValueError(
            problem("the biases' tensor", f"{bias.type} of {list(bias.dims)}", f"{channels} INT32")
        )
    return weights.data, scales, bias.data.reshape(-1)


def effective(x: Values, scales: np.ndarray, y: Values) -> np.ndarray:
    """What sums of products are multiplied by, float64."""
    return np.float64(x.step) * scales.astype(np.float64) / np.float64(y.step)


def rounding(op: Operator, scales, y: Values, activation: int) -> Rounding:
    """Two roundings at real scales, and a fused activation."""
    return Rounding(TwoRoundings.of(scales, y.zero), *limits(op, activation, y))


def conv(op: Operator, look: Look, *, depthwise: bool = False) -> Node:
    """CONV_2D and DEPTHWISE_CONV_2D."""
    x, y = look(op.input(0)), look(op.outputs[0])
    options = op.options("DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
    weights, scales, bias = constants(op, 4, -1 if depthwise else 0)
    if not depthwise:
        weights = weights.transpose(1, 2, 3, 0)
    elif len(weights) != 1:
        raise ValueError(problem("the weights' shape", list(weights.shape), "a first dimension of 1"))
    else:
        weights = weights.transpose(1, 2, 0, 3)
    stride = options.StrideH(), options.StrideW()
    dilation = options.DilationHFactor(), options.DilationWFactor()
    geometry = window(op, x, y, weights.shape[:2], stride, options.Padding(), dilation)
    channels, kernels = x.dims[2], weights.shape[3]
    groups = channels if depthwise else channels // max(weights.shape[2], 1)
    op.demand(
        groups * weights.shape[2] == channels and kernels % max(groups, 1) == 0, "the weights' shape",
        list(op.input(1).dims), f"weights for {channels} input channels, in groups of one size or one",
    )  # fmt: skip
    op.demand(y.dims[2] == kernels, "its output's shape", (1, *y.dims), f"{kernels} channels")
    return Conv(
        **ENDS, weights=weights, bias=bias, stride=stride, padding=geometry.padding, dilation=dilation,
        groups=groups,
        rounding=rounding(op, effective(x, scales, y), y, options.FusedActivationFunction()),
    )  # fmt: skip


def fully_connected(op: Operator, look: Look) -> Node:
    """FULLY_CONNECTED, of one row of inputs."""
    x, y = look(op.input(0)), look(op.outputs[0])
    options = op.options("FullyConnectedOptions")
    op.demand(options.WeightsFormat() == 0, "weights_format", options.WeightsFormat(), "DEFAULT")
    weights, scales, bias = constants(op, 2, 0)
    inputs, outputs = int(np.prod(x.dims)), int(np.prod(y.dims))
    op.demand(
        (outputs, inputs) == weights.shape, "the weights' shape", list(weights.shape),
        f"({outputs}, {inputs}): one row of inputs, one of outputs",
    )  # fmt: skip
    if op.input(1).scales.size == 1 and (biases := op.input(2)) is not None:
        # The runtime refuses these too: it takes the biases for sums of products, whatever their scale says.
        step, meant = (float(biases.scales[0]) if biases.scales.size == 1 else 0.0), x.step * float(scales[0])
        op.demand(abs(step - meant) <= 0.02 * y.step, "the biases' scale", step, f"{meant:g}")
    # No multiplier of 31 bits here: LiteRT's reference has a product of floats.
    rule = FloatProduct(effective(x, scales, y), y.zero, np.float64, "away")
    ends = limits(op, options.FusedActivationFunction(), y)
    return Dense(**ENDS, weights=weights.T, bias=bias, rounding=Rounding(rule, *ends))


def pooled(op: Operator, look: Look) -> tuple[Values, Values, Geometry, tuple[int, int]]:
    """Ends, window and limits of a pooling, which keeps its values' grid."""
    x, y, options = look(op.input(0)), look(op.outputs[0]), op.options("Pool2DOptions")
    kernel = options.FilterHeight(), options.FilterWidth()
    geometry = window(op, x, y, kernel, (options.StrideH(), options.StrideW()), options.Padding())
    op.demand(y.dims[2:] == x.dims[2:], "its output's shape", (1, *y.dims), f"{x.dims[2]} channels")
    same_grid(op, x, y)
    return x, y, geometry, limits(op, options.FusedActivationFunction(), y)


def same_grid(op: Operator, x: Values, y: Values) -> None:
    """An output that must have its input's scale and zero point."""
    op.demand(
        (x.step, x.zero) == (y.step, y.zero), "its output's scale and zero point", (y.step, y.zero),
        f"those of its input, {x.step, x.zero}",
    )  # fmt: skip


def max_pool(op: Operator, look: Look) -> Node:
    """MAX_POOL_2D."""
    _, _, geometry, (low, high) = pooled(op, look)
    return Maximum(
        **ENDS, kernel=geometry.kernel, stride=geometry.stride, padding=geometry.padding, low=low, high=high
    )


def average_pool(op: Operator, look: Look) -> Node:
    """AVERAGE_POOL_2D: pixels in the padding do not count, which no sum of a fixed divisor is."""
    _, _, geometry, ends = pooled(op, look)
    op.demand(not np.any(geometry.padding), "padding", f"SAME, {geometry.padding}", "none")
    rule = Mean(geometry.kernel[0] * geometry.kernel[1])
    return Average(
        **ENDS, kernel=geometry.kernel, stride=geometry.stride, addend=0, rounding=Rounding(rule, *ends)
    )


def mean(op: Operator, look: Look) -> Node:
    """MEAN over all pixels."""
    x, y, axes = look(op.input(0)), look(op.outputs[0]), op.input(1)
    if axes is None or axes.data is None:
        raise ValueError(problem("the axes' tensor", "not constant", "INT32 constants"))
    if len(x.dims) != 3:
        raise ValueError(problem("its input's shape", (1, *x.dims), "batch, height, width and channels"))
    over = {int(axis) % 4 for axis in axes.data.reshape(-1)}
    missing = {axis for axis in (1, 2) if axis not in over and x.dims[axis - 1] > 1}
    op.demand(not missing and over <= {1, 2}, "axes", sorted(over), "height and width, [1, 2]")
    op.demand(y.dims[-1] == x.dims[2] == np.prod(y.dims), "its output's shape", (1, *y.dims), "the channels")
    count = x.dims[0] * x.dims[1]
    multiplier, shift = multiplier_of(float(np.float64(x.step) / np.float64(y.step)))
    # The division by the count is part of the multiplier, with as many bits as fit.
    more = min(count.bit_length() - 1, 32, 31 + shift)
    rule = TwoRoundings(np.array([(multiplier << more) // count]), np.array([shift - more]), y.zero)
    return Average(
        **ENDS, kernel=x.dims[:2], stride=(1, 1), addend=-x.zero * count,
        rounding=Rounding(rule, y.format.min, y.format.max),
    )  # fmt: skip


def add(op: Operator, look: Look) -> Node:
    """ADD of two computed tensors of one shape."""
    if len(op.inputs) != 2 or any(tensor is None or tensor.data is not None for tensor in op.inputs):
        raise ValueError(problem("its second input", "constant or missing", "another layer's output"))
    ends, y = [look(tensor) for tensor in op.inputs], look(op.outputs[0])
    options = op.options("AddOptions")
    for x in ends:
        op.demand(x.dims == y.dims, "an input's shape", (1, *x.dims), f"its output's, {(1, *y.dims)}")
    twice = 2.0 * max(x.step for x in ends)
    scale = twice / ((1 << HEADROOM) * y.step)
    if scale >= 1:
        raise ValueError(problem("its output's scale", y.step, f"above {twice / (1 << HEADROOM):g}"))
    entries = []
    for x in ends:
        codes = np.arange(x.format.min, x.format.max + 1) - x.zero
        entries.append(doubling_high(codes << HEADROOM, *multiplier_of(x.step / twice)))
    return Add(
        **ENDS, entries=tuple(entries), rounding=rounding(op, [scale], y, options.FusedActivationFunction())
    )


def pad(op: Operator, look: Look) -> Node:
    """PAD of height and width."""
    x, y, widths = look(op.input(0)), look(op.outputs[0]), op.input(1)
    if widths is None or widths.data is None or widths.dims != (4, 2) or len(x.dims) != 3:
        raise ValueError(
            problem("the paddings' tensor", "not constant, or not 4 x 2", "4 x 2 INT32 constants")
        )
    batch, *sides, channels = (tuple(int(n) for n in side) for side in widths.data)
    op.demand(batch == channels == (0, 0), "paddings", widths.data.tolist(), "of height and width only")
    op.demand(min(map(min, sides)) >= 0, "paddings", widths.data.tolist(), "from 0 on")
    grown = tuple(n + sum(side) for n, side in zip(x.dims, sides))
    op.demand(y.dims == (*grown, x.dims[2]), "its output's shape", (1, *y.dims), f"{(1, *grown, x.dims[2])}")
    same_grid(op, x, y)
    return Pad(**ENDS, padding=tuple(sides))


def reshape(op: Operator, look: Look) -> Node:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the values stay as they lie."""
    x, y = look(op.input(0)), look(op.outputs[0])
    op.demand(np.prod(x.dims) == np.prod(y.dims), "its output's shape", (1, *y.dims), "as many values")
    same_grid(op, x, y)
    return View(**ENDS)


def function(op: Operator, look: Look) -> Node:
    """A function of one value."""
    x, y = look(op.input(0)), look(op.outputs[0])
    op.demand(shape_of(x.dims) == shape_of(y.dims), "its output's shape", (1, *y.dims), f"{(1, *x.dims)}")
    entries = FUNCTIONS[op.kind](op, x, y)
    return Map(**ENDS, function=op.kind.lower(), entries=entries.clip(y.format.min, y.format.max))


OPERATORS: dict[str, Callable[[Operator, Look], Node]] = {
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": partial(conv, depthwise=True),
    "FULLY_CONNECTED": fully_connected,
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool,
    "MAX_POOL_2D": max_pool,
    "MEAN": mean,
    "PAD": pad,
    "RESHAPE": reshape,
    "SQUEEZE": reshape,
    "EXPAND_DIMS": reshape,
    **dict.fromkeys(FUNCTIONS, function),
}
"""All that is known, by the format's names; SOFTMAX and DEQUANTIZE are only folded away at the end."""


def folded_input(operators: list[Operator], source: Tensor) -> tuple[Operator, str] | None:
    """The operator that makes the net's input 8-bit integers."""
    seeing = [operator for operator in operators if source in operator.inputs]
    if source.type == "FLOAT32" and [operator.kind for operator in seeing] == ["QUANTIZE"]:
        return seeing[0], "the net takes its output's integers"
    return None


def folded_output(operators: list[Operator], sink: Tensor) -> tuple[Operator, str] | None:
    """The operator at the net's end that changes no order, or no integers."""
    making = [operator for operator in operators if sink in operator.outputs]
    if len(making) != 1 or making[0].input(0) is None or any(sink in other.inputs for other in operators):
        return None
    (operator,) = making
    if operator.kind == "DEQUANTIZE":
        return operator, "the net gives its input's integers"
    if operator.kind == "SOFTMAX" and operator.options("SoftmaxOptions").Beta() > 0:
        return operator, "the net gives the values before it, which have the same order"
    return None
