"""``python -m benchmarks.hardware``: measured cycles a frame against what the multipliers allow.

With ``--place`` each plan is also built for a board: what clock it reaches after routing, the frames a second
at that, and what it takes of the chip.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.table import Table

from boards.build import SEED
from boards.catalogue import targets
from boards.catalogue.board import Target
from boards.catalogue.fitting import taken
from boards.shell.design import Design
from boards.tools.steps import build
from hdl.devices.budget import UNITS, lacking
from hdl.planning.cost import bound_cycles, planned_cycles
from hdl.planning.search import Search
from model import cli
from model.files import artifact
from sim.bench.accelerator import measure

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Multipliers that the planner may use; it never uses more than the rate needs."""
BUSY = 0.95
"""Plans in which multipliers wait more are passed over."""
EXAMPLES = """examples:
  python -m benchmarks.hardware                               every shipped net
  python -m benchmarks.hardware --net lenet --multipliers 40 80
  python -m benchmarks.hardware --net tiny --place icebreaker  routed as well, minutes a plan
"""
FOLDER = Path("build/hardware")
"""Where the boards of ``--place`` go, in a folder for each net and number of multipliers."""


def main(argv: list[str]) -> None:
    """The command."""
    parser = cli.Parser(prog="python -m benchmarks.hardware", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("--net", nargs="+", default=artifact.names(), help="shipped nets or artifacts (all)")
    parser.add_argument("--multipliers", nargs="+", type=cli.positive, default=COUNTS, metavar="N")
    parser.add_argument(
        "--busy",
        type=float,
        default=BUSY,
        metavar="SHARE",
        help=f"pass over plans that keep multipliers less busy ({BUSY}); 0 for the fastest plans",
    )
    parser.add_argument("--place", metavar="BOARD", help="also place and route what fits this board")
    parser.add_argument("--seed", type=cli.natural, default=SEED, metavar="N", help=f"of placement ({SEED})")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
    if not 0 <= options.busy <= 1:
        raise ValueError(f"--busy is a share from 0 to 1, not {options.busy}")
    target = targets.find(options.place) if options.place else None
    points = list(distinct(options.net, options.multipliers, options.busy))
    rows = []
    with cli.progress() as progress:
        task = progress.add_task("simulating", total=len(points), note="")
        for net, plan in points:
            progress.update(task, note=f"{net.name}, {plan.multipliers} multipliers")
            rows.append(row(net, plan))
            progress.advance(task)
    cli.console().print(table(rows))
    if target is not None:
        for (net, plan), line in zip(points, rows):
            line["placed"] = placed(net, plan, target, options.seed)
        cli.console().print(routes(rows))
    cli.write_json(options.json, {"rows": rows})


def distinct(nets: list[str], counts: list[int], busy: float):
    """The nets with each of their different plans."""
    for net in map(artifact.load, nets):
        seen, planner = set(), Search(net)
        for count in counts:
            plan = planner.within(count, busy)
            if plan.multipliers not in seen:
                seen.add(plan.multipliers)
                yield net, plan


def row(net, plan) -> dict:
    """One measurement."""
    figures = measure(net, plan)
    return {
        "net": net.name,
        "plan": {name: [stage.input_lanes, stage.output_lanes] for name, stage in plan.stages.items()},
        "shared": [names for names in plan.arrays if len(names) > 1],
        "multipliers": plan.multipliers,
        "ii_cycles": figures.ii_cycles,
        "planned_cycles": planned_cycles(net, plan),
        "bound_cycles": bound_cycles(net, plan),
        "efficiency": round(figures.efficiency, 4),
        "latency_cycles": figures.latency_cycles,
        "cycles_after_last_pixel": figures.cycles_after_last_pixel,
    }


def placed(net, plan, target: Target, seed: int) -> dict | None:
    """A point as a whole board, after routing, or what failing tools said; None if it is too large.

    The clock that the board has by itself is asked for, and need not be met.
    """
    need = taken(net, plan, target)
    if lacking(need, target.chip.room):
        return None
    out = FOLDER / f"{net.name}-{plan.multipliers}"
    try:
        report = build(Design.of(target, net, plan), need, out, seed)
    except cli.Failure as error:
        return {"board": target.name, "seed": seed, "failed": str(error)}
    fmax = report["clock"]["fmax_mhz"]
    return {
        "board": target.name,
        "seed": seed,
        "fmax_mhz": fmax,
        "frames_per_second": fmax * 1e6 / report["throughput"]["ii_cycles"],
        **{name: report["resources"][name]["used"] for name in UNITS},
    }


def table(rows: list[dict]) -> Table:
    """The rows to read: lanes of each layer as input x output, and cycles."""
    table = Table("net", "lanes", "mult.", "II", "planned", "bound", "eff.", "latency")
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header in ("net", "lanes") else "right"
    for line in rows:
        lanes = " ".join(f"{inputs}x{outputs}" for inputs, outputs in line["plan"].values())
        keys = ("multipliers", "ii_cycles", "planned_cycles", "bound_cycles")
        table.add_row(
            line["net"],
            lanes,
            *(f"{line[key]:,}" for key in keys),
            f"{line['efficiency']:.3f}",
            f"{line['latency_cycles']:,}",
        )
    return table


def routes(rows: list[dict]) -> Table:
    """The rows' boards, after routing."""
    table = Table("net", "mult.", "MHz", "frames/s", *map(str.upper, UNITS))
    for column in table.columns[1:]:
        column.justify = "right"
    for line in rows:
        placed, cells = line["placed"], [line["net"], f"{line['multipliers']:,}"]
        if placed is None or "failed" in placed:
            cells.append("too large" if placed is None else "failed")
        else:
            cells += [f"{placed['fmax_mhz']:.1f}", f"{placed['frames_per_second']:,.0f}"]
            cells += [f"{placed[name]:,}" for name in UNITS]
        table.add_row(*cells)
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
