"""Rescales: the form with the fewest bits, proved equal to the frameworks' rounding by its steps."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic import rescale as module
from model.arithmetic.exact import narrowest
from model.arithmetic.rescale import Rescale, Unmatched, matched
from model.arithmetic.rules import FloatProduct, Mean, TwoRoundings, doubling_high, multiplier_of
from model.arithmetic.slopes import simplest
from model.arithmetic.steps import steps


def doubling(x: int, multiplier: int, shift: int) -> int:
    """TFLite's two roundings, as its C++ says them: Python integers, one by one."""
    product = (x << max(shift, 0)) * multiplier
    nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    high = abs(nudged) // (1 << 31) * (1 if nudged >= 0 else -1)  # division towards zero
    right = max(-shift, 0)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_two_roundings_are_tflites(data):
    shift = data.draw(st.integers(-31, 12))
    limit = (1 << 31) - 1 >> max(shift, 0)
    x = data.draw(st.lists(st.integers(-limit, limit), min_size=1, max_size=50))
    multiplier = data.draw(st.integers(1 << 30, (1 << 31) - 1))
    expected = [doubling(one, multiplier, shift) for one in x]
    np.testing.assert_array_equal(doubling_high(x, multiplier, shift), expected)


@given(st.floats(2.0**-40, 2.0**29))
def test_scales_as_tflite_keeps_them(scale):
    multiplier, shift = multiplier_of(scale)
    if scale < 2.0**-33:
        assert multiplier == 0
    elif multiplier:
        assert 1 << 30 <= multiplier < 1 << 31
        assert abs(math.ldexp(multiplier, shift - 31) / scale - 1) <= 2.0**-31


@pytest.mark.parametrize("scale", [-1.0, math.inf, math.nan, 2.0**31])
def test_scales_that_are_none(scale):
    with pytest.raises(ValueError, match="scale"):
        multiplier_of(scale)


def test_sums_beyond_32_bits_are_refused():
    with pytest.raises(ValueError, match="32 bits"):
        matched(TwoRoundings.of([8.0]), [-5], [1 << 29], -128, 127)


@given(st.integers(1, 300), st.lists(st.integers(-10_000, 10_000), min_size=1))
def test_means_round_away_from_zero(count, sums):
    expected = [int(math.copysign((abs(a) * 2 + count) // (2 * count), a)) for a in sums]
    if count % 2:  # no halves: nearest
        expected = [round(a / count) for a in sums]
    np.testing.assert_array_equal(Mean(count)(np.array(sums)), expected)


def exhaustive(function, low, high, bottom, top, parities=(None,)):
    """The least (m, s, offsets' ranges) by trying all, each integer of the range by itself.

    Without a parity the result is y; with one the largest value of it up to y.
    """
    a = np.arange(low, high + 1)
    y = np.clip(function(a[None])[0], bottom, top)
    for m in range(1 << 8):
        for s in range(12):
            ranges = []
            for parity in parities:
                step = 1 if parity is None else 2
                value = y if parity is None else y - (y - parity) % 2
                for half in (a < 0, a >= 0):
                    up, down = half & (value > bottom), half & (value + step <= top)
                    least = ((value << s) - m * a)[up].max(initial=-(1 << 40))
                    most = ((value + step << s) - 1 - m * a)[down].min(initial=1 << 40)
                    ranges.append((least, most))
            if all(least <= most for least, most in ranges):
                return m, s, ranges
    return None


SCALES = [0.0, 1 / 64, 0.02, 1 / 37, 0.1, 0.125, 0.17, 0.25, 1 / 3, 0.4, 0.5, 0.71, 0.99, 1.0, 1.3, 2.0, 5.3]
RULES = [
    *(TwoRoundings.of([scale], zero) for scale in SCALES for zero in (0, -3)),
    *(FloatProduct([scale], 2, rounding=r) for scale in SCALES for r in ("even", "away", "floor", "ceil")),
    *map(Mean, (1, 2, 3, 4, 6, 49)),
]
RANGES = [(-40, 40), (-9, 70), (-70, -1), (-70, -3), (0, 30), (5, 90), (7, 7), (-2, -2)]


@pytest.mark.parametrize(("bottom", "top"), [(-4, 3), (0, 6), (-2, -2)])
def test_fewest_bits_by_trying_all(bottom, top):
    """Every rule, range and clip at small widths: the same m, the same shift, or both find none."""
    kinds = Counter()
    for rule in RULES:
        for low, high in RANGES:
            best = exhaustive(rule, low, high, bottom, top)
            by_parity = best is None
            if by_parity:
                best = exhaustive(rule, low, high, bottom, top, (0, 1))
            kinds["none" if best is None else "by parity" if by_parity else "one"] += 1
            if best is None:
                with pytest.raises(Unmatched):
                    matched(rule, [low], [high], bottom, top)
                continue
            found = matched(rule, [low], [high], bottom, top)
            m, s, ranges = best
            assert (found.multipliers[0], found.shifts[0]) == (m, s), (rule, low, high)
            assert (found.odd is not None) == by_parity
            offsets = found.offsets[:, 0].tolist() + (found.odd[:, 0].tolist() if by_parity else [])
            assert all(least <= offset <= most for offset, (least, most) in zip(offsets, ranges, strict=True))
            a = np.arange(low, high + 1)[None]
            np.testing.assert_array_equal(found(a), rule(a).clip(bottom, top))
            np.testing.assert_array_equal(found.aligned(a), found(a))
            np.testing.assert_array_equal(found.inplace(a.astype(np.float32), 0), found(a))
    assert kinds["one"] > 4 * kinds["by parity"] and kinds["none"] <= 4, kinds
    assert kinds["by parity"] or top - bottom < 2


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_equal_on_the_whole_range(data):
    """Drawn scales of many sizes, several channels at once: every sum of the range, and every sum twice."""
    channels = data.draw(st.integers(1, 4))
    draw = lambda strategy: [data.draw(strategy) for _ in range(channels)]  # noqa: E731
    low, high = draw(st.integers(-60_000, 2000)), draw(st.integers(0, 60_000))
    high = [max(pair) for pair in zip(low, high)]
    scales = [2.0**exponent for exponent in draw(st.floats(-40, 4))]
    width = data.draw(st.integers(1, 9))
    bottom = data.draw(st.integers(-(1 << width), 0))
    zero = data.draw(st.integers(-200, 200))
    rule = TwoRoundings.of(scales, zero)
    found = matched(rule, low, high, bottom, bottom + (1 << width) - 1)
    a = np.linspace(low, high, 120_001).astype(np.int64).T
    expected = rule(a).clip(found.low, found.high)
    np.testing.assert_array_equal(found(a), expected)
    np.testing.assert_array_equal(found.aligned(a), expected)
    dtype = narrowest(found.bound(low, high))
    np.testing.assert_array_equal(found.inplace(a.astype(dtype), 0), expected)


@pytest.mark.parametrize("shift", [0, 1, 5, 9])
def test_powers_of_two_need_no_multiplier(shift):
    """Our own rounding, half up, and TFLite's of such a scale."""

    def half_up(a):
        return (a + (1 << shift >> 1)) >> shift

    found = matched(half_up, [-5000], [5000], -128, 127)
    assert (found.multipliers[0], found.shifts[0], found.signed) == (1, shift, False)
    assert matched(TwoRoundings.of([2.0**-shift]), [-5000], [5000], -128, 127).multipliers[0] == 1


def test_multipliers_are_narrow():
    """Every channel has a form, most of far fewer bits than TFLite's own multipliers."""
    rng = np.random.default_rng(5)
    scales, reach = 2.0 ** rng.uniform(-14, -8, 200), (2.0 ** rng.uniform(15, 22, 200)).astype(int)
    found = matched(TwoRoundings.of(scales, -128), -reach, reach, -128, 127)
    assert found.width < 30
    assert np.median([int(m).bit_length() for m in found.multipliers]) <= 21


def test_wide_results():
    """16 bits: 65,535 steps, compared at every one of them."""
    rule = TwoRoundings.of([0.0123456, 0.3])
    found = matched(rule, [-(1 << 26)] * 2, [1 << 26] * 2, -(1 << 15), (1 << 15) - 1)
    a = np.random.default_rng(1).integers(-(1 << 26), 1 << 26, (2, 200_000))
    np.testing.assert_array_equal(found(a), rule(a).clip(found.low, found.high))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(-5, 5))
def test_steps_of_any_function(rises, start):
    values = start + np.cumsum(rises)
    low = np.array([-3])
    high = low + len(values) - 1
    found = steps(lambda a: values[a - low[0]], low, high, -6, 20)[0]
    for value, at in zip(range(-5, 21), found):
        first = next((i for i, y in enumerate(values) if y >= value), len(values))
        assert at == first + low[0]


def test_simplest():
    assert simplest([((1, 3), (1, 2)), (None, None)]) == (3, 3)
    assert simplest([((0, 1), None)]) == (1, 0)
    assert simplest([(None, (1, 10))]) == (0, 0)
    assert simplest([((7, 2), (9, 2))]) == (4, 0)
    assert simplest([((1, 3), (1, 2)), ((1, 2), None)]) is None


@pytest.mark.parametrize("less", [1, 3])
def test_a_wrong_form_is_not_proved(less, monkeypatch):
    """Mutants: a slope, and an offset, that are next to right ones."""
    rule, low, high = TwoRoundings.of([0.0123]), [-30_000], [30_000]
    right = simplest

    def wrong_slope(intervals):
        m, s = right(intervals)
        return m - less, s

    with monkeypatch.context() as patch:
        patch.setattr(module, "simplest", wrong_slope)
        with pytest.raises(AssertionError, match="steps stand elsewhere"):
            matched(rule, low, high, -128, 127)
    with monkeypatch.context() as patch:
        patch.setattr(module, "within", lambda both, s: np.array([low - less for low, _ in both]))
        with pytest.raises(AssertionError, match="steps stand elsewhere"):
            matched(rule, low, high, -128, 127)
    assert matched(rule, low, high, -128, 127).width > 8


@pytest.mark.parametrize("zero", [0, 1])
def test_halves_to_even(zero):
    """They go up and down in turns, which no one line does; a power of two needs no multiplier for it."""
    rule = FloatProduct([0.1234567, 0.125], zero)
    found = matched(rule, [-5000, -5000], [5000, 5000], -128, 127)
    assert (found.multipliers[1], found.shifts[1]) == (1, 3)
    assert (found.odd != found.offsets).any(axis=0).tolist() == [False, True]
    a = np.repeat(np.arange(-5000, 5001)[None], 2, axis=0)
    expected = rule(a).clip(-128, 127)
    for form in (found, found.aligned):
        np.testing.assert_array_equal(form(a), expected)
        np.testing.assert_array_equal(form.inplace(a.astype(np.float64), 0), expected)


def test_channels_without_a_form_are_told():
    """Five sums a step, then one and one: no lines at all."""
    crooked = np.repeat(np.arange(18), [5, 1, 1] * 6)

    def function(a):
        return np.stack([a[0], crooked[a[1]]])

    with pytest.raises(Unmatched, match=r"1 channels \(the first is 1\)") as caught:
        matched(function, [0, 0], [41, 41], 0, 17)
    assert caught.value.channels == [1]


GOOD = dict(multipliers=np.array([3]), offsets=np.array([[0], [1]]), shifts=np.array([2]), low=-8, high=7)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"multipliers": np.array([1.0])}, "integers"),
        ({"multipliers": np.array([-1])}, "from 0"),
        ({"multipliers": np.array([], int)}, "do not fit"),
        ({"shifts": np.array([63])}, "0 to 62"),
        ({"shifts": np.array([1, 2])}, "do not fit"),
        ({"offsets": np.array([1])}, "do not fit"),
        ({"low": 8}, "between 8 and 7"),
        ({"odd": np.array([0])}, "do not fit"),
        ({"odd": np.array([[0.0], [1.0]])}, "integers"),
        ({"offsets": np.array([[-(1 << 63)], [1]])}, "up to 62 bits"),
        ({"multipliers": np.array([(1 << 64) - 1], np.uint64)}, "up to 62 bits"),
        ({"offsets": np.array([[40], [1]])}, "fall where the sum's sign changes"),
    ],
)
def test_refusals(change, problem):
    with pytest.raises(ValueError, match=problem):
        Rescale(**GOOD | change)
    with pytest.raises(ValueError, match="read-only"):
        Rescale(**GOOD).multipliers[0] = 1


def test_products_beyond_64_bits_are_refused():
    wide = Rescale(**GOOD | {"multipliers": np.array([1 << 40])})
    with pytest.raises(ValueError, match="64 bits"):
        wide(np.array([[1 << 30]]))
