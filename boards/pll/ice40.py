"""The PLL of the iCE40, SB_PLL40_PAD or SB_PLL40_CORE."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Const, Instance, Module, Signal, Value

from boards.pll.base import Pll, best, buffered, check_limits, check_possible, exact

INPUT_MHZ = (10, 133)
PHASE_MHZ = (10, 133)
"""At the phase detector."""
VCO_MHZ = (533, 1066)
OUTPUT_MHZ = (16, 275)
INPUT_DIVIDERS = range(1, 17)
FEEDBACK_DIVIDERS = range(1, 129)
SHIFTS = range(1, 7)
# The limits of "sysCLOCK PLL Timing" in Lattice's iCE40 LP/HX and UltraPlus data sheets (FPGA-DS-02029,
# FPGA-DS-02008), the dividers of FPGA-TN-02052.
FILTERS = (17, 26, 44, 66, 101)
"""Where FILTER_RANGE changes from 1 to 2, 2 to 3 and so on: MHz at the phase detector."""


@dataclass(frozen=True)
class Ice40Pll(Pll):
    """Dividers of an SB_PLL40 with the simple feedback path.

    ``vco = input / input_div * feedback_div`` and ``output = vco / 2**shift``.

    Parameters
    ----------
    input_mhz : Fraction
    input_div, feedback_div, shift : int
        DIVR + 1 (1 to 16), DIVF + 1 (1 to 128) and DIVQ (1 to 6).
    pad : bool
        Whether the oscillator stands at the PLL's own pin, which must not have another use then.

    Raises
    ------
    ValueError
        If a divider or a frequency lies outside the data sheet's limits.
    """

    input_mhz: Fraction
    input_div: int
    feedback_div: int
    shift: int
    pad: bool = False

    def __post_init__(self):
        for name, allowed in (
            ("input_div", INPUT_DIVIDERS),
            ("feedback_div", FEEDBACK_DIVIDERS),
            ("shift", SHIFTS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"PLL: {name} is {allowed[0]} to {allowed[-1]}, not {getattr(self, name)}")
        check_limits(
            [
                ("input", self.input_mhz, INPUT_MHZ),
                ("phase detector", self.phase_mhz, PHASE_MHZ),
                ("oscillator", self.vco_mhz, VCO_MHZ),
                ("output", self.output_mhz, OUTPUT_MHZ),
            ]
        )

    @property
    def vco_mhz(self) -> Fraction:
        return self.phase_mhz * self.feedback_div

    @property
    def output_mhz(self) -> Fraction:
        return self.vco_mhz / (1 << self.shift)

    @classmethod
    def solve(cls, input_mhz: float, wanted_mhz: float, *, pad: bool = False) -> Ice40Pll:
        """The dividers whose output comes closest to a wanted frequency and is not above it.

        Raises
        ------
        ValueError
            If the input or the wanted frequency is impossible.
        """
        source, wanted = exact(input_mhz), exact(wanted_mhz)
        check_possible(source, wanted, INPUT_MHZ, OUTPUT_MHZ)
        solutions = cls.solutions(source, wanted, pad)
        return best(solutions, source, wanted, VCO_MHZ)

    @classmethod
    def solutions(cls, source: Fraction, wanted: Fraction, pad: bool) -> Iterator[Ice40Pll]:
        """For each two of the dividers the third that comes closest."""
        for input_div in INPUT_DIVIDERS:
            phase = source / input_div
            if not PHASE_MHZ[0] <= phase <= PHASE_MHZ[1]:
                continue
            for shift in SHIFTS:
                feedback_div = int(min(wanted * (1 << shift), VCO_MHZ[1]) // phase)
                vco = phase * feedback_div
                if (
                    feedback_div in FEEDBACK_DIVIDERS
                    and vco >= VCO_MHZ[0]
                    and vco / (1 << shift) >= OUTPUT_MHZ[0]
                ):
                    yield cls(source, input_div, feedback_div, shift, pad)

    def place(self, m: Module, port, core: Signal) -> Value:
        locked = Signal()
        source = {"i_PACKAGEPIN": port.io} if self.pad else {"i_REFERENCECLK": buffered(m, port)}
        m.submodules.pll = Instance(
            "SB_PLL40_PAD" if self.pad else "SB_PLL40_CORE",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(self.input_div - 1, 4),
            p_DIVF=Const(self.feedback_div - 1, 7),
            p_DIVQ=Const(self.shift, 3),
            p_FILTER_RANGE=Const(1 + bisect_right(FILTERS, self.phase_mhz), 3),
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            **source,
            o_PLLOUTGLOBAL=core,
            o_LOCK=locked,
        )
        return locked
