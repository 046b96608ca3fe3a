"""``python -m boards.build BOARD``: from a trained net to a bitstream and a report of what it does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from rich.progress import Progress

from boards import report as reports
from boards import targets
from boards.design import Design
from boards.flow import REPORT, STEPS, Flow, check_tools
from boards.shell import estimate as shell_estimate
from boards.targets import Target
from hdl.estimate import UNITS, Budget, estimate, lacking
from hdl.netplan import Plan, beside, weighted
from hdl.search import DEFAULT_MULTIPLIERS, search
from model import artifact, cli
from model.cli import Failure
from model.files import check_writable, replacing
from model.qnetwork import QNetwork
from sim.accelerator import Figures, measure

PRODUCTS = ("top.bit", "top.svf", "plan.json", "report.json", "report.md")
"""What a build leaves in its folder; the report comes last."""
EXAMPLES = """\
examples:
  python -m boards.build ulx3s                        lenet for the ULX3S (85F), into build/ulx3s
  python -m boards.build ulx3s-12f --net my.npz       a net of your own for a smaller chip
  python -m boards.build ulx3s --clock 125 --seed 2   a faster core; another seed places differently
  python -m boards.build ulx3s --weights loadable     other weights later, without another bitstream
  python -m boards.build ulx3s --program              build it and load it into the board
  python -m boards.build ulx3s --verilog-only         nothing but build/ulx3s/top.v

exit status: 0 done, 1 the work failed (a missed clock, a tool's error), 2 bad input
"""


def main(argv: list[str]) -> None:
    """The command; see `EXAMPLES`."""
    options = parse(argv)
    target = targets.find(options.board)
    loader = programmer(target) if options.program else None
    net = artifact.load(options.net)
    if options.plan is None:
        loadable = options.weights == "loadable"
        plan = default_plan(net, target, beside(artifact.find(options.net), net), loadable=loadable)
    else:
        plan = Plan.load(options.plan, net)
        if options.weights is not None:
            plan = (
                plan.made_loadable(net)
                if options.weights == "loadable"
                else Plan(plan.stages, clock_mhz=plan.clock_mhz)
            )
    if options.baud is not None and options.baud > target.max_baud:
        raise ValueError(
            f"--baud {options.baud}: the serial port of {target.name} does {target.max_baud:,} at most"
        )
    design = Design.of(target, net, plan, clock_mhz=options.clock, baud=options.baud)
    budget = checked_fit(design)
    out = Path("build", options.board.lower()) if options.out is None else Path(options.out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, not a folder")
    check_writable(out / "report.json", options.json)
    if options.verilog_only:
        with replacing(out / "top.v", "w") as file:
            file.write(design.verilog())
        print(out / "top.v")
        return
    result = build(design, budget, out, options.seed)
    cli.write_json(options.json, result)
    summarise(result, out)
    if loader is not None:
        program(loader, out / "top.bit")


def parse(argv: list[str]) -> Namespace:
    """The options."""
    parser = cli.Parser(prog="python -m boards.build", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("board", metavar="BOARD", help=f"one of {', '.join(targets.names())}")
    parser.add_argument("--net", default="lenet", help="a shipped net's name or an artifact (lenet)")
    parser.add_argument(
        "--plan", metavar="FILE", help="how parallel each layer is; else the net's own, or searched"
    )
    parser.add_argument(
        "--weights",
        choices=("fixed", "loadable"),
        help="in ROMs, or writable through the serial port; else as the plan says (fixed)",
    )
    parser.add_argument("--clock", type=float, metavar="MHZ", help="of the core; else the board's own")
    parser.add_argument("--baud", type=int, metavar="N", help="of the serial port; else the board's own")
    parser.add_argument("--out", metavar="DIR", help="folder of the results (build/BOARD)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of placement (1)")
    parser.add_argument("--program", action="store_true", help="load the bitstream into the board")
    parser.add_argument("--verilog-only", action="store_true", help="write top.v and nothing else")
    parser.add_argument("--json", metavar="FILE", help="write the report there too")
    options = parser.parse_args(argv)
    if options.program and options.verilog_only:
        parser.error("--program needs a bitstream, which --verilog-only does not make")
    if not 0 <= options.seed < 1 << 31:
        parser.error(f"--seed is 0 to {(1 << 31) - 1}, not {options.seed}")
    return options


def default_plan(
    net: QNetwork, target: Target, shipped: Plan | None = None, *, loadable: bool = False
) -> Plan:
    """The net's own plan, or the fastest of a few that the board's chip has room for; else the smallest."""
    if shipped is not None and not loadable and not lacking(taken(net, shipped, target), target.budget):
        return shipped
    # Layers with loadable weights do not share.
    least = max(len(weighted(net)), 1) if loadable else 1
    count = max(min(DEFAULT_MULTIPLIERS, target.budget.dsp), least)
    while True:
        plan = search(net, count, shares=not loadable)
        plan = plan.made_loadable(net) if loadable else plan
        if count == least or not lacking(taken(net, plan, target), target.budget):
            return plan
        count = max(count // 2, least)


def taken(net: QNetwork, plan: Plan, target: Target) -> Budget:
    """What the accelerator and the shell round it take of a chip, estimated."""
    return estimate(net, plan, target.family) + shell_estimate(net, plan, target.family)


def checked_fit(design: Design) -> Budget:
    """The estimate of what a design takes.

    Raises
    ------
    ValueError
        If that is more than the board's chip has.
    """
    target = design.target
    need = taken(design.net, design.plan, target)
    names = lacking(need, target.budget)
    if names:
        parts = [
            f"about {getattr(need, name):,} {UNITS[name]} of {getattr(target.budget, name):,}"
            for name in names
        ]
        raise ValueError(
            f"net {design.net.name!r} is too large for {target.name}: it needs {' and '.join(parts)};"
            " take a plan with fewer multipliers, a smaller net or a larger board"
        )
    return need


def build(design: Design, budget: Budget, out: Path, seed: int) -> dict:
    """Run all steps and put the products into `out`, all or none.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    Failure
        If a tool fails, or the clock is missed; then the report is written, but no bitstream.
    """
    check_tools()
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name,
        cli.progress() as progress,
    ):
        folder = Path(name)
        flow = Flow(folder, out / "logs")
        steps = Steps(progress, design.target.name, len(STEPS) + 2)
        with steps.step("elaborate"), flow.timed("elaborate"):
            commands = flow.elaborate(design, seed)
        for command in commands:
            step = STEPS[command[0]]
            with steps.step(step), flow.timed(step):
                flow.execute(command)
        with steps.step("simulate"), flow.timed("simulate"):
            figures = measured(design)
        routed = json.loads((folder / REPORT).read_text())
        met = reports.clock(routed, design.pll.output_hz / 1e6)["met"]
        digest = hashlib.sha256((folder / "top.bit").read_bytes()).hexdigest() if met else None
        result = reports.report(design, budget, routed, figures, flow.seconds, digest)
        design.plan.save(folder / "plan.json")
        (folder / "report.json").write_text(json.dumps(result, indent=2) + "\n")
        (folder / "report.md").write_text(reports.markdown(result))
        publish(folder, out, met)
    if not met:
        raise Failure(missed(result, out))
    return result


def measured(design: Design) -> Figures:
    """The figures of the accelerator in RTL simulation.

    Raises
    ------
    Failure
        If the simulator does not work, or the accelerator answers wrongly.
    """
    try:
        return measure(design.net, design.plan, design.target.family)
    except RuntimeError as error:
        raise Failure(f"the simulation that measures the rate failed: {error}") from None


class Steps:
    """The progress of a build.

    Parameters
    ----------
    progress : Progress
    name : str
    total : int
    """

    def __init__(self, progress: Progress, name: str, total: int):
        self.progress = progress
        self.task = progress.add_task(name, total=total, note="")

    def step(self, name: str):
        """Shows the name of what is being done."""
        self.progress.update(self.task, note=name.replace("_", " "))
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.progress.advance(self.task)


def publish(folder: Path, out: Path, met: bool) -> None:
    """Move the products to their place; what an older build left and this one has not goes."""
    out.mkdir(parents=True, exist_ok=True)
    for name in PRODUCTS:
        if met or not name.startswith("top."):
            os.replace(folder / name, out / name)
        else:
            (out / name).unlink(missing_ok=True)


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
    print(f"  {sum(result['seconds'].values()):.0f} seconds; {out / 'top.bit'}, {out / 'report.md'}")


def programmer(target: Target) -> list[str]:
    """The command that loads a bitstream.

    Raises
    ------
    ValueError
        If its program is missing.
    """
    tool, *arguments = target.programmer
    named = os.environ.get(tool.upper(), tool)
    found = shutil.which(named)
    if found is None:
        raise ValueError(
            f"--program needs {named}, which is not installed: see https://trabucayre.github.io/openFPGALoader"
        )
    return [found, *arguments]


def program(command: list[str], bitstream: Path) -> None:
    """Load a bitstream into the board."""
    result = subprocess.run([*command, str(bitstream)], capture_output=True, text=True, check=False)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise Failure(f"{Path(command[0]).name} failed: {lines[-1] if lines else result.returncode}")
    print(f"{bitstream} is in the board")


if __name__ == "__main__":
    sys.exit(cli.run(main))
