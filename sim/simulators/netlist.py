"""Synthesis of a component to the cells of a chip, for simulation of what it made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from sim.simulators import tools
from sim.simulators.build import ENTRIES, FOLDER, digest, execute
from sim.simulators.cells import MODULE, cells
from sim.simulators.store import kept
from sim.simulators.verilog import emit_rtlil

SOURCE, NETLIST, SCRIPT = "top.il", "netlist.v", "top.ys"
PADS = (
    ("TRELLIS_IO", "INPUT", r'\.DIR\("INPUT"\)'),
    ("TRELLIS_IO", "OUTPUT", r'\.DIR\("OUTPUT"\)'),
    ("SB_IO", "INPUT", r"\.PIN_TYPE\(6'h01\)"),
    ("SB_IO", "OUTPUT", r"\.PIN_TYPE\(6'h29\)[^;]*\.OUTPUT_ENABLE\(1'h1\)"),
)
"""Pads of both directions, those that use one, and what tells them."""
CELL = re.compile(r"^ +(\w+) #\(", re.MULTILINE)


@dataclass(frozen=True)
class Recipe:
    """How a board's flow synthesises.

    Parameters
    ----------
    family : str
        Of the cells, as yosys calls it: ``ecp5``, ``ice40``, ``gowin``.
    script : str
        For yosys: reads `SOURCE`, whose top module is ``top``, and writes `NETLIST` without attributes.
    """

    family: str
    script: str


def synthesise(component: wiring.Component, recipe: Recipe, folder=FOLDER) -> str:
    """The netlist of a component, with the ports that `sim.simulators.verilog.emit` would give it.

    Parameters
    ----------
    component : wiring.Component
    recipe : Recipe
    folder : path
        Netlists are kept in it, each under the digest of all that went into it.

    Returns
    -------
    str
        Verilog of the family's cells; `sim.simulators.cells` finds their models.

    Raises
    ------
    ValueError
        If yosys is missing.
    Failure
        If it refuses the design.
    """
    return netlist({SOURCE: emit_rtlil(component), SCRIPT: recipe.script}, recipe.family, folder)


def netlist(files: dict[str, str], family: str, folder=FOLDER) -> str:
    """What yosys makes of files that hold a script `SCRIPT`; otherwise as `synthesise`."""

    def make(target: Path) -> None:
        for name, text in files.items():
            (target / name).write_text(text, encoding="utf-8")
        # relative names: a yosys of WebAssembly sees no others
        execute([os.environ["YOSYS"], "-q", SCRIPT], target)
        for path in target.iterdir():
            if path.name != NETLIST:
                path.unlink()

    tools.use_yosys()
    name = f"netlist-{digest([tools.yosys_version(), family, files])}"
    made = kept(Path(folder).resolve() / name, make, ENTRIES)
    text = (made / NETLIST).read_text(encoding="utf-8")
    for cell, side, mark in PADS:
        # Verilator lets no cell of both directions stand at a port of one
        text = re.sub(rf"\b{cell} #\((?=[^;]*{mark})", f"{cell}_{side} #(", text)
    return f"// netlist of {family} cells\n{text}"


def lacking(text: str) -> list[str]:
    """Cells with parameters that a netlist uses and nothing models."""
    models = "".join(cells(text).values())
    return sorted(set(CELL.findall(text)) - set(MODULE.findall(models)) - set(MODULE.findall(text)))
