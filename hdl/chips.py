"""What chips have, and which boards carry them: numbers for the planner, before any tool or board file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from hdl.device import Device
from hdl.ecp5 import ECP5
from hdl.estimate import Budget
from hdl.gowin import GOWIN
from hdl.ice40 import PLAIN, ULTRAPLUS


@dataclass(frozen=True)
class Chip:
    """A chip.

    Attributes
    ----------
    name : str
    budget : Budget
        LUT4, flip-flops, multipliers and block RAMs, as large as the family's.
    device : Device
    """

    name: str
    budget: Budget
    device: Device


def ecp5(size: str, lut: int, dsp: int, bram: int) -> Chip:
    """An ECP5: each LUT has its flip-flop."""
    return Chip(f"LFE5U-{size}", Budget(lut=lut, ff=lut, dsp=dsp, bram=bram), ECP5)


CHIPS = {
    chip.name: chip
    for chip in (
        ecp5("12F", 24288, 28, 56),  # sold as 12k LUTs; the die and the open tools have them all
        ecp5("25F", 24288, 28, 56),
        ecp5("45F", 43848, 72, 108),
        ecp5("85F", 83640, 156, 208),
        Chip("iCE40UP5K", Budget(lut=5280, ff=5280, dsp=8, bram=30), ULTRAPLUS),
        Chip("iCE40HX8K", Budget(lut=7680, ff=7680, dsp=0, bram=32), PLAIN),
        Chip("GW1NR-9C", Budget(lut=8640, ff=6480, dsp=20, bram=26), GOWIN),
        Chip("GW2A-18C", Budget(lut=20736, ff=15552, dsp=48, bram=46), GOWIN),
    )
}
BOARDS = {f"ulx3s-{name[-3:].lower()}": chip for name, chip in CHIPS.items() if name.startswith("LFE5U-")}
ALIASES = {"ulx3s": "ulx3s-85f"}


def find(name: str) -> Chip:
    """The chip of a board's name, or of its own.

    Raises
    ------
    ValueError
        If there is none; the message lists the known ones.
    """
    known = {key.lower(): chip for key, chip in (CHIPS | BOARDS).items()}
    wanted = str(name).lower()
    chip = known.get(ALIASES.get(wanted, wanted))
    if chip is None:
        near = difflib.get_close_matches(wanted, [*ALIASES, *known], 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        names = ", ".join([*ALIASES, *BOARDS, *CHIPS])
        raise ValueError(f"unknown board or chip {name!r}{hint}; the known ones are {names}")
    return chip
