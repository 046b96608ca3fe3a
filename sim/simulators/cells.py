"""Models of chips' cells for simulation: our own in ``models``, and those that yosys ships."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from sim.simulators import tools

MODELS = Path(__file__).parent / "models"
LIBRARY = "library.v"
"""The source of which a simulator takes only the modules that nothing else defines."""
FAMILY = re.compile(r"\A// netlist of (\w+) cells\n")
"""How a netlist begins that `sim.simulators.netlist` made."""
MODULE = re.compile(r"^\s*module\s+\\?(\S+?)\s*[#(;]", re.MULTILINE)
BLACK_BOX = re.compile(
    r"^\(\* blackbox[^)]*\*\)\s*(\(\*[^)]*\*\)\s*)*module\b.*?^endmodule", re.DOTALL | re.MULTILINE
)


def cells(verilog: str) -> dict[str, str]:
    """Models of the chip's own cells that a Verilog text names, by file name.

    Cell ``ABC`` or ``aBC`` is in ``models/abc.v``, and may stand on other models. For a netlist yosys'
    models of the family come too, and before ours: ours may know less of a cell than synthesis makes use of.

    Parameters
    ----------
    verilog : str
        Verilog of a design, or a netlist.
    """
    family = FAMILY.match(verilog)
    library = models(family[1]) if family else ""
    known = set(MODULE.findall(library))
    words = named(verilog) - {name.upper() for name in known}
    paths = sorted(MODELS.glob("*.v"))
    found: dict[str, str] = {}
    while more := [path for path in paths if path.stem.upper() in words and path.name not in found]:
        found |= {path.name: path.read_text(encoding="utf-8") for path in more}
        words |= named("\n".join(found.values()))
    return found | ({LIBRARY: library} if library else {})


def named(verilog: str) -> set[str]:
    """Words of a Verilog text without its comments, in capitals."""
    return set(re.findall(r"\w+", re.sub(r"//.*", "", verilog).upper()))


@functools.cache
def models(family: str) -> str:
    """Yosys' simulation models of a family's cells, without those that are only interfaces.

    Raises
    ------
    ValueError
        If yosys has none.
    """
    path = tools.yosys_share() / family / "cells_sim.v"
    if not path.is_file():
        raise ValueError(f"yosys has no models of {family} cells to simulate a netlist with")
    return BLACK_BOX.sub("", expanded(path))


def expanded(path: Path) -> str:
    """A Verilog text with the files that it includes."""
    return re.sub(
        r'`include "([^"]+)"',
        lambda found: expanded(path.parent / found[1]),
        path.read_text(encoding="utf-8"),
    )
