"""``python -m boards.build BOARD``: from a trained net to a bitstream and a report of what it does."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from boards.catalogue import listing, own, targets
from boards.catalogue.fitting import checked_fit, default_plan
from boards.shell.design import Design
from boards.shell.trial import trial
from boards.tools import cache, program
from boards.tools.steps import build
from hdl.devices.budget import UNITS
from hdl.folding.net import Plan, beside
from model import cli
from model.cli import Failure
from model.files import artifact
from model.files.whole import check_writable, replacing

SEED = 1
"""Of placement, where neither user nor plan names one."""
EXAMPLES = """\
examples:
  python -m boards.build --list                       the boards, and which nets fit
  python -m boards.build ulx3s                        lenet for the ULX3S (85F), into build/ulx3s
  python -m boards.build ulx3s-12f --net my.npz       a net of your own for a smaller chip
  python -m boards.build my_board.py:MyPlatform       a board of your own (docs/boards.md)
  python -m boards.build ulx3s --clock 125 --seed 2   a faster core; another seed places differently
  python -m boards.build ulx3s --weights loadable     other weights later, without another bitstream
  python -m boards.build ulx3s --program              build it and load it into the board
  python -m boards.build ulx3s --flash                likewise, and the board keeps it
  python -m boards.build ulx3s --verilog-only         nothing but build/ulx3s/top.v

exit status: 0 done, 1 the work failed (a missed clock, a tool's error), 2 bad input
"""


def main(argv: list[str]) -> None:
    """The command; see `EXAMPLES`."""
    options = parse(argv)
    if options.list:
        show(options)
        return
    target = own.find(options.board, trial) if own.is_own(options.board) else targets.find(options.board)
    loader = program.command(target, keep=options.flash) if options.program or options.flash else None
    wanted = options.net or target.net
    net = artifact.load(wanted)
    if options.plan is None:
        loadable = options.weights == "loadable"
        plan = default_plan(net, target, beside(artifact.find(wanted), net), loadable=loadable)
    else:
        plan = Plan.load(options.plan, net)
        if options.weights is not None:
            plan = (
                plan.made_loadable(net)
                if options.weights == "loadable"
                else replace(plan, weights="fixed", fracs={})
            )
    if options.baud is not None and options.baud > target.max_baud:
        raise ValueError(
            f"--baud {options.baud}: the serial port of {target.name} does {target.max_baud:,} at most"
        )
    design = Design.of(target, net, plan, clock_mhz=options.clock, baud=options.baud)
    budget = checked_fit(design.net, plan, target)
    name = target.name if own.is_own(options.board) else options.board.lower()
    out = Path("build", name) if options.out is None else Path(options.out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, not a folder")
    check_writable(out / "report.json", options.json)
    if options.verilog_only:
        with replacing(out / "top.v", "w") as file:
            file.write(design.verilog())
        print(out / "top.v")
        return
    # beside the folder stands the lock of its builds
    check_writable(out.parent / "lock", cache.FOLDER / "entry")
    seed = next(seed for seed in (options.seed, plan.seed, SEED) if seed is not None)
    result = build(design, budget, out, seed, force=options.force)
    if not result["clock"]["met"]:
        raise Failure(missed(result, out))
    cli.write_json(options.json, result)
    summarise(result, out)
    if loader is not None:
        program.load(loader, out / target.tools.bitstream, target)


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m boards.build", description=__doc__, epilog=EXAMPLES)
    options.add_argument(
        "board", metavar="BOARD", nargs="?", help=f"FILE.py:CLASS, or {', '.join(targets.names())}"
    )
    options.add_argument("--list", action="store_true", help="show the boards and which nets fit")
    options.add_argument("--net", help="a shipped net's name or an artifact; else the board's own")
    options.add_argument(
        "--plan", metavar="FILE", help="how parallel each layer is; else the net's own, or searched"
    )
    options.add_argument(
        "--weights",
        choices=("fixed", "loadable"),
        help="in ROMs, or writable through the serial port; else as the plan says (fixed)",
    )
    options.add_argument("--clock", type=float, metavar="MHZ", help="of the core; else the board's own")
    options.add_argument(
        "--baud", type=cli.positive, metavar="N", help="of the serial port; else the board's own"
    )
    options.add_argument("--out", metavar="DIR", help="folder of the results (build/BOARD)")
    options.add_argument(
        "--seed", type=cli.natural, metavar="N", help=f"of placement; else the plan's, or {SEED}"
    )
    options.add_argument("--force", action="store_true", help="build again what was built before")
    options.add_argument("--program", action="store_true", help="load the bitstream into the board")
    options.add_argument("--flash", action="store_true", help="likewise, to stay there without power")
    options.add_argument("--verilog-only", action="store_true", help="write top.v and nothing else")
    options.add_argument("--json", metavar="FILE", help="write the report, or the list, there too")
    return options


def parse(argv: list[str]) -> Namespace:
    """The options."""
    known = parser()
    options = known.parse_args(argv)
    if options.board is None and not options.list:
        known.error("name a board, or --list them")
    for name in ("program", "flash"):
        if getattr(options, name) and options.verilog_only:
            known.error(f"--{name} needs a bitstream, which --verilog-only does not make")
    return options


def show(options: Namespace) -> None:
    """The list of boards."""
    check_writable(options.json)
    with cli.progress() as progress:
        task = progress.add_task("boards", total=len(targets.TARGETS), note="")
        rows = listing.rows(lambda: progress.advance(task))
    console = cli.console()
    console.print(listing.table(rows))
    for line in listing.wiring(rows):
        console.print(line)
    cli.write_json(options.json, {"boards": rows})


def missed(result: dict, out: Path) -> str:
    """What to say of a missed clock."""
    clock = result["clock"]
    return (
        f"the core reaches {clock['fmax_mhz']:g} MHz, not {clock['target_mhz']:g}: try --clock"
        f" {int(clock['fmax_mhz'])}, another --seed or a plan with fewer multipliers"
        f" (report: {out / 'report.md'})"
    )


def summarise(result: dict, out: Path) -> None:
    """A few lines on what was built."""
    clock, rate = result["clock"], result["throughput"]
    used = ", ".join(
        f"{row['used']:,} of {row['available']:,} {UNITS[name]}" for name, row in result["resources"].items()
    )
    reached = f"{clock['target_mhz']:g} MHz met ({clock['fmax_mhz']:g} possible)"
    print(f"{result['net']} on {result['board']}: {reached}")
    for caveat in result["caveats"]:
        print(f"  but {caveat}")
    print(f"  {rate['frames_per_second']:,.0f} frames/s, {rate['latency_cycles']:,} cycles to the result")
    print(f"  {used}")
    if result["wiring"]:
        print(f"  to wire: {result['wiring']}")
    seconds = f"{sum(result['seconds'].values()):.0f} seconds"
    if result["inputs"]["cached"]:
        print(f"  from the cache: the same was built before, in {seconds} (--force builds it again)")
        seconds = "0 seconds"
    print(f"  {seconds}; {out / result['bitstream']['path']}, {out / 'report.md'}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
