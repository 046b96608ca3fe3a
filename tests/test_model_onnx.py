"""The operator vectors of ONNX through our layers: each passes, or asks for what we do not claim."""

import re
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from onnx.backend.test.loader import load_node_model_tests

import onnx_vectors as onnx
from model.layers import Identity, LeakyReLU, Pool, ReLU, Sigmoid, Tanh
from model.net.layer import Layer
from onnx_vectors import Case, Importer, Unclaimed

UNCLAIMED = {
    onnx.DILATED: """
        test_MaxPool1d_stride_padding_dilation test_MaxPool2d_stride_padding_dilation
        test_averagepool_2d_dilations test_maxpool_2d_dilations
    """,
    onnx.PARTIAL: """
        test_averagepool_2d_ceil test_averagepool_2d_pads test_averagepool_2d_precomputed_pads
        test_averagepool_2d_precomputed_same_upper test_averagepool_2d_same_lower
        test_averagepool_2d_same_upper
    """,
    onnx.INDICES: """
        test_maxpool_with_argmax_2d_precomputed_pads test_maxpool_with_argmax_2d_precomputed_strides
    """,
    onnx.COLUMNS: "test_gemm_all_attributes test_gemm_transposeA",
    onnx.BIASES: "test_gemm_default_matrix_bias test_operator_addmm",
    onnx.AXIS: "test_softmax_axis_0 test_softmax_axis_1",
    onnx.RUNNING: "test_batchnorm_epsilon_training_mode test_batchnorm_example_training_mode",
    onnx.SPLIT: """
        test_flatten_axis0 test_flatten_axis2 test_flatten_axis3 test_flatten_negative_axis1
        test_flatten_negative_axis2 test_flatten_negative_axis4
    """,
}
"""The cases that do not count, by what they ask for."""
REASONS = {name: reason for reason, names in UNCLAIMED.items() for name in names.split()}
IGNORED = {"broadcast", "is_test", "momentum"}
"""Attributes that change nothing in the outputs of a net that is not trained."""
CASES = {case.name: case for case in sorted(onnx.shipped(), key=lambda case: case.name)}
TABLE = Path(__file__).parents[1] / "docs" / "operators.md"


def check(case: Case, importer: Importer) -> None:
    """Compare as ONNX's own runner does."""
    assert case.data
    for inputs, outputs in case.data:
        for y, expected in zip(importer.run(case.model, inputs), outputs, strict=True):
            assert y.shape == expected.shape
            np.testing.assert_allclose(y, expected, rtol=case.rtol, atol=case.atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_vectors(name, dtype):
    case = CASES[name]
    assert case.rtol <= 1e-3 and case.atol <= 1e-7
    if name not in REASONS:
        check(case, Importer(dtype))
        return
    with pytest.raises(Unclaimed) as unclaimed:
        check(case, Importer(dtype))
    assert unclaimed.value.args == (REASONS[name],)


def test_enough_pass():
    assert REASONS.keys() <= CASES.keys(), "an unclaimed case that ONNX has no more"
    assert len(REASONS) == sum(len(names.split()) for names in UNCLAIMED.values())
    passed = Counter(case.operator for name, case in CASES.items() if name not in REASONS)
    assert passed.keys() == onnx.OPERATORS.keys() and min(passed.values()) >= 2
    assert passed["Conv"] >= 26 and passed["MaxPool"] >= 16 and passed.total() >= 99


def test_no_case_is_overlooked():
    """Among all of ONNX's modules no other has a case of our operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = load_node_model_tests()
    assert len(tests) > 1000
    ours = {test.name for test in tests if onnx.case_of(test)}
    known = {name for name, case in CASES.items() if name in ours}
    assert ours == known and len(ours) > 60


def flipped(layer: Layer, params: dict) -> tuple[Layer, dict]:
    """A convolution in place of a correlation, and a dense layer with its inputs the wrong way round."""
    return layer, {**params, "weights": params["weights"][::-1]}


def becoming(other) -> onnx.Twist:
    """Another layer."""
    return lambda layer, params: (other(layer), {})


TWISTS = {
    "Conv": flipped,
    "Gemm": flipped,
    "Flatten": flipped,
    "MaxPool": becoming(lambda layer: Pool("avg", *layer.window)),
    "AveragePool": becoming(lambda layer: Pool("sum", *layer.window)),
    "GlobalMaxPool": becoming(lambda layer: Pool("avg", *layer.window)),
    "GlobalAveragePool": becoming(lambda layer: Pool("max", *layer.window)),
    "Sigmoid": becoming(lambda layer: Tanh()),
    "Tanh": becoming(lambda layer: Sigmoid()),
    "Relu": becoming(lambda layer: LeakyReLU()),
    "LeakyRelu": becoming(lambda layer: ReLU()),
    "Softmax": becoming(lambda layer: Identity()),
    "BatchNormalization": lambda layer, params: (layer, {**params, "mean": params["mean"] + 0.01}),
}


@pytest.mark.parametrize("operator", onnx.OPERATORS)
def test_wrong_layers_fail(operator):
    failed = []
    for name, case in CASES.items():
        if case.operator == operator and name not in REASONS:
            try:
                check(case, Importer(np.float64, TWISTS[operator]))
            except AssertionError:
                failed.append(name)
    assert failed


def rows() -> dict[str, list[str]]:
    """The table of the documentation, by operator: its other cells."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def test_the_table_says_so():
    """Attributes that a passing vector has, what is not claimed, and how many pass, of each operator."""
    of_operator, attributes, reasons = Counter(), defaultdict(set), defaultdict(set)
    for name, case in CASES.items():
        of_operator[case.operator, name not in REASONS] += 1
        if name in REASONS:
            reasons[case.operator].add(REASONS[name])
        else:
            nodes = [node for node in case.model.graph.node if node.op_type == case.operator]
            attributes[case.operator] |= {item.name for node in nodes for item in node.attribute} - IGNORED
    table = rows()
    assert table.keys() == onnx.OPERATORS.keys()
    for operator, (_, claimed, unclaimed, vectors) in table.items():
        passed, left = of_operator[operator, True], of_operator[operator, False]
        assert set(re.findall(r"`(\w+)`", claimed)) == attributes[operator], operator
        assert unclaimed == "; ".join(sorted(reasons[operator])), operator
        assert vectors == f"{passed} of {passed + left}", operator
