"""The core's clock: the ECP5's PLL, solved from a wanted frequency and checked against the chip's limits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import ClockSignal, Const, Elaboratable, Instance, Module, Signal
from amaranth.lib.cdc import ResetSynchronizer

INPUT_MHZ = (8, 400)
PHASE_MHZ = (10, 400)
"""At the phase detector."""
VCO_MHZ = (400, 800)
OUTPUT_MHZ = (Fraction(25, 8), 400)
DIVIDERS = range(1, 129)
# The limits of "sysCLOCK PLL Timing" in Lattice's ECP5 family data sheet, FPGA-DS-02012.


@dataclass(frozen=True)
class Pll:
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
        for name, mhz, (low, high) in (
            ("input", self.input_mhz, INPUT_MHZ),
            ("phase detector", self.phase_mhz, PHASE_MHZ),
            ("oscillator", self.vco_mhz, VCO_MHZ),
            ("feedback", self.phase_mhz * self.feedback_div, OUTPUT_MHZ),
            ("output", self.output_mhz, OUTPUT_MHZ),
        ):
            if not low <= mhz <= high:
                raise ValueError(
                    f"PLL: its {name} would run at {float(mhz):g} MHz, the chip allows"
                    f" {float(low):g} to {float(high):g}"
                )

    @property
    def phase_mhz(self) -> Fraction:
        """At the phase detector."""
        return self.input_mhz / self.input_div

    @property
    def vco_mhz(self) -> Fraction:
        """Of the oscillator inside."""
        return self.phase_mhz * self.feedback_div * self.loop_div

    @property
    def output_mhz(self) -> Fraction:
        """Of the core's clock."""
        return self.vco_mhz / self.output_div

    @property
    def output_hz(self) -> int:
        """Of the core's clock, rounded."""
        return round(self.output_mhz * 1_000_000)

    @classmethod
    def solve(cls, input_mhz: float, wanted_mhz: float) -> Pll:
        """The dividers whose output comes closest to a wanted frequency and is not above it.

        Among equals the fastest phase detector wins, then the oscillator nearest to the middle of its range.

        Raises
        ------
        ValueError
            If the input or the wanted frequency is impossible.
        """
        source, wanted = exact(input_mhz), exact(wanted_mhz)
        for name, mhz, (low, high) in ("input", source, INPUT_MHZ), ("output", wanted, OUTPUT_MHZ):
            if not low <= mhz <= high:
                raise ValueError(
                    f"a clock of {float(mhz):g} MHz is impossible as the PLL's {name}:"
                    f" the chip allows {float(low):g} to {float(high):g} MHz"
                )
        best = None
        for input_div in DIVIDERS:
            phase = source / input_div
            if not PHASE_MHZ[0] <= phase <= PHASE_MHZ[1]:
                continue
            # The oscillator runs at a multiple of the phase detector. The loop divider alone makes it: both
            # feedback and phase detector are within their limits then, and the multiple is below 128.
            for multiple in range(-int(-VCO_MHZ[0] // phase), int(VCO_MHZ[1] // phase) + 1):
                output_div = -int(-phase * multiple // wanted)
                output = phase * multiple / output_div
                if output_div not in DIVIDERS or output < OUTPUT_MHZ[0]:
                    continue
                middle = abs(phase * multiple - sum(VCO_MHZ) / 2)
                rank = (-output, -phase, middle)
                if best is None or rank < best[0]:
                    best = rank, cls(source, input_div, 1, multiple, output_div)
        if best is None:
            raise ValueError(f"no PLL setting makes about {float(wanted):g} MHz from {float(source):g} MHz")
        return best[1]


def exact(mhz) -> Fraction:
    """A frequency in whole hertz."""
    try:
        return Fraction(round(mhz * 1_000_000), 1_000_000)
    except (OverflowError, ValueError):
        raise ValueError(f"a clock of {mhz} MHz is no frequency") from None


class ClockReset(Elaboratable):
    """Clock and reset of the domain ``sync``, which is the parent's: from an oscillator, by a PLL.

    The reset lasts until the PLL has locked. It begins at once when the lock is lost or `reset` rises, and
    ends with an edge of the new clock.

    Parameters
    ----------
    pll : Pll

    Attributes
    ----------
    clock : Signal, in
        The oscillator.
    reset : Signal, in
        Asynchronous, from a button. It leaves the PLL running.
    """

    def __init__(self, pll: Pll):
        self.pll = pll
        self.clock = Signal()
        self.reset = Signal()

    def elaborate(self, platform):
        m = Module()
        pll, loop, core, locked = self.pll, Signal(), Signal(), Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            ("a", "FREQUENCY_PIN_CLKI", str(float(pll.input_mhz))),
            ("a", "FREQUENCY_PIN_CLKOS", str(float(pll.output_mhz))),
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
            p_CLKI_DIV=pll.input_div,
            p_CLKFB_DIV=pll.feedback_div,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=pll.loop_div,
            p_CLKOP_CPHASE=pll.loop_div // 2,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=pll.output_div,
            p_CLKOS_CPHASE=pll.loop_div // 2,
            p_CLKOS_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=self.clock,
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
        m.d.comb += ClockSignal("sync").eq(core)
        m.submodules.reset = ResetSynchronizer(~locked | self.reset, domain="sync")
        return m
