"""Specs from descriptions that no file format of today makes: other roundings, and graphs."""

import numpy as np
import pytest

from model.arithmetic.qformat import QFormat
from model.arithmetic.rules import FloatProduct, TwoRoundings
from model.golden.qchain import walk
from model.interchange.assemble import assembled
from model.interchange.description import Dense, Description, Map, Refused, Rounding, Values

S8 = QFormat(8, 0)
RNG = np.random.default_rng(0)
X = RNG.integers(-128, 128, (300, 1, 1, 6))


def dense(rule, weights, bias, zero: int) -> Description:
    """A net of one dense layer."""
    values = {"x": Values((6,), S8, 0.5, zero), "y": Values((len(bias),), S8, 1.0, 0)}
    node = Dense(
        where="dense", inputs=("x",), output="y", weights=weights, bias=bias,
        rounding=Rounding(rule, -128, 127),
    )  # fmt: skip
    return Description("test", values, "x", "y", [node])


@pytest.mark.parametrize("rounding", ["even", "away", "floor", "ceil"])
@pytest.mark.parametrize("zero", [-128, 0, 17])
def test_float_roundings(rounding, zero):
    """As onnxruntime and QONNX round; one channel has nothing but a sign, another is constant."""
    scales = np.array([0.0123456789, 2.0**-9, 1e-12, 0.301029996, 0.0123456789])
    weights, bias = RNG.integers(-99, 100, (6, 5)), RNG.integers(-5000, 5000, 5)
    weights[:, 2], bias[2], bias[4] = [1, -1, 1, -1, 1, -1], 0, 1 << 29
    rule = FloatProduct(scales, 0, np.float64, rounding)
    description = dense(rule, weights, bias, zero)
    net = assembled(description, "net", [])
    sums = (X.reshape(-1, 6) - zero) @ weights + bias
    expected = rule(sums.T).T.clip(-128, 127)
    np.testing.assert_array_equal(net.logits(X), expected)
    assert len(np.unique(expected[:, 2])) == (2 if rounding in ("floor", "ceil") else 1)
    layer, rescale = net.specs
    assert (rescale.odd is not None) == (rounding == "even")
    assert not layer.weights[:, 4].any() and layer.accumulator.width < 20
    assert layer.weights[:, 2].any() == (rounding in ("floor", "ceil"))
    assert description.notes and "constant" in description.notes[0]


def test_channels_without_a_form_are_refused_by_number():
    def rule(a):
        crooked = np.repeat(np.arange(-60, 60), [50, 1, 1] * 40)
        return np.stack([a[0], crooked[np.clip(a[1] + 1000, 0, len(crooked) - 1)]])

    weights, bias = RNG.integers(-9, 10, (6, 2)), np.zeros(2, int)
    with pytest.raises(Refused, match=r"dense: no multiplication.*1 channels \(the first is 1\)"):
        assembled(dense(rule, weights, bias, 0), "net", [])


def test_what_the_reader_found_is_told_first():
    rule = TwoRoundings.of([0.01, 0.01])
    description = dense(rule, RNG.integers(-9, 10, (6, 2)), np.zeros(2, int), 0)
    lost = Map(where="lost", inputs=("z",), output="w", function="f", entries=np.arange(256))
    description.nodes.append(lost)
    with pytest.raises(Refused) as caught:
        assembled(description, "net", ["first"])
    assert caught.value.problems == ["first", "lost: an input of it does not come from the net's input"]


def test_names_are_unique_and_known():
    net = assembled(dense(TwoRoundings.of([0.01] * 2), np.ones((6, 2), int), np.zeros(2, int), 0), "net", [])
    assert [spec.name for spec in walk(net.specs)] == ["dense1", "dense1_out"]
    assert net.metadata["converted"]["tensors"] == {"dense1_out": "y"}
    assert net.metadata["converted"]["input"] == {"step": 0.5, "zero": 0}
