"""The iCE40's solver against the limits of the data sheet and against an exhaustive search."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.pll.ice40 import Ice40Pll
from pll_cells import placed

FREQUENCIES = st.one_of(st.integers(16, 275).map(Fraction), st.fractions(16, 275, max_denominator=1000))
INPUTS = (12, 16, 25, 27, 48, 50, 100)


@given(st.sampled_from(INPUTS), FREQUENCIES)
def test_every_solution_keeps_to_the_data_sheet(source, wanted):
    try:
        pll = Ice40Pll.solve(source, wanted)
    except ValueError as error:
        assert "no PLL setting" in str(error)
        return
    detector = Fraction(source) / pll.input_div
    oscillator = detector * pll.feedback_div
    assert 10 <= detector <= 133
    assert 533 <= oscillator <= 1066
    assert 16 <= pll.output_mhz <= 275
    assert 1 <= pll.input_div <= 16 and 1 <= pll.feedback_div <= 128 and 1 <= pll.shift <= 6
    output = oscillator / 2**pll.shift
    assert output == pll.output_mhz <= round(wanted * 1_000_000) / Fraction(1_000_000)


@given(st.sampled_from(INPUTS), FREQUENCIES)
def test_no_better_frequency_exists(source, wanted):
    wanted = Fraction(round(wanted * 1_000_000), 1_000_000)
    possible = (
        Fraction(source, divider) * multiple / 2**shift
        for divider in range(1, 17)
        if 10 <= source / divider <= 133
        for multiple in range(1, 129)
        if 533 <= Fraction(source, divider) * multiple <= 1066
        for shift in range(1, 7)
    )
    best = max((f for f in possible if 16 <= f <= wanted), default=None)
    if best is None:  # such as 16 MHz from 12: 540 / 32 is the least
        with pytest.raises(ValueError, match="no PLL setting"):
            Ice40Pll.solve(source, wanted)
    else:
        assert Ice40Pll.solve(source, wanted).output_mhz == best


@pytest.mark.parametrize("mhz", [18, 24, 30, 36, 48])
def test_usual_clocks_are_exact(mhz):
    assert Ice40Pll.solve(12, mhz).output_mhz == mhz


@pytest.mark.parametrize("mhz", [0, -5, 15.9, 275.1, float("nan"), float("inf")])
def test_impossible_clocks_are_refused(mhz):
    with pytest.raises(ValueError, match="clock of"):
        Ice40Pll.solve(12, mhz)


@pytest.mark.parametrize("source", [9.9, 134])
def test_impossible_inputs_are_refused(source):
    with pytest.raises(ValueError, match="impossible as the PLL's input"):
        Ice40Pll.solve(source, 24)


@pytest.mark.parametrize(
    ("dividers", "what"),
    [
        ((1, 128, 5), "oscillator would run at 1536 MHz"),
        ((2, 64, 5), "phase detector would run at 6 MHz"),
        ((1, 64, 7), "shift is 1 to 6"),
        ((1, 129, 5), "feedback_div is 1 to 128"),
        ((17, 64, 5), "input_div is 1 to 16"),
        ((1, 64, 6), "output would run at 12 MHz"),
        ((1, 64, 1), "output would run at 384 MHz"),
    ],
)
def test_wrong_dividers_are_refused(dividers, what):
    with pytest.raises(ValueError, match=what):
        Ice40Pll(Fraction(12), *dividers)


@pytest.mark.parametrize(
    ("pad", "cell", "pin"), [(True, "PAD", "PACKAGEPIN"), (False, "CORE", "REFERENCECLK")]
)
def test_the_instance_has_the_solution(pad, cell, pin):
    """As icepll of Project IceStorm has it for 12 and 24 MHz."""
    instance = placed(Ice40Pll.solve(12, 24, pad=pad))
    names = ("DIVR", "DIVF", "DIVQ", "FILTER_RANGE")
    assert instance.type == f"SB_PLL40_{cell}"
    assert tuple(instance.parameters[name].value for name in names) == (0, 63, 5, 1)
    assert pin in instance.ports


@pytest.mark.parametrize(
    ("source", "feedback", "choice"),
    [(16, 48, 1), (17, 48, 2), (25, 32, 2), (48, 16, 4), (100, 8, 5), (120, 7, 6)],
)
def test_the_filter_suits_the_phase_detector(source, feedback, choice):
    pll = Ice40Pll(Fraction(source), 1, feedback, 4)
    assert placed(pll).parameters["FILTER_RANGE"].value == choice
