"""What nextpnr packs a net into, before it places anything: seconds in place of minutes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.grid import Point
from boards.catalogue.board import Target
from boards.catalogue.toolchains import PURGED, REPORT
from boards.shell.design import Design
from boards.tools.flow import Flow, program, version
from hdl.network import Accelerator
from model.cli import Failure
from sim.simulators.build import digest
from sim.simulators.store import kept
from sim.simulators.verilog import emit_rtlil

FOLDER = Path("build/calibration")
"""Counts are kept in it, each under the digest of all that decides them."""
COUNTS = "counts.json"
SOURCE, SCRIPT = "top.il", "top.ys"
SYNTHESIS = f"read_rtlil {SOURCE}; synth_ecp5 {PURGED.format('synth_ecp5')} -top top; write_json top.json"
"""As `TRELLIS` has it for a board."""
CONFIGURED = ("--textcfg", "--asc")
"""Options of nextpnr that name the file which is made of a placed and routed netlist."""
PACKING = ["--85k", "--package", "CABGA756", "--json", "top.json", "--report", REPORT]
"""The largest package: each bit of an accelerator's streams is a pin."""


def inputs(point: Point, target: Target) -> tuple[dict[str, bytes], list[list[str]]]:
    """Files for yosys and nextpnr, and the arguments of both."""
    if point.board:
        flow = Flow(Design.of(target, point.net, point.plan), 1, FOLDER)
        (_, synthesis), (_, packing), *_ = flow.commands
        # there is nothing to configure before it is placed
        at = next(packing.index(option) for option in CONFIGURED if option in packing)
        return flow.files, [synthesis, packing[:at] + packing[at + 2 :]]
    source = emit_rtlil(Accelerator(point.net, point.plan, target.family))
    return {SOURCE: source.encode(), SCRIPT: SYNTHESIS.encode()}, [["-q", "-s", SCRIPT], PACKING]


def count(point: Point, target: Target) -> dict[str, int]:
    """LUT places, flip-flops, multipliers and block RAMs of an accelerator, or of a board's whole shell.

    Parameters
    ----------
    point : Point
    target : Target
        A board with an ECP5; for a whole board an iCE40 may do, whose flip-flops are not told.

    Raises
    ------
    Failure
        If a tool refuses the design.
    """
    files, arguments = inputs(point, target)
    steps = list(target.tools.tools.values())[:2]

    def make(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        for tool, words in zip(steps, [arguments[0], [*arguments[1], "--pack-only"]]):
            command = [program(tool), *words]
            result = subprocess.run(
                command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False
            )
            if result.returncode:
                said = (result.stderr or result.stdout).strip().splitlines()
                raise Failure(f"{point.name}: {tool.name} failed: {said[-1] if said else 'it said nothing'}")
        used = json.loads((folder / REPORT).read_text(encoding="utf-8"))["utilization"]
        for path in folder.iterdir():
            path.unlink()
        (folder / COUNTS).write_text(
            json.dumps({name: cells["used"] for name, cells in used.items()}), encoding="utf-8"
        )

    texts = {name: content.decode() for name, content in files.items()}
    key = digest([texts, arguments, [version(tool) for tool in steps]])
    used = json.loads((kept(FOLDER.resolve() / key, make) / COUNTS).read_text(encoding="utf-8"))
    return {name: sum(used.get(cell, 0) for cell in cells) for name, cells in target.tools.cells.items()}
