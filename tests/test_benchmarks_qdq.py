"""The ONNX graphs that the golden model's speed is compared on compute the same nets."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from benchmarks.qdq import model_of
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec, PoolSpec, TableSpec
from random_nets import NetDrawer


def check(net: QNetwork, images: np.ndarray) -> None:
    """ONNX's own evaluator finds our logits, number by number."""
    images = images.transpose(0, 3, 1, 2).astype(np.int8 if net.input_format.signed else np.uint8)
    (logits,) = ReferenceEvaluator(model_of(net)).run(None, {"images": images})
    np.testing.assert_array_equal(logits, net.output_format.real(net.logits(images.transpose(0, 2, 3, 1))))


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["conv", "general", "dense"]))
@settings(max_examples=30)
def test_single_layers(seed, kind):
    drawer = NetDrawer(seed)
    shape = drawer.integer(1, 5), drawer.integer(1, 5), drawer.integer(1, 3)
    spec = drawer.layer(kind, "layer", shape, drawer.format(1, 8), last=True)
    # ONNX has one bias a channel, and pads with zeros
    assume(spec.bias.ndim == 1 and not getattr(spec, "fill", 0))
    net = QNetwork("net", spec.src, (spec,))
    check(net, drawer.images(net, 2))


def two_layers(seed: int) -> QNetwork:
    """A convolution that saturates but does not round, as ONNX rounds otherwise; a maximum, a dense layer."""
    drawer = NetDrawer(seed)
    shape = drawer.integer(2, 5), drawer.integer(2, 5), drawer.integer(1, 3)
    conv = drawer.layer("conv", "conv", shape, drawer.format(1, 4), last=True)
    dst = QFormat(drawer.integer(2, 8), conv.accumulator.frac, bool(drawer.integer(0, 1)))
    conv = dataclasses.replace(conv, dst=dst)
    # ONNX's evaluator fails for some windows with padding.
    kernel = tuple(min(2, size) for size in conv.out_shape[:2])
    pool = PoolSpec(
        name="pool", in_shape=conv.out_shape, src=dst, dst=dst, mode="max", kernel=kernel, stride=(1, 2)
    )
    dense = drawer.layer("dense", "dense", pool.out_shape, dst, last=True)
    return QNetwork("net", conv.src, (conv, pool, dense))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_values_between_layers(seed):
    net = two_layers(seed)
    check(net, NetDrawer(seed).images(net, 2))


@pytest.mark.parametrize("field", ["weights", "bias", "shifts"])
def test_mutants_fail(field, monkeypatch):
    """The graph of another net is noticed."""
    net = two_layers(3)
    images = NetDrawer(0).images(net, 20)
    check(net, images)
    dense = net.specs[-1]
    fields = {"weight_format": QFormat(8, dense.weight_format.frac), field: getattr(dense, field) ^ 1}
    other = dataclasses.replace(dense, **fields)
    graph = model_of(dataclasses.replace(net, specs=(*net.specs[:-1], other)))
    monkeypatch.setitem(globals(), "model_of", lambda net: graph)
    with pytest.raises(AssertionError):
        check(net, images)


FORMAT = QFormat(8, 4)
DENSE = dict(
    name="dense", in_shape=(1, 1, 2), src=FORMAT, dst=QFormat(30, 8), weights=np.ones((2, 2), int),
    weight_format=FORMAT, bias=np.zeros(2, int),
)  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (DenseSpec(**DENSE | {"src": QFormat(9, 4)}), "int8 holds no values of s9.4"),
        (DenseSpec(**DENSE | {"weight_format": QFormat(9, 4)}), "int8 holds no values of s9.4"),
        (DenseSpec(**DENSE | {"bias": np.full(2, 2**31)}), "dense.*32 bits"),
        (
            TableSpec(
                name="t", in_shape=(1, 1, 2), src=FORMAT, dst=FORMAT, function="f", table=np.zeros(256, int)
            ),
            "'t'.*no ONNX operator",
        ),
    ],
)
def test_what_onnx_has_no_form_for_is_refused(spec, problem):
    with pytest.raises(ValueError, match=problem):
        model_of(QNetwork("net", spec.src, (spec,)))
