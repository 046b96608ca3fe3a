"""The solver against the limits of the data sheet and against an exhaustive search."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.pll.ecp5 import Ecp5Pll as Pll
from pll_cells import placed

FREQUENCIES = st.one_of(
    st.integers(4, 400).map(Fraction), st.fractions(Fraction(25, 8), 400, max_denominator=1000)
)
INPUTS = st.sampled_from([12, 16, 25, 27, 48, 50, 100])


@given(INPUTS, FREQUENCIES)
def test_every_solution_keeps_to_the_data_sheet(source, wanted):
    try:
        pll = Pll.solve(source, wanted)
    except ValueError as error:
        assert "no PLL setting" in str(error)  # such as 4 MHz: 400 / 128 is the least, 400 / 100 is there
        return
    detector = Fraction(source) / pll.input_div
    oscillator = detector * pll.feedback_div * pll.loop_div
    output = oscillator / pll.output_div
    assert 10 <= detector <= 400
    assert 400 <= oscillator <= 800
    assert Fraction(25, 8) <= detector * pll.feedback_div <= 400
    assert Fraction(25, 8) <= output <= 400
    assert all(1 <= n <= 128 for n in (pll.input_div, pll.feedback_div, pll.loop_div, pll.output_div))
    assert output == pll.output_mhz <= round(wanted * 1_000_000) / Fraction(1_000_000)


@given(FREQUENCIES)
def test_no_better_frequency_exists(wanted):
    wanted = Fraction(round(wanted * 1_000_000), 1_000_000)
    # from 25 MHz the phase detector runs at 25 or 12.5 MHz
    possible = (
        detector * multiple / divider
        for detector in (Fraction(25), Fraction(25, 2))
        for multiple in range(int(400 / detector), int(800 / detector) + 1)
        for divider in range(1, 129)
    )
    best = max(f for f in possible if Fraction(25, 8) <= f <= wanted)
    assert Pll.solve(25, wanted).output_mhz == best


@pytest.mark.parametrize("mhz", [50, 80, 100, 125, 150, 175, 200])
def test_usual_clocks_are_exact(mhz):
    assert Pll.solve(25, mhz).output_mhz == mhz


@pytest.mark.parametrize("mhz", [0, -5, 3.1, 400.001, 1000, float("nan"), float("inf")])
def test_impossible_clocks_are_refused(mhz):
    with pytest.raises(ValueError, match="clock of"):
        Pll.solve(25, mhz)


@pytest.mark.parametrize("source", [7.9, 401])
def test_impossible_inputs_are_refused(source):
    with pytest.raises(ValueError, match="impossible as the PLL's input"):
        Pll.solve(source, 100)


@pytest.mark.parametrize(
    ("dividers", "what"),
    [
        ((1, 1, 40, 10), "oscillator would run at 1000 MHz"),
        ((3, 1, 60, 5), "phase detector would run at 8.33333 MHz"),
        ((1, 1, 16, 200), "output_div is 1 to 128"),
        ((1, 20, 1, 2), "feedback would run at 500 MHz"),
    ],
)
def test_wrong_dividers_are_refused(dividers, what):
    with pytest.raises(ValueError, match=what):
        Pll(Fraction(25), *dividers)


def test_the_instance_has_the_solution():
    instance = placed(Pll.solve(25, 100))
    names = ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV", "CLKOS_DIV")
    assert instance.type == "EHXPLLL"
    assert tuple(instance.parameters[name] for name in names) == (1, 1, 24, 6)
