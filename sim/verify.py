"""``python -m sim.verify``: the test set through the accelerator in simulation, every logit compared."""

from __future__ import annotations

import importlib
import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table

from hdl.devices.device import PORTABLE
from hdl.folding.net import Plan, beside
from hdl.planning.search import default, search
from model import cli
from model.files import artifact, dataset, levels
from model.files.whole import check_writable
from model.golden.qnetwork import QNetwork
from sim.bench.accelerator import STEADY, AcceleratorBench, Figures, first_mismatch, wrong
from sim.bench.bench import SIMULATORS, Broken, Result, Stalls
from sim.bench.cover import Cover
from sim.bench.taps import first_difference, stuck
from sim.simulators import build, cxxrtl, process
from sim.simulators.build import processors

FRAMES = 100
"""Test images where nobody says how many."""
PINS = 2
"""Frames that go through the pins of a board's netlist, where nobody says how many: a serial port is slow."""
STALLED = 1000
"""Frames, at most, that run again with stalls: waiting takes the simulator as long as work does."""
LEVELS = ("rtl", "netlist")
BOARDS = "boards.simulated.core"
"""What knows boards. It stands above this folder: it is looked up when a board is named, and not before."""
NAMED = {"verilator": build.simulator, "cxxrtl": cxxrtl.simulator}
"""What each of `SIMULATORS` calls itself."""
EXAMPLES = """examples:
  python -m sim.verify                                  the shipped lenet, 100 test images
  python -m sim.verify --net lecture --frames 1000      more of them, of another net
  python -m sim.verify --net my.npz --data my_images/   a net and images of your own
  python -m sim.verify --plan plan.json --json out.json how parallel, and the figures as JSON
  python -m sim.verify --frames 10000 --multipliers 354 all of them, lenet at a pixel a cycle
  python -m sim.verify --level netlist --board ulx3s    what synthesis made, and the board's serial pins
  python -m sim.verify --simulator cxxrtl               another simulator
  python -m sim.verify --cover                          which cases the images and stalls have met

Frames run back to back without stalls, which gives the figures, and up to 1,000 of them again with random
stalls on both sides; the parts of a long run go side by side. Every logit and class is compared with the
integer model; one that differs is exit status 1. Of a netlist the values between layers are compared as
well, and the first layer that differs is named.
"""


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m sim.verify", description=__doc__, epilog=EXAMPLES)
    options.add_argument("--net", default="lenet", help="a shipped net's name or an artifact's file (lenet)")
    options.add_argument("--data", metavar="DIR", help=f"{dataset.TAKEN}, in place of MNIST")
    options.add_argument(
        "--frames", type=cli.positive, metavar="N", help=f"test images to run (up to {FRAMES})"
    )
    options.add_argument("--plan", metavar="FILE", help="how parallel each layer is; a JSON file")
    options.add_argument(
        "--multipliers", type=cli.positive, metavar="N", help="search a plan with so many, in place of --plan"
    )
    options.add_argument("--level", choices=LEVELS, default=LEVELS[0], help="what is simulated (rtl)")
    options.add_argument("--board", metavar="B", help="the core as this board has it, its netlist, its pins")
    options.add_argument(
        "--pins",
        type=cli.natural,
        default=PINS,
        metavar="N",
        help=f"frames through the netlist's serial pins ({PINS})",
    )
    options.add_argument(
        "--simulator", choices=SIMULATORS, default=SIMULATORS[0], help=f"what simulates ({SIMULATORS[0]})"
    )
    options.add_argument("--cover", action="store_true", help="show which cases were met; holes are named")
    options.add_argument("--seed", type=cli.natural, default=0, help="of the stalls (0)")
    options.add_argument(
        "--stalls", type=float, default=0.25, metavar="P", help="probability that a stall begins (0.25)"
    )
    options.add_argument("--json", metavar="FILE", help="also write the result as JSON")
    return options


def parse(argv: list[str]) -> Namespace:
    """The options, checked."""
    options = parser().parse_args(argv)
    if options.plan is not None and options.multipliers is not None:
        raise ValueError("--plan and --multipliers exclude each other")
    netlist = options.level == "netlist"
    if netlist and options.board is None:
        raise ValueError("--level netlist needs --board: a netlist is made for a chip")
    if options.simulator != SIMULATORS[0] and (netlist or options.cover or options.board is not None):
        raise ValueError(
            f"--simulator {options.simulator} runs the portable Verilog alone: no --board, no --cover"
        )
    Stalls(options.stalls)
    check_writable(options.json)
    return options


def main(argv: list[str]) -> None:
    """The command."""
    options = parse(argv)
    started = time.monotonic()
    net = artifact.load(options.net)
    with cli.counted("reading pictures") as tell:
        images = dataset.load_part("t10k", options.data, tell, options.frames or FRAMES).images
    images = net.checked(levels.for_net(images, net))
    if (options.frames or 0) > len(images):
        raise ValueError(f"--frames {options.frames}: the test set has only {len(images)} images")
    images = images[: options.frames or FRAMES]
    wanted, shipped, core = chosen(options, net), beside(artifact.find(options.net), net), None
    if options.board is not None:
        core = importlib.import_module(BOARDS).Core.of(options.board, net, wanted, shipped)
    plan = core.plan if core else wanted or shipped or default(net)
    netlist = options.level == "netlist"
    with cli.progress() as progress:
        task = progress.add_task("compile", total=None, note="synthesis, C++" if netlist else "Verilog, C++")
        if netlist and options.pins:
            # what cannot be simulated is told before the long runs
            core.board()
        bench = AcceleratorBench(
            net,
            plan,
            core.device if core else PORTABLE,
            recipe=core.recipe if netlist else None,
            tapped=netlist or options.cover,
            simulator=options.simulator,
        )
        progress.remove_task(task)
        check = Check(net, images, bench, progress)
        compiled = time.monotonic()
        plain, stalled = check.all(options.stalls, options.seed)
        finished = time.monotonic()
        pins = 0
        if netlist and not check.first:
            task = progress.add_task("the board's pins", total=None, note="synthesis, C++, serial")
            pins = core.check_pins(images[: options.pins]) if options.pins else 0
            progress.remove_task(task)
    figures = bench.figures(plain[0])
    cycles = sum(run.cycles for run in (*plain, stalled))
    result = {
        "net": net.name,
        "plan": options.plan or (f"{options.multipliers} multipliers" if options.multipliers else "default"),
        "simulator": NAMED[options.simulator](),
        "level": options.level,
        "frames": len(images),
        "mismatches": int(check.bad.sum()),
        "ii_cycles": figures.ii_cycles,
        "latency_cycles": figures.latency_cycles,
        "seconds": round(time.monotonic() - started, 3),
        "cycles_after_last_pixel": figures.cycles_after_last_pixel,
        "bound_cycles": figures.bound_cycles,
        "efficiency": figures.efficiency,
        "multipliers": plan.multipliers,
        "board": options.board,
        "pins": pins,
        "stalls": options.stalls,
        "seed": options.seed,
        "stalled_frames": min(len(images), STALLED),
        "cycles": cycles,
        "cycles_per_second": round(cycles / (finished - compiled)),
    }
    console = cli.console()
    console.print(report(result, figures))
    if options.cover:
        cover = check.cover([*plain, stalled])
        console.print(cover.table())
        result["cover"] = cover.described()
    cli.write_json(options.json, result)
    if check.first:
        raise cli.Failure(
            f"{result['mismatches']} of {len(images)} frames are wrong; {check.first}"
            f" (net {net.name!r}, {options.data or 'MNIST'} test images)"
        )


def chosen(options: Namespace, net: QNetwork) -> Plan | None:
    """The plan that the user asks for, if any."""
    if options.plan is not None:
        return Plan.load(options.plan, net)
    return None if options.multipliers is None else search(net, options.multipliers)


class Check:
    """Runs the accelerator and notes which frames were wrong.

    Parameters
    ----------
    net : QNetwork
    images : ndarray, (N, H, W, C)
    bench : AcceleratorBench
    progress : rich.progress.Progress

    Attributes
    ----------
    bad : ndarray of bool, (N,)
    first : str or None
        Where the first wrong answer was.
    """

    def __init__(self, net: QNetwork, images: np.ndarray, bench: AcceleratorBench, progress):
        # a few frames more than asked for, if it takes them to reach the steady state
        self.order = np.arange(max(len(images), STEADY)) % len(images)
        self.images, self.bench, self.progress = images[self.order], bench, progress
        self.expected = net.logits(images)[self.order]
        self.bad = np.zeros(len(images), bool)
        self.first = None

    def all(self, stalls: float, seed: int) -> tuple[list[Result], Result]:
        """The parts of the run without stalls, and the run with stalls, compared."""
        count = len(self.images)
        parts = max(min(processors(), count // STEADY), 1)
        plain = [slice(count * part // parts, count * (part + 1) // parts) for part in range(parts)]
        some = slice(0, min(count, max(STALLED, STEADY)))
        with process.threads(parts) as pool:
            waiting = [pool.submit(self.run, "without stalls", part, 0.0, seed) for part in plain]
            waiting.append(pool.submit(self.run, "with stalls", some, stalls, seed))
            results = [run.result() for run in waiting]
        for part, result in zip(plain, results):
            self.compare("without stalls", part, result)
        self.compare("with stalls", some, results[-1])
        return results[:-1], results[-1]

    def run(self, label: str, part: slice, stalls: float, seed: int) -> Result:
        """One run over a part of the images."""
        images = self.images[part]
        task = self.progress.add_task(label, total=len(images), note="")
        try:
            result = self.bench.run(
                images, stalls, seed, lambda count: self.progress.update(task, completed=count)
            )
        except Broken as broken:
            stage = self.first_stage(part, broken.taps, hangs=broken.hangs)
            if not stage and broken.hangs and broken.taps:
                stage = f"; {stuck(self.bench.net, self.bench.layers, broken.handshakes)}"
            raise cli.Failure(f"{label}, {broken}{stage}") from None
        self.progress.update(task, completed=len(images))
        return result

    def compare(self, label: str, part: slice, result: Result) -> None:
        """Note the wrong frames of a run."""
        expected = self.expected[part]
        np.logical_or.at(self.bad, self.order[part], wrong(expected, result))
        mismatch = first_mismatch(expected, result)
        if mismatch and self.first is None:
            stage = self.first_stage(part, result.taps)
            mismatch = replace(mismatch, frame=part.start + mismatch.frame)
            self.first = f"{label}, {mismatch}{stage}"

    def first_stage(self, part: slice, taps: dict[str, np.ndarray], *, hangs: bool = False) -> str:
        """What the streams between layers say of the first layer that is wrong.

        Where a run `hangs`, values that never came say nothing of the layer that should have made them.
        """
        if not taps:
            return ""
        difference = first_difference(self.bench.net, self.images[part], self.bench.layers, taps)
        if difference is None:
            return "; every layer puts out what it should, so the fault is behind the last"
        if hangs and difference.got is None:
            return ""
        return f"; {replace(difference, frame=part.start + difference.frame)}"

    def cover(self, results: list[Result]) -> Cover:
        """Which cases the runs have met."""
        cover = Cover(self.bench.net)
        cover.add_values(self.images)
        for result in results:
            cover.add_run(result, self.bench.layers)
        return cover


def report(result: dict, figures: Figures) -> Table:
    """The result for people."""
    title = f"{result['net']}, plan {Path(result['plan']).name}, {result['level']}"
    table = Table(title=title + (f" of {result['board']}" if result["board"] else ""), show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows = {
        "simulator": result["simulator"],
        "frames": f"{result['frames']:,}, {result['stalled_frames']:,} of them again with stalls",
        "mismatches": f"{result['mismatches']:,}",
        "cycles between frames": f"{figures.ii_cycles:,}",
        "at least, with that many multipliers": f"{figures.bound_cycles:,} ({result['multipliers']:,})",
        "efficiency": f"{figures.efficiency:.3f}",
        "latency, first pixel to answer": f"{figures.latency_cycles:,} cycles",
        "last pixel to answer": f"{figures.cycles_after_last_pixel:,} cycles",
        "simulated": f"{result['cycles']:,} cycles, {result['cycles_per_second']:,} a second",
        "seconds": f"{result['seconds']:.1f}",
    }
    if result["pins"]:
        rows["frames through the netlist's serial pins"] = f"{result['pins']:,}, every value right"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
