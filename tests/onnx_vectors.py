"""The operator vectors that ONNX ships, and an importer that runs their models in our layers.

It takes what a layer of ours can do, at times in other words (see `docs/operators.md`), and raises
`Unclaimed` for everything else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case import node as node_cases
from onnx.backend.test.loader import DATA_DIR, load_model_tests

from model.layers import BatchNorm, Conv, Dense, LeakyReLU, Pool, ReLU, Sigmoid, Softmax, Tanh
from model.net.layer import Layer
from model.net.network import Network

FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")
AROUND = {"Constant", "Squeeze", "Unsqueeze"}
"""Operators that only move values or give constants; models may hold them besides ours."""

DILATED = "windows with gaps (`dilations`)"
PARTIAL = "averages of the pixels inside the image alone (`count_include_pad=0`, windows over the edge)"
INDICES = "where the maxima stand (output `Indices`)"
COLUMNS = "images as columns (`transA=1`)"
BIASES = "another bias for each image"
AXIS = "along an axis that values of the same image follow"
RUNNING = "running averages (`training_mode=1`): ours are measured once, after training"
SPLIT = "splits elsewhere than between images and values"


class Unclaimed(Exception):
    """The model asks for what we do not claim; the argument says what."""


@dataclass(frozen=True)
class Case:
    """A model, and inputs with the outputs that ONNX expects."""

    name: str
    operator: str
    model: onnx.ModelProto
    data: list[tuple[list[np.ndarray], list[np.ndarray]]]
    rtol: float
    atol: float


def shipped() -> list[Case]:
    """All cases of our operators for images of up to two dimensions."""
    for module in MODULES.values():
        importlib.import_module(f"{node_cases.__name__}.{module}")
    tests = [*node_cases._NodeTestCases]
    for folder in FOLDERS:
        tests += load_model_tests(DATA_DIR, folder)
    return [case for test in tests if (case := case_of(test))]


def case_of(test) -> Case | None:
    """A case of ONNX's backend test; None if it is not of our operators."""
    model = test.model or onnx.load(Path(test.model_dir) / "model.onnx")
    operators = {node.op_type for node in model.graph.node} - AROUND
    if len(operators) != 1 or not operators <= OPERATORS.keys():
        return None
    if any(len(value.type.tensor_type.shape.dim) > 4 for value in model.graph.input):
        return None
    folders = sorted(Path(test.model_dir).glob("test_data_set_*")) if test.model_dir else []
    data = test.data_sets or [
        tuple([tensor(path) for path in sorted(folder.glob(f"{side}_*.pb"))] for side in ("input", "output"))
        for folder in folders
    ]
    return Case(test.name, *operators, model, data, test.rtol, test.atol)


def tensor(path: Path) -> np.ndarray:
    """The array in a file."""
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


Twist = Callable[[Layer, dict], tuple[Layer, dict]]


class Importer:
    """Runs models in our layers.

    Parameters
    ----------
    dtype : type
        Of the layers.
    twist : callable, optional
        Puts another layer and other parameters in the place of each: a fault to be noticed.
    """

    def __init__(self, dtype: type, twist: Twist = lambda layer, params: (layer, params)):
        self.dtype, self.twist = dtype, twist

    def run(self, model: onnx.ModelProto, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs of a model."""
        self.opset = next(opset.version for opset in model.opset_import if not opset.domain)
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        free = [value.name for value in model.graph.input if value.name not in values]
        values |= dict(zip(free, inputs, strict=True))
        for node in model.graph.node:
            if len([name for name in node.output if name]) > 1:
                raise Unclaimed(RUNNING if node.op_type == "BatchNormalization" else INDICES)
            operator = OPERATORS.get(node.op_type) or getattr(Importer, node.op_type.lower())
            attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
            x = [values[name] for name in node.input if name]
            values[node.output[0]] = operator(self, attributes, *x)
        return [values[value.name] for value in model.graph.output]

    def layer(self, layer: Layer, x: np.ndarray, **params: np.ndarray) -> np.ndarray:
        """What a layer with given parameters makes of images (N, H, W, C)."""
        layer, params = self.twist(layer, params)
        network = Network([layer], x.shape[1:], np.random.default_rng(0), self.dtype)
        assert layer.params.keys() <= params.keys()
        for key, value in params.items():
            if key in layer.params:
                layer.params[key][...] = value
            else:
                setattr(layer, key, value.astype(self.dtype))
        return network.trace(x.astype(self.dtype))[-1]

    def images(self, layer: Layer, x: np.ndarray, **params: np.ndarray) -> np.ndarray:
        """`layer`, for the NCHW, or NCL, of ONNX; a line counts as an image of one row."""
        y = self.layer(layer, np.moveaxis(x[:, :, None] if x.ndim == 3 else x, 1, 3), **params)
        y = np.moveaxis(y, 3, 1)
        return y[:, :, 0] if x.ndim == 3 else y

    def frames(self, layer: Layer, x: np.ndarray, images: int, **params: np.ndarray) -> np.ndarray:
        """`layer`, for values of any shape that make so many images of 1 x 1 pixel."""
        y = self.layer(layer, x.reshape(images, 1, 1, -1), **params)
        return y.reshape(x.shape) if y.size == x.size else y.reshape(images, -1)

    def conv(self, attributes, x, weights, *bias):
        geometry = window(attributes, x.shape, weights.shape[2:])
        kinds = {"groups": attributes.get("group", 1), "bias": "channel" if bias else None}
        layer = Conv(len(weights), *geometry[:3], dilation=geometry[3], **kinds)
        weights = weights[:, :, None] if x.ndim == 3 else weights
        params = {"bias": bias[0]} if bias else {}
        return self.images(layer, x, weights=weights.transpose(2, 3, 1, 0), **params)

    def maxpool(self, attributes, x):
        return self.images(Pool("max", *pool_window(attributes, x.shape)[0]), x)

    def averagepool(self, attributes, x):
        geometry, over = pool_window(attributes, x.shape)
        padded = geometry[2] == "same" or any(max(side) for side in geometry[2])
        if over or (padded and not attributes.get("count_include_pad")):
            raise Unclaimed(PARTIAL)
        return self.images(Pool("avg", *geometry), x)

    def globalmaxpool(self, attributes, x):
        return self.images(Pool("max", (1, *x.shape[2:])[-2:]), x)

    def globalaveragepool(self, attributes, x):
        return self.images(Pool("avg", (1, *x.shape[2:])[-2:]), x)

    def gemm(self, attributes, a, b, c=None):
        if attributes.get("transA"):
            raise Unclaimed(COLUMNS)
        if c is not None and c.ndim == 2 and len(c) > 1:
            raise Unclaimed(BIASES)
        weights = attributes.get("alpha", 1) * (b.T if attributes.get("transB") else b).astype(self.dtype)
        bias = np.zeros(1) if c is None else attributes.get("beta", 1) * c.reshape(-1).astype(self.dtype)
        return self.frames(Dense(weights.shape[1]), a, len(a), weights=weights, bias=bias)

    def flatten(self, attributes, x):
        if attributes.get("axis", 1) % max(x.ndim, 2) != 1:
            raise Unclaimed(SPLIT)
        x = x.reshape((*x.shape, 1, 1, 1)[:4])
        count = int(np.prod(x.shape[1:]))
        # A dense layer that hands on what it sees, in ONNX's order.
        weights = np.moveaxis(np.eye(count).reshape(*x.shape[1:], count), 0, 2).reshape(count, count)
        return self.images(Dense(count), x, weights=weights, bias=np.zeros(count)).reshape(len(x), -1)

    def batchnormalization(self, attributes, x, scale, shift, mean, variance):
        layer = BatchNorm(attributes.get("epsilon", 1e-5))
        return self.images(layer, x, scale=scale, shift=shift, mean=mean, variance=variance)

    def softmax(self, attributes, x):
        axis = attributes.get("axis", -1 if self.opset >= 13 else 1) % x.ndim
        if self.opset >= 13 and axis != x.ndim - 1:
            raise Unclaimed(AXIS)
        return self.frames(Softmax(), x, int(np.prod(x.shape[:axis])))

    def sigmoid(self, attributes, x):
        return self.values(Sigmoid(), x)

    def tanh(self, attributes, x):
        return self.values(Tanh(), x)

    def relu(self, attributes, x):
        return self.values(ReLU(), x)

    def leakyrelu(self, attributes, x):
        return self.values(LeakyReLU(attributes.get("alpha", 0.01)), x)

    def values(self, layer: Layer, x: np.ndarray) -> np.ndarray:
        """An activation of single values."""
        return self.images(layer, x) if x.ndim == 4 else self.frames(layer, x, len(x))

    def constant(self, attributes):
        return numpy_helper.to_array(attributes["value"])

    def squeeze(self, attributes, x):
        return np.squeeze(x, tuple(attributes["axes"]))

    def unsqueeze(self, attributes, x):
        return np.expand_dims(x, tuple(attributes["axes"]))


MODULES = {
    "AveragePool": "averagepool",
    "BatchNormalization": "batch_normalization",
    "Conv": "conv",
    "Flatten": "flatten",
    "Gemm": "gemm",
    "GlobalAveragePool": "globalaveragepool",
    "GlobalMaxPool": "globalmaxpool",
    "LeakyRelu": "leakyrelu",
    "MaxPool": "maxpool",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Tanh": "tanh",
}
"""Of `onnx.backend.test.case.node`, by operator; to import one makes its vectors."""
OPERATORS = {name: getattr(Importer, name.lower()) for name in MODULES}
"""What runs each operator."""


def window(attributes: dict, shape: tuple[int, ...], kernel) -> tuple:
    """Kernel, stride, padding and dilation as our layers take them, from ONNX's; a line is one row high."""
    sizes = shape[2:]
    stride = attributes.get("strides", [1] * len(sizes))
    dilation = attributes.get("dilations", [1] * len(sizes))
    pads = attributes.get("pads", [0] * 2 * len(sizes))
    padding = list(zip(pads[: len(sizes)], pads[len(sizes) :]))
    rule = attributes.get("auto_pad", b"NOTSET")
    if rule == b"SAME_LOWER":
        missing = [
            max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            for size, k, s, d in zip(sizes, kernel, stride, dilation)
        ]
        padding = [(total - total // 2, total // 2) for total in missing]
    ahead = (1,) * (2 - len(sizes))
    kernel, stride, dilation = (ahead + tuple(numbers) for numbers in (kernel, stride, dilation))
    padding = "same" if rule == b"SAME_UPPER" else (*((0, 0),) * len(ahead), *padding)
    return kernel, stride, padding, dilation


def pool_window(attributes: dict, shape: tuple[int, ...]) -> tuple[tuple, bool]:
    """Kernel, stride and padding of a pooling, and whether `ceil_mode` brought windows over the edge.

    Such windows are windows on more padding.
    """
    kernel, stride, padding, dilation = window(attributes, shape, attributes["kernel_shape"])
    if max(dilation) > 1:
        raise Unclaimed(DILATED)
    if not attributes.get("ceil_mode"):
        return (kernel, stride, padding), False
    sides, over = [], False
    for size, k, s, (before, after) in zip((*[1] * (4 - len(shape)), *shape[2:]), kernel, stride, padding):
        count = -(-(before + size + after - k) // s) + 1
        count -= (count - 1) * s >= before + size  # a window must begin on the image or before it
        more = max((count - 1) * s + k - (before + size + after), 0)
        sides.append((before, after + more))
        over |= more > 0
    return (kernel, stride, tuple(sides)), over
