"""The PLL of the ECP5, EHXPLLL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Const, Instance, Module, Signal, Value

from boards.pll.base import Pll, best, buffered, check_limits, check_possible, exact

INPUT_MHZ = (8, 400)
PHASE_MHZ = (10, 400)
"""At the phase detector."""
VCO_MHZ = (400, 800)
OUTPUT_MHZ = (Fraction(25, 8), 400)
DIVIDERS = range(1, 129)
# The limits of "sysCLOCK PLL Timing" in Lattice's ECP5 family data sheet, FPGA-DS-02012.


@dataclass(frozen=True)
class Ecp5Pll(Pll):
    """Dividers of an EHXPLLL.

    CLKOP closes the loop and clocks nothing else; CLKOS is the core's clock. So the feedback may run at
    another frequency than the core, and the phase detector stays fast:
    ``vco = input / input_div * feedback_div * loop_div`` and ``output = vco / output_div``.

    Parameters
    ----------
    input_mhz : Fraction
    input_div, feedback_div, loop_div, output_div : int
        CLKI_DIV, CLKFB_DIV, CLKOP_DIV and CLKOS_DIV, each 1 to 128.

    Raises
    ------
    ValueError
        If a divider or a frequency lies outside the data sheet's limits.
    """

    input_mhz: Fraction
    input_div: int
    feedback_div: int
    loop_div: int
    output_div: int

    def __post_init__(self):
        for name in ("input_div", "feedback_div", "loop_div", "output_div"):
            if getattr(self, name) not in DIVIDERS:
                raise ValueError(f"PLL: {name} is 1 to {DIVIDERS[-1]}, not {getattr(self, name)}")
        check_limits(
            [
                ("input", self.input_mhz, INPUT_MHZ),
                ("phase detector", self.phase_mhz, PHASE_MHZ),
                ("oscillator", self.vco_mhz, VCO_MHZ),
                ("feedback", self.phase_mhz * self.feedback_div, OUTPUT_MHZ),
                ("output", self.output_mhz, OUTPUT_MHZ),
            ]
        )

    @property
    def vco_mhz(self) -> Fraction:
        return self.phase_mhz * self.feedback_div * self.loop_div

    @property
    def output_mhz(self) -> Fraction:
        return self.vco_mhz / self.output_div

    @classmethod
    def solve(cls, input_mhz: float, wanted_mhz: float) -> Ecp5Pll:
        """The dividers whose output comes closest to a wanted frequency and is not above it.

        Raises
        ------
        ValueError
            If the input or the wanted frequency is impossible.
        """
        source, wanted = exact(input_mhz), exact(wanted_mhz)
        check_possible(source, wanted, INPUT_MHZ, OUTPUT_MHZ)
        solutions = cls.solutions(source, wanted)
        return best(solutions, source, wanted, VCO_MHZ)

    @classmethod
    def solutions(cls, source: Fraction, wanted: Fraction) -> Iterator[Ecp5Pll]:
        """All settings of which no simpler one does the same."""
        for input_div in DIVIDERS:
            phase = source / input_div
            if not PHASE_MHZ[0] <= phase <= PHASE_MHZ[1]:
                continue
            # The oscillator runs at a multiple of the phase detector. The loop divider alone makes it: both
            # feedback and phase detector are within their limits then, and the multiple is below 128.
            for multiple in range(-int(-VCO_MHZ[0] // phase), int(VCO_MHZ[1] // phase) + 1):
                output_div = -int(-phase * multiple // wanted)
                if output_div in DIVIDERS and phase * multiple / output_div >= OUTPUT_MHZ[0]:
                    yield cls(source, input_div, 1, multiple, output_div)

    def place(self, m: Module, port, core: Signal) -> Value:
        loop, locked = Signal(), Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            ("a", "FREQUENCY_PIN_CLKI", str(float(self.input_mhz))),
            ("a", "FREQUENCY_PIN_CLKOS", str(float(self.output_mhz))),
            ("a", "ICP_CURRENT", "12"),
            ("a", "LPF_RESISTOR", "8"),
            ("a", "MFG_ENABLE_FILTEROPAMP", "1"),
            ("a", "MFG_GMCREF_SEL", "2"),
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_CLKI_DIV=self.input_div,
            p_CLKFB_DIV=self.feedback_div,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self.loop_div,
            p_CLKOP_CPHASE=self.loop_div // 2,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=self.output_div,
            p_CLKOS_CPHASE=self.loop_div // 2,
            p_CLKOS_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=buffered(m, port),
            i_CLKFB=loop,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=loop,
            o_CLKOS=core,
            o_LOCK=locked,
        )
        return locked
