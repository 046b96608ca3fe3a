"""A quantised net of ours as an ONNX graph with QuantizeLinear and DequantizeLinear around its operators."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec

OPSET, IR_VERSION = 19, 9
"""Of the graph: any onnxruntime since 2023 reads them."""
FUNCTIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh"}
"""Operators for what our tables hold."""
INT32 = QFormat(32, 0)


def model_of(net: QNetwork) -> onnx.ModelProto:
    """The graph of a net.

    It takes ``images``, (N, C, H, W) in the net's input format, and gives ``logits``, (N, classes), in
    float32. All values between two layers are integers of 8 bits with our scales. They are rounded half to
    even, where ours are rounded half up.

    Raises
    ------
    ValueError
        If a layer has no such form, or a value more than 8 bits.
    """
    graph = Graph()
    height, width, channels = net.in_shape
    value = graph.real("images", net.input_format)
    for spec in net.specs:
        value = graph.layer(spec, value)
        if spec is not net.specs[-1]:
            value = graph.quantised(value, spec.dst)
    if net.out_shape[:2] != (1, 1):
        value = graph.add("Transpose", [value], perm=[0, 2, 3, 1])
    graph.add("Flatten", [value], "logits")
    kind = helper.np_dtype_to_tensor_dtype(integers(net.input_format).dtype)
    inputs = [helper.make_tensor_value_info("images", kind, ["N", channels, height, width])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", net.outputs])]
    made = helper.make_graph(graph.nodes, net.name, inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


class Graph:
    """Nodes and constants of a graph that grows; values go by their names."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str | None = None, **attributes) -> str:
        """A node more; the value that it makes."""
        output = output or f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, array) -> str:
        """A constant more."""
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def scale(self, frac: int) -> str:
        """The real number that the integer 1 stands for."""
        return self.constant(np.float32(2.0**-frac))

    def real(self, q: str, fmt: QFormat) -> str:
        """Real numbers from the integers of a format."""
        return self.add("DequantizeLinear", [q, self.scale(fmt.frac), self.constant(integers(fmt))])

    def quantised(self, value: str, fmt: QFormat) -> str:
        """Real numbers, after they have been integers of a format."""
        zero = integers(fmt)
        if fmt.width < 8:
            limits = [self.constant(np.float32(fmt.real(q))) for q in (fmt.min, fmt.max)]
            value = self.add("Clip", [value, *limits])
        q = self.add("QuantizeLinear", [value, self.scale(fmt.frac), self.constant(zero)])
        return self.real(q, fmt)

    def layer(self, spec: Spec, value: str) -> str:
        """A layer's real outputs from its real inputs."""
        if spec.kind == "conv" and spec.bias.ndim == 1 and not spec.fill:
            weights = spec.weights.transpose(3, 2, 0, 1)
            attributes = window(spec) | {"group": spec.groups, "dilations": spec.dilation}
            return self.add("Conv", [value, *self.operands(spec, weights, 0)], **attributes)
        if spec.kind == "dense":
            # Inputs in the order (C, H, W).
            weights = spec.weights.reshape(*spec.in_shape, -1).transpose(2, 0, 1, 3)
            value = self.quantised(self.add("Flatten", [value]), spec.src)
            return self.add("Gemm", [value, *self.operands(spec, weights.reshape(spec.weights.shape), 1)])
        if spec.kind == "pool" and spec.mode == "max":
            return self.add("MaxPool", [value], **window(spec))
        if spec.kind == "pool" and spec.mode == "avg":
            return self.add("AveragePool", [value], count_include_pad=1, **window(spec))
        if spec.kind == "table" and spec.function in FUNCTIONS:
            return self.add(FUNCTIONS[spec.function], [value])
        if spec.kind == "requant":
            return value
        spec.fail(f"the benchmark knows no ONNX operator for such a {spec.kind!r}")

    def operands(self, spec: WeightedSpec, weights: np.ndarray, axis: int) -> list[str]:
        """A layer's real weights, here in ONNX's order with the channels along an axis, and its biases."""
        if not INT32.contains(spec.bias):
            spec.fail("onnxruntime's biases have 32 bits")
        q, frac = weights.astype(integers(spec.weight_format).dtype), spec.weight_format.frac
        return [
            self.scaled(q, frac, spec.shifts, axis),
            self.scaled(spec.bias.astype(np.int32), spec.src.frac + frac, spec.shifts, 0),
        ]

    def scaled(self, q: np.ndarray, frac: int, shifts: np.ndarray, axis: int) -> str:
        """Real numbers from constant integers, whose scales differ along an axis if there are shifts."""
        if not shifts.any():
            shifts, axis = np.array(0), None
        scales, zeros = np.float32(2.0 ** (shifts - frac)), np.zeros_like(shifts, q.dtype)
        inputs = [self.constant(array) for array in (q, scales, zeros)]
        return self.add("DequantizeLinear", inputs, **({} if axis is None else {"axis": axis}))


def integers(fmt: QFormat) -> np.ndarray:
    """The zero of a format, in the type that onnxruntime keeps its integers in."""
    if fmt.width > 8:
        raise ValueError(f"onnxruntime's int8 holds no values of {fmt}")
    return np.array(0, np.int8 if fmt.signed else np.uint8)


def window(spec: Spec) -> dict:
    """Where a window stands, as attributes."""
    geometry = spec.geometry
    (top, bottom), (left, right) = geometry.padding
    return {
        "kernel_shape": geometry.kernel,
        "strides": geometry.stride,
        "pads": (top, left, bottom, right),
    }
