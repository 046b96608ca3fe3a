"""``python -m hdl.plan``: how parallel each layer is to be, and what that costs, before any tool runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict, fields, replace
from functools import cache

from hdl.devices import chips
from hdl.devices.budget import UNITS, Budget, lacking
from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.folding.net import Plan, beside
from hdl.planning.fit import PLENTY, Fitter, excess, multipliers
from hdl.planning.latency import quickened
from hdl.planning.search import Search
from hdl.planning.sheet import Sheet
from model import cli
from model.files import artifact
from model.files.whole import check_writable

EXAMPLES = """\
examples:
  python -m hdl.plan lenet --board ulx3s                       the fastest plan for the ULX3S (85F)
  python -m hdl.plan lenet --board ulx3s --fps 20000 --clock 100   the cheapest that is as fast as that
  python -m hdl.plan lenet --multipliers 40 --out plan.json    a file to edit and to give to other commands
  python -m hdl.plan lenet --plan plan.json                    what the edited file costs
  python -m hdl.plan my.npz --lut 20000 --dsp 28               within numbers of your own

exit status: 0 done, 2 bad input, among it a net that does not fit
"""


def main(argv: list[str]) -> None:
    """The command; see `EXAMPLES`."""
    options = parse(argv)
    name, budget, device = room(options)
    net = artifact.load(options.net)
    check_writable(options.out, options.json)
    fitter = Fitter(net, device, on_board=options.board is not None)
    planner = Search(net, device=device)
    if options.plan is not None:
        plan = Plan.load(options.plan, net)
    elif options.fps is not None:
        plan = planner.plan(min(int(options.clock * 1e6 / options.fps), planner.rates[-1]))
    elif options.multipliers is not None:
        plan = planner.within(options.multipliers)
    else:
        plan = beside(artifact.find(options.net), net)
        if plan is None or lacking(fitter.fit(plan).need, budget):
            plan = (fitter.fastest(budget) or fitter.smallest(budget)).plan
    sheet = Sheet(net, plan, device, on_board=fitter.on_board)
    if options.latency is not None and sheet.latency > options.latency:
        sheet = quicker(sheet, options.latency, min(options.multipliers or PLENTY, budget.dsp))
        plan = sheet.plan
    if lacking(sheet.total, budget):
        raise ValueError(refusal(fitter, plan, sheet.total, name, budget))
    console = cli.console()
    console.print(sheet.table())
    console.print(summary(sheet, options.clock))
    if options.out is not None:
        plan.save(options.out)
    cli.write_json(options.json, result(sheet, options.clock, name))


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m hdl.plan", description=__doc__, epilog=EXAMPLES)
    options.add_argument("net", help="a shipped net's name or an artifact's file")
    options.add_argument("--board", metavar="B", help="a board or chip: its LUTs, multipliers and so on")
    for key, unit in UNITS.items():
        options.add_argument(
            f"--{key}", type=cli.natural, metavar="N", help=f"{unit} at most, in place of the board's"
        )
    options.add_argument(
        "--multipliers", type=cli.positive, metavar="N", help="as many as the layers may have"
    )
    options.add_argument(
        "--fps", type=float, metavar="R", help="frames a second to reach, as cheaply as can be"
    )
    options.add_argument(
        "--latency", type=cli.positive, metavar="N", help="cycles from a frame's first pixel to its answer"
    )
    options.add_argument("--clock", type=float, default=100.0, metavar="MHZ", help="of the core (100)")
    options.add_argument("--plan", metavar="FILE", help="look at this plan instead of searching one")
    options.add_argument("--out", metavar="FILE", help="write the plan there")
    options.add_argument("--json", metavar="FILE", help="also write the table as JSON")
    return options


def parse(argv: list[str]) -> Namespace:
    """The options of the command."""
    known = parser()
    options = known.parse_args(argv)
    given = [key for key in ("plan", "fps", "multipliers") if getattr(options, key) is not None]
    if len(given) > 1:
        known.error(f"--{given[0]} and --{given[1]} exclude each other")
    for key in ("fps", "clock"):
        value = getattr(options, key)
        if value is not None and not 0 < value < float("inf"):
            known.error(f"--{key} is a number above 0, not {value:g}")
    return options


def room(options: Namespace) -> tuple[str, Budget, Device]:
    """What there is: its name, resources, and the family of chips."""
    name, budget, device = "the limits given", Budget(*[PLENTY] * len(fields(Budget))), ECP5
    if options.board is not None:
        chip = chips.find(options.board)
        name, budget, device = chip.name, chip.room, chip.device
    own = {key: getattr(options, key) for key in UNITS if getattr(options, key) is not None}
    return name, replace(budget, **own), device


def quicker(sheet: Sheet, cycles: int, multipliers: int) -> Sheet:
    """A plan whose answer comes so many cycles after a frame's first pixel."""
    while (late := sheet.latency - cycles) > 0:
        # More lanes are deeper trees, so a step may fall short of what it was made for: then the next.
        last = sheet.latency - sheet.ends
        plan = quickened(sheet.net, sheet.plan, sheet.delays, last - late, multipliers)
        sheet = Sheet(sheet.net, plan, sheet.device, on_board=sheet.on_board)
    return sheet


def refusal(fitter: Fitter, plan: Plan, need: Budget, name: str, budget: Budget) -> str:
    """Why a plan is not built: what exceeds what, and what would fit."""
    taken = f"with {multipliers(plan)} does not fit {name}: it takes {excess(need, budget)}"
    said = f"net {fitter.net.name!r} {taken}"
    if near := fitter.nearest(budget):
        return f"{said}; {near}"
    return f"{said}; {fitter.short(budget)}; {roomy(fitter)}"


def roomy(fitter: Fitter) -> str:
    """The smallest chip that has room for a net, or that there is none."""
    # chips of a family share what was counted
    fitters = cache(lambda device: Fitter(fitter.net, device, on_board=fitter.on_board))
    for chip in sorted(chips.CHIPS.values(), key=lambda chip: chip.budget.lut):
        if not lacking(fitters(chip.device).smallest(chip.room).need, chip.room):
            return f"a chip like {chip.name} has room"
    return "no chip known here has room"


def summary(sheet: Sheet, clock: float) -> str:
    """The whole in a line."""
    return (
        f"{multipliers(sheet.plan)}, {sheet.cycles:,} cycles a frame"
        f" ({sheet.efficiency:.1%} of what they could do): {clock * 1e6 / sheet.cycles:,.0f} frames/s"
        f" at {clock:g} MHz; latency {sheet.latency:,} cycles, computed to within {sheet.latency_within:,}"
    )


def result(sheet: Sheet, clock: float, name: str) -> dict:
    """The table for machines."""
    return {
        "net": sheet.net.name,
        "chip": name,
        "plan": {key: stage.described() for key, stage in sheet.plan.stages.items()},
        "multipliers": sheet.plan.multipliers,
        "cycles": sheet.cycles,
        "bound_cycles": sheet.bound_cycles,
        "efficiency": round(sheet.efficiency, 4),
        "frames_per_second": round(clock * 1e6 / sheet.cycles, 1),
        "latency_cycles": sheet.latency,
        "latency_within_cycles": sheet.latency_within,
        "estimate": asdict(sheet.total),
        "stages": [row.described() for row in sheet.rows],
    }


if __name__ == "__main__":
    sys.exit(cli.run(main))
