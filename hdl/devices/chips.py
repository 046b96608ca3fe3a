"""What chips have, and which boards carry them: numbers for the planner, before any tool or board file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from hdl.devices.budget import Budget
from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.devices.gowin import GOWIN
from hdl.devices.ice40 import PLAIN, ULTRAPLUS


@dataclass(frozen=True)
class Chip:
    """A chip.

    Attributes
    ----------
    name : str
    budget : Budget
        LUT4, flip-flops, multipliers and block RAMs, as large as the family's.
    device : Device
    fill : float
        Share of the LUTs and flip-flops, as estimated, that a design may take and still be placed.
    """

    name: str
    budget: Budget
    device: Device
    fill: float = 0.95

    @property
    def room(self) -> Budget:
        """What a design may take."""
        return replace(self.budget, lut=int(self.budget.lut * self.fill), ff=int(self.budget.ff * self.fill))


CROWDED = 0.8
"""`Chip.fill` of an iCE40, whose cells share clock enable and reset by eights: of 5,280 cells 4,149 were
placed and routed, while for 4,657 nextpnr found no legal place with any of four seeds; and the estimate of
them may be some percent wrong."""


def ecp5(name: str, lut: int, dsp: int, bram: int) -> Chip:
    """An ECP5: each LUT has its flip-flop."""
    return Chip(name, Budget(lut=lut, ff=lut, dsp=dsp, bram=bram), ECP5)


SIZES = {
    "12F": (24288, 28, 56),  # sold as 12k LUTs; the die and the open tools have them all
    "25F": (24288, 28, 56),
    "45F": (43848, 72, 108),
    "85F": (83640, 156, 208),
}
"""Of the ECP5: LUTs, multipliers, block RAMs; the same with transceivers (UM) and fast ones (UM5G)."""
CHIPS = {
    chip.name: chip
    for chip in (
        *(ecp5(f"LFE5U-{size}", *numbers) for size, numbers in SIZES.items()),
        ecp5("LFE5UM-45F", *SIZES["45F"]),
        ecp5("LFE5UM5G-45F", *SIZES["45F"]),
        ecp5("LFE5UM5G-85F", *SIZES["85F"]),
        Chip("iCE40UP5K", Budget(lut=5280, ff=5280, dsp=8, bram=30), ULTRAPLUS, CROWDED),
        Chip("iCE40HX8K", Budget(lut=7680, ff=7680, dsp=0, bram=32), PLAIN, CROWDED),
        Chip("GW1NR-9C", Budget(lut=8640, ff=6480, dsp=20, bram=26), GOWIN),
        Chip("GW2A-18C", Budget(lut=20736, ff=15552, dsp=48, bram=46), GOWIN),
    )
}
BOARDS = {
    board: CHIPS[chip]
    for board, chip in {
        "ulx3s-12f": "LFE5U-12F",
        "ulx3s-25f": "LFE5U-25F",
        "ulx3s-45f": "LFE5U-45F",
        "ulx3s-85f": "LFE5U-85F",
        "orangecrab-25f": "LFE5U-25F",
        "orangecrab-85f": "LFE5U-85F",
        "colorlight-5a75b": "LFE5U-25F",
        "icepi-zero": "LFE5U-25F",
        "butterstick": "LFE5UM5G-85F",
        "ecpix5-45f": "LFE5UM5G-45F",
        "ecpix5-85f": "LFE5UM5G-85F",
        "versa-ecp5": "LFE5UM-45F",
        "icesugar-pro": "LFE5U-25F",
        "logicbone-45f": "LFE5UM5G-45F",
        "logicbone-85f": "LFE5UM5G-85F",
        "icebreaker": "iCE40UP5K",
        "icebreaker-bitsy": "iCE40UP5K",
        "upduino3": "iCE40UP5K",
        "hx8k-breakout": "iCE40HX8K",
        "icesugar": "iCE40UP5K",
        "tang-nano-9k": "GW1NR-9C",
        "tang-primer-20k": "GW2A-18C",
    }.items()
}
ALIASES = {
    "ulx3s": "ulx3s-85f",
    "orangecrab": "orangecrab-25f",
    "colorlight": "colorlight-5a75b",
    "ecpix5": "ecpix5-85f",
    "logicbone": "logicbone-45f",
}
"""What a board of several sizes, or a long name, may be called."""


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
