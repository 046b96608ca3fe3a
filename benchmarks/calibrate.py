"""``python -m benchmarks.calibrate``: what yosys and nextpnr make of an ECP5's stages, for the estimator.

A grid of small nets is synthesised and packed, and the LUTs of each kind of logic are fitted to the counts.
With ``--held-out`` the estimate is compared with whole boards that are not in the grid, half of them with
nets of any scale. An iCE40 counts cells, which LUTs and flip-flops share: of those only what stands
round an accelerator is fitted, with ``--ice40``.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from statistics import median

import numpy as np
from rich.table import Table

from benchmarks.grid import Point, grid, rescaled, small
from benchmarks.held_out import held_out
from benchmarks.packed import FOLDER, count
from boards.catalogue.board import Target
from boards.catalogue.targets import find
from boards.catalogue.toolchains import TRELLIS
from boards.tools.flow import version
from hdl.devices.device import Device
from hdl.planning.estimate import around, tally
from hdl.planning.tally import FILE, KINDS, Tally, coefficients, recorded
from model import cli
from model.files.whole import replacing

BOARD = "ulx3s"
"""Whose shell stands round a whole board; an 85F, which all builds fit."""
SMALL_BOARD = "icebreaker"
"""Whose cells are counted for the iCE40."""
MANY = 100_000
"""LUTs that rounding does not matter beside."""
MEDIAN, WORST = 8.0, 20.0
"""Percents that the estimate of LUTs may be wrong by."""
RESCALING = "scale", "shift"
"""Kinds that nets of any scale alone have: what they take is fitted last, beside all others."""
SWEEPS = 20_000
"""Of the fit, at most."""
EXAMPLES = f"""examples:
  python -m benchmarks.calibrate               count the grid (kept in {FOLDER}), fit, write {FILE.name}
  python -m benchmarks.calibrate --rescales    count nets of any scale, fit what rescaling takes
  python -m benchmarks.calibrate --held-out    count the held-out boards, and compare
  python -m benchmarks.calibrate --recorded    compare with what was counted before; no tool runs
  python -m benchmarks.calibrate --ice40       count boards with an iCE40, fit what their shell takes
"""


def main(argv: list[str]) -> None:
    """The command."""
    parser = cli.Parser(prog="python -m benchmarks.calibrate", description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "--held-out", action="store_true", help="compare with builds that are not in the grid"
    )
    parser.add_argument("--recorded", action="store_true", help="the same, as recorded last")
    parser.add_argument(
        "--rescales", action="store_true", help="count nets of any scale, fit what that takes"
    )
    parser.add_argument("--ice40", action="store_true", help="count cells of whole boards with an iCE40")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
    target = find(SMALL_BOARD if options.ice40 else BOARD)
    device = target.family
    if options.recorded:
        rows, weights = recorded()["held_out"], coefficients(device.name)
    elif options.held_out:
        rows, weights = measured(held_out(), target), coefficients(device.name)
        record(held_out=rows)
    elif options.ice40:
        rows = measured(small(), target)
        found = fit_shell(rows, device)
        weights = coefficients(device.name) | found
        record(coefficients=recorded()["coefficients"] | {device.name: found}, ice40=rows)
    elif options.rescales:
        rows = measured(list(rescaled()), target)
        own = recorded()["coefficients"][device.name]
        weights = own | fit(rows, {kind: own[kind] for kind in own if kind not in RESCALING})
        record(coefficients=recorded()["coefficients"] | {device.name: weights}, rescaled=rows)
    else:
        rows = measured(grid(), target)
        weights = fit(rows)
        more = fit(recorded()["rescaled"], weights)
        record(coefficients=recorded()["coefficients"] | {device.name: weights | more}, grid=rows)
    rows = [compared(row, weights, device) for row in rows]
    cli.console().print(table(rows))
    print(summary(rows))
    cli.write_json(options.json, {"rows": rows})
    if (options.recorded or options.held_out) and not holds(rows):
        raise cli.Failure(
            f"LUTs are wrong by more than {MEDIAN:g} % (median) or {WORST:g} % (worst), or a number of"
            " multipliers or block RAMs is not exact"
        )


def made_of(point: Point, device: Device) -> Tally:
    """What a net is made of, with the board's shell if it has one."""
    own = tally(point.net, point.plan, device)
    return own + around(point.net, point.plan, device) if point.board else own


def measured(points: Iterable[Point], target: Target) -> list[dict]:
    """What each net is made of, and what the tools counted."""
    rows = []
    with cli.progress() as progress:
        task = progress.add_task("synthesis", total=len(points), note="")
        for point in points:
            progress.update(task, note=point.name)
            own = made_of(point, target.family)
            row = {"name": point.name, "kinds": dict(sorted(own.kinds.items()))}
            row |= {"estimated": {"ff": own.ff, "dsp": own.dsp, "bram": own.bram}}
            rows.append(row | {"counted": count(point, target)})
            progress.advance(task)
    return rows


def fit(rows: list[dict], known: dict[str, float] | None = None) -> dict[str, float]:
    """LUTs of each kind: non-negative least squares of the relative errors.

    Kinds that no net of the grid has are left out, and those that are `known`. Coordinate descent on the
    normal equations: each coefficient in turn takes its best value that is not negative, until none moves.
    """
    known = known or {}
    kinds = [kind for kind in KINDS if kind not in known and any(kind in row["kinds"] for row in rows)]
    amounts = np.array([[row["kinds"].get(kind, 0) for kind in kinds] for row in rows], float)
    counted = np.array([row["counted"]["lut"] for row in rows], float)
    others = [sum(known.get(kind, 0) * count for kind, count in row["kinds"].items()) for row in rows]
    amounts /= counted[:, None]
    gram, target, found = amounts.T @ amounts, amounts.T @ (1 - others / counted), np.zeros(len(kinds))
    for _ in range(SWEEPS):
        before = found.copy()
        for index in range(len(kinds)):
            step = (target[index] - gram[index] @ found) / gram[index, index]
            found[index] = max(found[index] + step, 0.0)
        if np.abs(found - before).max() < 1e-9:
            break
    return {kind: round(float(value), 4) for kind, value in zip(kinds, found)}


def fit_shell(rows: list[dict], device: Device) -> dict[str, float]:
    """LUTs of what stands round an accelerator, where a family's places of LUTs are known from those alone.

    The least square of the relative errors. Places grow evenly with LUTs: two points tell all.
    """
    each = coefficients(device.name) | {"shell": 0}
    without = [compared(row, each, device) for row in rows]
    counted = np.array([row["counted"]["lut"] for row in rows], float)
    lacking = counted - [row["estimated"]["lut"] for row in without]
    slope = (device.places(MANY, 0) - device.places(0, 0)) / MANY
    return {"shell": round(float((lacking / counted**2).sum() / (counted**-2.0).sum() / slope))}


def compared(row: dict, weights: dict[str, float], device: Device) -> dict:
    """A row with the estimate of its LUTs, or of their places, and how wrong it is, in percents."""
    luts = math.ceil(sum(weights[kind] * amount for kind, amount in row["kinds"].items()))
    places, counted = device.places(luts, row["estimated"]["ff"]), row["counted"]["lut"]
    estimated = row["estimated"] | {"lut": places}
    return row | {"estimated": estimated, "error": round(100 * (places / counted - 1), 2)}


def holds(rows: list[dict]) -> bool:
    """Whether the estimate is as good as it has to be."""
    errors = [abs(row["error"]) for row in rows]
    return median(errors) <= MEDIAN and max(errors) <= WORST and all(map(exact, rows))


def exact(row: dict) -> bool:
    """Whether multipliers and block RAMs are as counted."""
    return all(row["estimated"][name] == row["counted"][name] for name in ("dsp", "bram"))


def summary(rows: list[dict]) -> str:
    """The errors in a line."""
    errors = [abs(row["error"]) for row in rows]
    right = sum(map(exact, rows))
    return (
        f"{len(rows)} builds: LUT median error {median(errors):.1f} %, worst {max(errors):.1f} %;"
        f" multipliers and block RAMs exact in {right}"
    )


def record(**parts) -> None:
    """Put parts of the file in the place of the old ones."""
    versions = {name: version(TRELLIS.tools[name]) for name in ("yosys", "nextpnr-ecp5")}
    content = recorded() | parts | {"tools": versions}
    with replacing(FILE, "w") as file:
        file.write(written(content))


def written(content: dict) -> str:
    """The file as text, a row a line."""
    blocks = []
    for key, value in content.items():
        if isinstance(value, list):
            lines = ",\n".join(f"  {json.dumps(row)}" for row in value)
            blocks.append(f'"{key}": [\n{lines}\n ]')
        else:
            blocks.append(f'"{key}": {json.dumps(value)}')
    return "{\n " + ",\n ".join(blocks) + "\n}\n"


def table(rows: list[dict]) -> Table:
    """The rows to read: estimated and counted, ``/`` between them where they should be the same."""
    table = Table("build", "LUT", "counted", "error", "DSP", "BRAM")
    for column in table.columns:
        column.no_wrap = column.header != "build"
        column.justify = "left" if column.header == "build" else "right"
    for row in rows:
        own, counted = row["estimated"], row["counted"]
        table.add_row(
            row["name"],
            f"{own['lut']:,}",
            f"{counted['lut']:,}",
            f"{row['error']:+.1f} %",
            *(
                f"{own[key]}" if own[key] == counted[key] else f"{own[key]}/{counted[key]}"
                for key in ("dsp", "bram")
            ),
        )
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
