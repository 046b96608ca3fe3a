"""Rounded sums of two tables by a shift alone: every pair of entries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic import addition
from model.arithmetic.addition import scaled
from model.arithmetic.rules import FloatProduct, TwoRoundings, doubling_high, multiplier_of

CODES = np.arange(-128, 128)
LOGS = st.floats(-4, 4)


def tflites(scales, zeros, out: float, zero: int):
    """TFLite's addition: entries of both tables, the results of all pairs, and the results' slope."""
    twice = 2.0 * max(scales)
    entries = [
        doubling_high((CODES - z) << 20, *multiplier_of(scale / twice)) for scale, z in zip(scales, zeros)
    ]
    slope = twice / ((1 << 20) * out)
    sums = (entries[0][:, None] + entries[1]).reshape(1, -1)
    results = TwoRoundings.of([slope], zero)(sums).clip(-128, 127).reshape(256, 256)
    return entries, results, slope


@given(LOGS, LOGS, LOGS, st.tuples(*[st.integers(-128, 127)] * 3))
@settings(max_examples=40, deadline=None)
def test_tflites_additions(first, second, out, zeros):
    scales = [2.0**first, 2.0**second]
    entries, results, slope = tflites(scales, zeros[:2], max(scales) * 2.0 ** (out / 2), zeros[2])
    tables, form = scaled(entries, results, slope, -128, 127)
    assert form.multipliers.tolist() == [1] and form.shifts[0] <= 30
    for x, row in enumerate(results.tolist()):
        sums = tables[0][x] + tables[1]
        offsets = np.where(sums < 0, *form.offsets[:, 0])
        assert (((sums + offsets) >> form.shifts[0]).clip(-128, 127)).tolist() == row


def test_equal_scales_need_no_bits():
    """Halves away from zero: the offset goes by the sign, and the tables hold the values themselves."""
    entries, results, slope = tflites([0.5, 0.5], (0, 0), 1.0, 0)
    (first, second), form = scaled(entries, results, slope, -128, 127)
    assert form.shifts[0] == 1 and form.signed
    np.testing.assert_array_equal(first, CODES)
    np.testing.assert_array_equal(second, CODES)


def test_results_that_no_sum_has():
    """Halves to even go up and down in turns."""
    results = FloatProduct([0.5])((CODES[:, None] + CODES).reshape(1, -1)).reshape(256, 256)
    assert scaled([CODES, CODES], results.clip(-128, 127), 0.5, -128, 127) is None


def test_wrong_tables_are_not_taken(monkeypatch):
    entries, results, slope = tflites([0.5, 0.3], (3, 5), 0.7, 1)
    monkeypatch.setattr(addition, "within", lambda ranges, shifts: np.array([high + 1 for _, high in ranges]))
    with pytest.raises(AssertionError, match="other results"):
        scaled(entries, results, slope, -128, 127)
