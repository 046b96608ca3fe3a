"""Gowin's solver against the limits of the data sheets and against an exhaustive search."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.pll.gowin import OUTPUT_DIVIDERS, GowinPll
from pll_cells import placed

LIMITS = {"GW1NR-9C": (3, 400, 400, 1200, 3.125, 600), "GW2A-18C": (3, 500, 500, 1250, 3.90625, 625)}
FREQUENCIES = st.one_of(st.integers(4, 600).map(Fraction), st.fractions(4, 600, max_denominator=1000))
FAMILIES = st.sampled_from(sorted(LIMITS))
INPUTS = st.sampled_from([12, 25, 27, 50, 100])


@given(INPUTS, FREQUENCIES, FAMILIES)
def test_every_solution_keeps_to_the_data_sheet(source, wanted, family):
    try:
        pll = GowinPll.solve(source, wanted, family)
    except ValueError as error:
        assert "no PLL setting" in str(error)
        return
    slowest, fastest, low, high, least, most = LIMITS[family]
    detector = Fraction(source) / pll.input_div
    output = detector * pll.feedback_div
    assert slowest <= detector <= fastest
    assert low <= output * pll.output_div <= high
    assert least <= output <= most
    assert 1 <= pll.input_div <= 64 and 1 <= pll.feedback_div <= 64 and pll.output_div in OUTPUT_DIVIDERS
    assert output == pll.output_mhz <= round(wanted * 1_000_000) / Fraction(1_000_000)


@given(INPUTS, FREQUENCIES, FAMILIES)
def test_no_better_frequency_exists(source, wanted, family):
    wanted = Fraction(round(wanted * 1_000_000), 1_000_000)
    slowest, fastest, low, high, least, _ = LIMITS[family]
    possible = {
        Fraction(source, divider) * multiple
        for divider in range(1, 65)
        if slowest <= source / divider <= fastest
        for multiple in range(1, 65)
    }
    best = max(
        (
            f
            for f in possible
            if least <= f <= wanted and any(low <= f * output <= high for output in OUTPUT_DIVIDERS)
        ),
        default=None,
    )
    if best is None:  # such as 4 MHz from 25: 25 / 8 is too slow, and the next is 25 / 6
        with pytest.raises(ValueError, match="no PLL setting"):
            GowinPll.solve(source, wanted, family)
    else:
        assert GowinPll.solve(source, wanted, family).output_mhz == best


@pytest.mark.parametrize("mhz", [27, 40.5, 54, 81, 108])
def test_usual_clocks_are_exact(mhz):
    assert GowinPll.solve(27, mhz, "GW1NR-9C").output_mhz == mhz


@pytest.mark.parametrize("mhz", [0, -5, 3.1, 600.1, float("nan"), float("inf")])
def test_impossible_clocks_are_refused(mhz):
    with pytest.raises(ValueError, match="clock of"):
        GowinPll.solve(27, mhz, "GW1NR-9C")


def test_chips_with_unknown_limits_are_refused():
    with pytest.raises(ValueError, match="limits of 'GW9' are not known"):
        GowinPll.solve(27, 54, "GW9")


@pytest.mark.parametrize(
    ("dividers", "what"),
    [
        ((1, 2, 8), None),
        ((1, 2, 4), "oscillator would run at 216 MHz"),
        ((1, 2, 32), "oscillator would run at 1728 MHz"),
        ((10, 20, 8), "phase detector would run at 2.7 MHz"),
        ((1, 65, 8), "feedback_div is 1 to 64"),
        ((0, 2, 8), "input_div is 1 to 64"),
        ((1, 2, 10), "output_div is one of"),
        ((1, 24, 2), "oscillator would run at 1296 MHz"),
        ((9, 1, 128), "oscillator would run at 384 MHz"),
    ],
)
def test_wrong_dividers_are_refused(dividers, what):
    if what is None:
        assert GowinPll(Fraction(27), *dividers, "GW1NR-9C").output_mhz == 54
        return
    with pytest.raises(ValueError, match=what):
        GowinPll(Fraction(27), *dividers, "GW1NR-9C")


def test_the_instance_has_the_solution():
    instance = placed(GowinPll.solve(27, 54, "GW1NR-9C"))
    names = ("FCLKIN", "IDIV_SEL", "FBDIV_SEL", "ODIV_SEL", "DEVICE")
    assert instance.type == "rPLL"
    assert tuple(instance.parameters[name] for name in names) == ("27", 0, 1, 16, "GW1NR-9C")
