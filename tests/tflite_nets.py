"""Random TFLite nets of 8-bit integers: every operator and attribute that the converter knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.arithmetic.geometry import Geometry
from sim.damage.tflite_writer import Writer

ACTIVATIONS = (0, 0, 0, 1, 2, 3)
FUNCTIONS = "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH", "QUANTIZE"
OF_MAPS = (
    *("conv", "depthwise", "pad", "add") * 3,
    *("average", "max", "function") * 2,
    "mean",
    "dense",
    "reshape",
)
OF_ROWS = "dense", "dense", "add", "function"
"""Kinds of the next layer, behind maps of pixels and behind rows of values."""


@dataclass
class Value:
    """A tensor of the net: its number, dimensions without the batch, scale and zero point."""

    index: int
    dims: tuple[int, ...]
    scale: float
    zero: int


class TFLiteDrawer:
    """Draws a net from a seed."""

    def __init__(self, seed: int):
        self.rng, self.writer = np.random.default_rng(seed), Writer()

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def value(self, dims, scale: float | None = None, zero: int | None = None) -> Value:
        """A new tensor."""
        scale = float(np.float32(2.0 ** self.rng.uniform(-9, 1) if scale is None else scale))
        if zero is None:
            zero = (-128, 127, 0, self.integer(-128, 127))[self.integer(0, 3)]
        index = self.writer.tensor((1, *dims), scales=scale, zeros=zero)
        return Value(index, tuple(dims), scale, zero)

    def weights(self, shape, axis: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Weights: number, integers and the scale of each channel."""
        channels = shape[axis]
        values = self.rng.integers(-127, 128, shape)
        scales = 2.0 ** self.rng.uniform(-10, -4, channels if self.chance(0.7) else 1)
        scales = scales.astype(np.float32)
        index = self.writer.constant(values, "INT8", scales=scales, axis=axis % len(shape))
        return index, values, np.broadcast_to(scales, channels)

    def scaled(self, x: Value, products: int, scales, dims, optional: bool = False) -> tuple[Value, int]:
        """An output on which sums of products spread, and the biases' number; or -1 where they may lack."""
        spread = 70.0 * 70.0 * np.sqrt(products) * x.scale * float(np.median(scales))
        extreme = 2.0 ** self.rng.uniform(-4, 4) if self.chance(0.2) else 1.0
        y = self.value(dims, spread / 50 * extreme)
        if optional and self.chance(0.3):
            return y, -1
        reach = int(70 * 70 * np.sqrt(products))
        bias = self.rng.integers(-reach, reach + 1, len(scales))
        steps = x.scale * (np.asarray(scales) if len(set(scales.tolist())) > 1 else scales[:1])
        return y, self.writer.constant(bias, scales=steps)

    def window(self, x: Value, dilated: bool):
        """A window that fits: kernel, stride, padding, dilation, and its positions."""
        while True:
            kernel = self.integer(1, 4), self.integer(1, 4)
            stride = self.integer(1, 3), self.integer(1, 3)
            dilation = (self.integer(1, 3), self.integer(1, 3)) if dilated and self.chance(0.4) else (1, 1)
            same = self.integer(0, 1)
            try:
                geometry = Geometry.resolve(x.dims, kernel, stride, "same" if same else "valid", dilation)
                return kernel, stride, 0 if same else 1, dilation, geometry.positions(x.dims)
            except ValueError:
                continue

    def activation(self) -> int:
        return ACTIVATIONS[self.integer(0, len(ACTIVATIONS) - 1)]

    def conv(self, x: Value, depthwise: bool = False, window=None) -> Value:
        kernel, stride, padding, dilation, positions = window or self.window(x, True)
        channels = x.dims[2]
        if depthwise:
            multiplier = self.integer(1, 3)
            kernels, shape, axis = channels * multiplier, (1, *kernel, channels * multiplier), -1
        else:
            groups = channels if self.chance(0.2) else 1
            multiplier, kernels = None, groups * self.integer(1, max(8 // groups, 1))
            shape, axis = (kernels, *kernel, channels // groups), 0
        weights, values, scales = self.weights(shape, axis)
        y, bias = self.scaled(x, values.size // kernels, scales, (*positions, kernels), depthwise)
        inputs = [x.index, weights] + ([] if bias < 0 else [bias])
        fields = dict(
            Padding=padding, StrideH=stride[0], StrideW=stride[1], DilationHFactor=dilation[0],
            DilationWFactor=dilation[1], FusedActivationFunction=self.activation(),
        )  # fmt: skip
        if depthwise:
            fields["DepthMultiplier"] = multiplier
            self.writer.operator("DEPTHWISE_CONV_2D", inputs, y.index, "DepthwiseConv2DOptions", **fields)
        else:
            self.writer.operator("CONV_2D", inputs, y.index, "Conv2DOptions", **fields)
        return y

    def dense(self, x: Value) -> Value:
        inputs, outputs = int(np.prod(x.dims)), self.integer(1, 8)
        weights, _, scales = self.weights((outputs, inputs), 0)
        y, bias = self.scaled(x, inputs, scales, (outputs,), True)
        self.writer.operator(
            "FULLY_CONNECTED", [x.index, weights, bias], y.index, "FullyConnectedOptions",
            FusedActivationFunction=self.activation(),
        )  # fmt: skip
        return y

    def pool(self, x: Value, kind: str) -> Value:
        kernel, stride, padding, _, positions = self.window(x, False)
        if kind == "AVERAGE_POOL_2D":
            padding = 1
            kernel = tuple(min(k, n) for k, n in zip(kernel, x.dims))
            positions = Geometry(kernel, stride).positions(x.dims)
        y = self.value((*positions, x.dims[2]), x.scale, x.zero)
        self.writer.operator(
            kind, [x.index], y.index, "Pool2DOptions", Padding=padding, StrideH=stride[0], StrideW=stride[1],
            FilterHeight=kernel[0], FilterWidth=kernel[1], FusedActivationFunction=self.activation(),
        )  # fmt: skip
        return y

    def mean(self, x: Value) -> Value:
        keep = self.chance(0.5)
        y = self.value((1, 1, x.dims[2]) if keep else (x.dims[2],), x.scale * 2.0 ** self.rng.uniform(-2, 1))
        axes = self.writer.constant([1, 2] if self.chance(0.5) else [-2, -3])
        self.writer.operator("MEAN", [x.index, axes], y.index, "ReducerOptions", KeepDims=keep)
        return y

    def padded(self, x: Value) -> Value:
        """A border, and the convolution or pooling into which it goes."""
        sides = [(self.integer(0, 2), self.integer(0, 2)) for _ in range(2)]
        widths = self.writer.constant([(0, 0), *sides, (0, 0)])
        dims = (*(n + sum(side) for n, side in zip(x.dims, sides)), x.dims[2])
        y = self.value(dims, x.scale, x.zero)
        self.writer.operator("PAD", [x.index, widths], y.index, "PadOptions")
        kernel = tuple(max(side) + 1 for side in sides)
        stride = self.integer(1, 2), self.integer(1, 2)
        positions = Geometry(kernel, stride).positions(dims)
        if x.zero == -128 and self.chance(0.5):
            z = self.value((*positions, dims[2]), x.scale, x.zero)
            window = dict(FilterHeight=kernel[0], FilterWidth=kernel[1], StrideH=stride[0], StrideW=stride[1])
            self.writer.operator("MAX_POOL_2D", [y.index], z.index, "Pool2DOptions", Padding=1, **window)
            return z
        return self.conv(y, self.chance(0.3), (kernel, stride, 1, (1, 1), positions))

    def function(self, x: Value, kind: str | None = None) -> Value:
        kind = kind or FUNCTIONS[self.integer(0, len(FUNCTIONS) - 1)]
        grids = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, None)}
        scale, zero = grids.get(kind, (x.scale * 2.0 ** self.rng.uniform(-2, 2), None))
        y, options = self.value(x.dims, scale, zero), {}
        if kind == "LEAKY_RELU":
            options = {"options": "LeakyReluOptions", "Alpha": float(self.rng.uniform(-0.3, 1.2))}
        if kind in ("HARD_SWISH", "QUANTIZE"):
            options = {"options": {"HARD_SWISH": "HardSwishOptions", "QUANTIZE": "QuantizeOptions"}[kind]}
        self.writer.operator(kind, [x.index], y.index, **options)
        return y

    def add(self, x: Value, depth: int = 0) -> Value:
        """An addition of two branches from `x` of some layers that keep the shape, or of none."""
        ends = []
        for branch in range(2):
            end = x
            for _ in range(self.integer(0 if branch or self.chance(0.1) else 1, 2)):
                if depth < 2 and self.chance(0.15):
                    end = self.add(end, depth + 1)
                elif len(x.dims) == 3 and self.chance(0.7):
                    kernel = self.integer(1, 3), self.integer(1, 3)
                    weights, values, scales = self.weights((x.dims[2], *kernel, x.dims[2]), 0)
                    y, bias = self.scaled(end, values.size // x.dims[2], scales, x.dims)
                    self.writer.operator(
                        "CONV_2D", [end.index, weights, bias], y.index, "Conv2DOptions", Padding=0, StrideH=1,
                        StrideW=1, DilationHFactor=1, DilationWFactor=1,
                        FusedActivationFunction=self.activation(),
                    )  # fmt: skip
                    end = y
                else:
                    end = self.function(end)
            ends.append(end)
        if self.chance(0.5):
            ends.reverse()
        y = self.value(x.dims, max(end.scale for end in ends) * 2.0 ** self.rng.uniform(-1, 2))
        self.writer.operator(
            "ADD",
            [end.index for end in ends],
            y.index,
            "AddOptions",
            FusedActivationFunction=self.activation(),
        )
        return y

    def reshaped(self, x: Value) -> Value:
        dims = (int(np.prod(x.dims)),)
        y = self.value(dims, x.scale, x.zero)
        shape = self.writer.constant([1, *dims])
        self.writer.operator("RESHAPE", [x.index, shape], y.index, "ReshapeOptions")
        return y

    def layer(self, x: Value) -> Value:
        """One more layer, of those that fit."""
        kinds = OF_MAPS if len(x.dims) == 3 else OF_ROWS
        kind = kinds[self.integer(0, len(kinds) - 1)]
        made = {
            "conv": self.conv,
            "depthwise": lambda x: self.conv(x, depthwise=True),
            "dense": self.dense,
            "add": self.add,
            "average": lambda x: self.pool(x, "AVERAGE_POOL_2D"),
            "max": lambda x: self.pool(x, "MAX_POOL_2D"),
            "mean": self.mean,
            "pad": self.padded,
            "function": self.function,
            "reshape": self.reshaped,
        }
        return made[kind](x)

    def write(self, path, layers: int) -> np.ndarray:
        """Write a net, and give inputs for it, int8 (N, ...)."""
        dims = (self.integer(1, 9), self.integer(1, 9), self.integer(1, 4))
        if self.chance(0.15):
            dims = (self.integer(1, 30),)
        x = self.value(dims)
        source, first = x.index, x
        if self.chance(0.3):
            source = self.writer.tensor((1, *dims), "FLOAT32")
            self.writer.operator("QUANTIZE", [source], x.index, "QuantizeOptions")
        for _ in range(layers):
            x = self.layer(x)
        sink = x.index
        if self.chance(0.3):
            y = self.value(x.dims, 1 / 256, -128)
            sink = self.writer.operator("SOFTMAX", [sink], y.index, "SoftmaxOptions", Beta=1.0)
        if self.chance(0.3):
            floats = self.writer.tensor((1, *x.dims), "FLOAT32")
            sink = self.writer.operator("DEQUANTIZE", [sink], floats, "DequantizeOptions")
        self.writer.write(path, source, sink)
        images = self.rng.integers(-128, 128, (5, *first.dims))
        images[0], images[1] = -128, first.zero
        return images.astype(np.int8)
