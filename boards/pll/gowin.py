"""The PLL of Gowin's LittleBee and Arora chips, rPLL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Const, Instance, Module, Signal, Value

from boards.pll.base import Limits, Pll, best, buffered, check_limits, check_possible, exact

DIVIDERS = range(1, 65)
OUTPUT_DIVIDERS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


@dataclass(frozen=True)
class Range:
    """What a chip's PLL allows, MHz.

    Attributes
    ----------
    input, phase, vco, output : (number, number)
    """

    input: Limits
    phase: Limits
    vco: Limits
    output: Limits


RANGES = {
    # data sheets DS117 (GW1NR, C6/I5) and DS102 (GW2A, C8/I7), "PLL switching characteristics"
    "GW1NR-9C": Range((3, 400), (3, 400), (400, 1200), (Fraction(25, 8), 600)),
    "GW2A-18C": Range((3, 500), (3, 500), (500, 1250), (Fraction(125, 32), 625)),
}
"""By Amaranth's names of the families."""


@dataclass(frozen=True)
class GowinPll(Pll):
    """Dividers of an rPLL with the feedback inside.

    ``output = input / input_div * feedback_div`` and ``vco = output * output_div``.

    Parameters
    ----------
    input_mhz : Fraction
    input_div, feedback_div : int
        IDIV_SEL + 1 and FBDIV_SEL + 1, each 1 to 64.
    output_div : int
        ODIV_SEL, one of `OUTPUT_DIVIDERS`.
    family : str
        Of the chip, one of `RANGES`.

    Raises
    ------
    ValueError
        If a divider or a frequency lies outside the data sheet's limits.
    """

    input_mhz: Fraction
    input_div: int
    feedback_div: int
    output_div: int
    family: str

    def __post_init__(self):
        for name in ("input_div", "feedback_div"):
            if getattr(self, name) not in DIVIDERS:
                raise ValueError(f"PLL: {name} is 1 to {DIVIDERS[-1]}, not {getattr(self, name)}")
        if self.output_div not in OUTPUT_DIVIDERS:
            raise ValueError(f"PLL: output_div is one of {OUTPUT_DIVIDERS}, not {self.output_div}")
        allowed = range_of(self.family)
        check_limits(
            [
                ("input", self.input_mhz, allowed.input),
                ("phase detector", self.phase_mhz, allowed.phase),
                ("oscillator", self.vco_mhz, allowed.vco),
                ("output", self.output_mhz, allowed.output),
            ]
        )

    @property
    def vco_mhz(self) -> Fraction:
        return self.output_mhz * self.output_div

    @property
    def output_mhz(self) -> Fraction:
        return self.phase_mhz * self.feedback_div

    @classmethod
    def solve(cls, input_mhz: float, wanted_mhz: float, family: str) -> GowinPll:
        """The dividers whose output comes closest to a wanted frequency and is not above it.

        Raises
        ------
        ValueError
            If the input or the wanted frequency is impossible, or the family's limits are not known.
        """
        source, wanted, allowed = exact(input_mhz), exact(wanted_mhz), range_of(family)
        check_possible(source, wanted, allowed.input, allowed.output)
        solutions = cls.solutions(source, wanted, family)
        return best(solutions, source, wanted, allowed.vco)

    @classmethod
    def solutions(cls, source: Fraction, wanted: Fraction, family: str) -> Iterator[GowinPll]:
        """For each input and output divider the feedback that comes closest."""
        allowed = range_of(family)
        for input_div in DIVIDERS:
            phase = source / input_div
            if not allowed.phase[0] <= phase <= allowed.phase[1]:
                continue
            for output_div in OUTPUT_DIVIDERS:
                feedback_div = int(min(wanted, Fraction(allowed.vco[1], output_div)) // phase)
                output = phase * feedback_div
                if (
                    feedback_div in DIVIDERS
                    and output >= allowed.output[0]
                    and output * output_div >= allowed.vco[0]
                ):
                    yield cls(source, input_div, feedback_div, output_div, family)

    def place(self, m: Module, port, core: Signal) -> Value:
        locked = Signal()
        m.submodules.pll = Instance(
            "rPLL",
            p_FCLKIN=f"{float(self.input_mhz):g}",
            p_IDIV_SEL=self.input_div - 1,
            p_FBDIV_SEL=self.feedback_div - 1,
            p_ODIV_SEL=self.output_div,
            p_DYN_IDIV_SEL="false",
            p_DYN_FBDIV_SEL="false",
            p_DYN_ODIV_SEL="false",
            p_CLKFB_SEL="internal",
            p_DEVICE=self.family,
            i_CLKIN=buffered(m, port),
            i_CLKFB=Const(0),
            i_RESET=Const(0),
            i_RESET_P=Const(0),
            i_FBDSEL=Const(0, 6),
            i_IDSEL=Const(0, 6),
            i_ODSEL=Const(0, 6),
            i_PSDA=Const(0, 4),
            i_DUTYDA=Const(0, 4),
            i_FDLY=Const(0, 4),
            o_CLKOUT=core,
            o_LOCK=locked,
        )
        return locked


def range_of(family: str) -> Range:
    """The limits of a chip family.

    Raises
    ------
    ValueError
        If they are not known.
    """
    if family not in RANGES:
        raise ValueError(f"PLL: the limits of {family!r} are not known, those of {', '.join(RANGES)} are")
    return RANGES[family]
