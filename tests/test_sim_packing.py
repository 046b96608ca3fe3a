"""Payloads as bytes: there and back, and against Amaranth's own packing of constants."""

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.bench import packing

plain = st.builds(Shape, st.integers(1, 70), st.booleans())
shapes = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.builds(data.ArrayLayout, inner, st.integers(1, 4)),
        st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3).map(data.StructLayout),
    ),
    max_leaves=4,
)


def draw_value(draw, shape):
    """One payload as Amaranth takes it: nested lists and dicts."""
    if isinstance(shape, data.ArrayLayout):
        return [draw_value(draw, shape.elem_shape) for _ in range(shape.length)]
    if isinstance(shape, data.StructLayout):
        return {name: draw_value(draw, field.shape) for name, field in shape}
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    return draw(st.integers(low, (1 << (shape.width - shape.signed)) - 1))


def gather(shape, payloads: list):
    """Payloads one by one as the nested arrays of `packing`."""
    if isinstance(shape, data.ArrayLayout):
        columns = [
            gather(shape.elem_shape, [payload[key] for payload in payloads]) for key in range(shape.length)
        ]
        return packing.stacked(columns)
    if isinstance(shape, data.StructLayout):
        return {name: gather(field.shape, [payload[name] for payload in payloads]) for name, field in shape}
    return np.array(payloads, dtype=object if shape.width > 63 else np.int64)


def constant(shape, payload) -> int:
    """The bits that Amaranth makes of a payload."""
    if isinstance(shape, data.Layout):
        return shape.const(payload).as_bits()
    return payload & ((1 << shape.width) - 1)


def assert_equal(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            assert_equal(a[name], b[name])
    else:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_round_trip_and_amaranth_agree(data_):
    shape = data_.draw(shapes)
    payloads = [draw_value(data_.draw, shape) for _ in range(data_.draw(st.integers(1, 4)))]
    values = gather(shape, payloads)
    rows = packing.pack(shape, values)
    assert rows.shape == (len(payloads), packing.row_bytes(shape))
    assert [int.from_bytes(row.tobytes(), "big") for row in rows] == [constant(shape, p) for p in payloads]
    assert_equal(packing.unpack(shape, rows), values)


def test_marks_may_be_booleans():
    shape = data.StructLayout({"data": data.ArrayLayout(signed(3), 2), "first": 1})
    rows = packing.pack(shape, {"data": np.array([[-1, 2], [3, -4]]), "first": np.array([True, False])})
    assert rows.tolist() == [[0b1_010_111], [0b0_100_011]]


@pytest.mark.parametrize(
    ("shape", "values", "message"),
    [
        (unsigned(4), [16], "integers of 0 to 15"),
        (signed(4), [-9], "integers of -8 to 7"),
        (unsigned(4), [0.5], "integers of 0 to 15"),
        (unsigned(4), [[1]], "expected 1 values"),
        (data.ArrayLayout(4, 3), [[1, 2]], "expected 3 values a beat"),
        (data.StructLayout({"a": 4, "b": 4}), {"a": [1]}, "a dict with the fields"),
        (data.StructLayout({"a": 4, "b": 4}), {"a": [1], "b": [1, 2]}, "expected 1 values"),
    ],
)
def test_values_that_do_not_fit_are_refused(shape, values, message):
    with pytest.raises(ValueError, match=message):
        packing.pack(shape, values)
