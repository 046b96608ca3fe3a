"""The boards, as data."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from amaranth_boards import ulx3s

from hdl.chips import ALIASES, BOARDS
from hdl.device import Device
from hdl.estimate import Budget


@dataclass(frozen=True)
class Target:
    """A board.

    Parameters
    ----------
    name : str
    platform : type
        Of amaranth-boards.
    budget : Budget
        LUT4, flip-flops, multipliers (18 x 18) and block RAMs (18 kbit) of its chip.
    oscillator : str
        Resource of the clock that feeds the PLL.
    oscillator_mhz : float
    clock_mhz : float
        Of the core, where nothing else is asked for.
    baud, max_baud : int
        Of the serial port, likewise; and the most that the bridge to the computer does.
    uart : str
        Resource of the serial port.
    leds : int
        Number of resources ``led``.
    reset : str or None
        Resource of a button that resets the core.
    family : Device
    cells : dict of str
        Name of each kind of resource in nextpnr's report.
    timed_dsp_mhz : float
        Fastest clock at which the tools' silence on the paths inside a multiplier does no harm.
    programmer : tuple of str
        The command that loads a bitstream, which is named after it.
    """

    name: str
    platform: type
    budget: Budget
    oscillator: str
    oscillator_mhz: float
    clock_mhz: float
    baud: int
    max_baud: int
    uart: str
    leds: int
    reset: str | None
    family: Device
    cells: dict[str, str]
    timed_dsp_mhz: float
    programmer: tuple[str, ...]

    @property
    def device(self) -> str:
        """The chip's name."""
        return self.platform.device


ECP5_CELLS = {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "bram": "DP16KD"}

TARGETS = {
    name: Target(
        name=name,
        platform=getattr(ulx3s, f"ULX3S_{chip.name[-3:]}_Platform"),
        budget=chip.budget,
        oscillator="clk25",
        oscillator_mhz=25,
        clock_mhz=100,
        baud=1_000_000,
        max_baud=3_000_000,  # FT231X, data sheet
        uart="uart",
        leds=8,
        reset="button_pwr",
        family=chip.device,
        cells=ECP5_CELLS,
        timed_dsp_mhz=170,
        programmer=("openFPGALoader", "--board", "ulx3s"),
    )
    for name, chip in BOARDS.items()
}


def names() -> list[str]:
    """What a user may call the boards."""
    return [*ALIASES, *TARGETS]


def find(name: str) -> Target:
    """The board of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists the known ones.
    """
    name = str(name).lower()
    target = TARGETS.get(ALIASES.get(name, name))
    if target is None:
        near = difflib.get_close_matches(name, names(), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"unknown board {name!r}{hint}; the known ones are {', '.join(names())}")
    return target
