"""Formats and rounding, against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic.qformat import MAX_WIDTH, QFormat, Requant
from naive import requant

FORMATS = [QFormat(width, frac, signed) for width in (1, 2, 3, 5) for frac in (-2, 0, 3) for signed in (0, 1)]


@pytest.mark.parametrize("src", FORMATS, ids=str)
@pytest.mark.parametrize("dst", FORMATS, ids=str)
def test_requant_every_value(src, dst):
    codes = np.arange(src.min, src.max + 1)
    expected = [requant(int(code), src.frac, dst.width, dst.frac, dst.signed) for code in codes]
    np.testing.assert_array_equal(Requant(src, dst)(codes), expected)


@given(st.data())
@settings(deadline=None)
def test_requant_wide(data):
    frac = st.integers(-40, 80)
    src = QFormat(data.draw(st.integers(1, MAX_WIDTH)), data.draw(frac), data.draw(st.booleans()))
    dst = QFormat(data.draw(st.integers(1, MAX_WIDTH)), data.draw(frac), data.draw(st.booleans()))
    codes = data.draw(st.lists(st.integers(src.min, src.max), min_size=1, max_size=5))
    expected = [requant(code, src.frac, dst.width, dst.frac, dst.signed) for code in codes]
    try:
        result = Requant(src, dst)(codes)
    except ValueError:
        assert src.width + dst.frac - src.frac > 63  # refused, not wrong
    else:
        np.testing.assert_array_equal(result, expected)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    st.integers(1, 30),
    st.integers(-8, 24),
    st.booleans(),
)
@settings(deadline=None)
def test_quantise_rounds_half_up(values, width, frac, signed):
    fmt = QFormat(width, frac, signed)
    expected = [requant(Fraction(value), 0, width, frac, signed) for value in values]
    np.testing.assert_array_equal(fmt.quantise(values), expected)


def test_quantise_at_the_halves():
    fmt = QFormat(4, 1)
    halves = np.arange(-20, 21) / 4
    expected = [requant(Fraction(value), 0, 4, 1, True) for value in halves]
    np.testing.assert_array_equal(fmt.quantise(halves), expected)
    assert fmt.quantise(-0.25) == 0 and fmt.quantise(0.25) == 1


@given(st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60))
@settings(deadline=None)
def test_spanning_is_the_narrowest(a, b):
    low, high = min(a, b), max(a, b)
    fmt = QFormat.spanning(low, high, 3)
    assert fmt.signed and fmt.frac == 3
    assert fmt.min <= low and high <= fmt.max
    if fmt.width > 1:
        narrower = QFormat(fmt.width - 1, 3)
        assert low < narrower.min or narrower.max < high


@pytest.mark.parametrize("width", [0, -1, MAX_WIDTH + 1])
def test_width_is_checked(width):
    with pytest.raises(ValueError, match=f"1 to {MAX_WIDTH} bits"):
        QFormat(width, 0)


def test_contains():
    fmt = QFormat(3, 0)
    assert fmt.contains([-4, 3]) and fmt.contains([])
    assert not fmt.contains([4]) and not fmt.contains([-5])
