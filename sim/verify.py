"""``python -m sim.verify``: the test set through the accelerator in Verilator, every logit compared."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.netplan import Plan, beside
from hdl.search import default
from model import artifact, cli, dataset
from model.files import check_writable
from model.qnetwork import QNetwork
from sim.accelerator import STEADY, AcceleratorBench, Figures, first_mismatch, wrong
from sim.bench import Result, Stalls
from sim.build import simulator

FRAMES = 100
"""Test images where nobody says how many."""
RUNS = (("without stalls", 0.0), ("with stalls", 1.0))
"""Name of each run and its share of the probability of stalls; they run side by side."""
LEVELS = ("rtl",)
EXAMPLES = """examples:
  python -m sim.verify                                  the shipped lenet, 100 test images
  python -m sim.verify --net lecture --frames 1000      more of them, of another net
  python -m sim.verify --net my.npz --data my_images/   a net and images of your own
  python -m sim.verify --plan plan.json --json out.json how parallel, and the figures as JSON

Frames run back to back, once without stalls, which gives the figures, and once with random stalls on both
sides. Every logit and class is compared with the integer model; one that differs is exit status 1.
"""


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m sim.verify", description=__doc__, epilog=EXAMPLES)
    options.add_argument("--net", default="lenet", help="a shipped net's name or an artifact's file (lenet)")
    options.add_argument("--data", metavar="DIR", help="a folder of IDX files in place of MNIST")
    options.add_argument("--frames", type=int, metavar="N", help=f"test images to run (up to {FRAMES})")
    options.add_argument("--plan", metavar="FILE", help="how parallel each layer is; a JSON file")
    options.add_argument("--level", choices=LEVELS, default=LEVELS[0], help="what is simulated (rtl)")
    options.add_argument("--seed", type=int, default=0, help="of the stalls (0)")
    options.add_argument(
        "--stalls", type=float, default=0.25, metavar="P", help="probability that a stall begins (0.25)"
    )
    options.add_argument("--json", metavar="FILE", help="also write the result as JSON")
    return options


def main(argv: list[str]) -> None:
    """The command."""
    options = parser().parse_args(argv)
    if options.frames is not None and options.frames < 1:
        raise ValueError(f"--frames must be at least 1, not {options.frames}")
    Stalls(options.stalls)
    check_writable(options.json)
    started = time.monotonic()
    net = artifact.load(options.net)
    images = net.checked(dataset.load_part("t10k", options.data)[0])
    if (options.frames or 0) > len(images):
        raise ValueError(f"--frames {options.frames}: the test set has only {len(images)} images")
    images = images[: options.frames or FRAMES]
    if options.plan:
        plan = Plan.load(options.plan, net)
    else:
        plan = beside(artifact.find(options.net), net) or default(net)
    with cli.progress() as progress:
        task = progress.add_task("compile", total=None, note="Verilog, C++")
        bench = AcceleratorBench(net, plan)
        progress.remove_task(task)
        check = Check(net, images, bench, progress)
        compiled = time.monotonic()
        with ThreadPoolExecutor(len(RUNS)) as pool:
            runs = [
                pool.submit(check.run, label, share * options.stalls, options.seed) for label, share in RUNS
            ]
            plain, stalled = (run.result() for run in runs)
    for (label, _), run in zip(RUNS, (plain, stalled)):
        check.compare(label, run)
    finished = time.monotonic()
    figures = bench.figures(plain)
    result = {
        "net": net.name,
        "plan": options.plan or "default",
        "simulator": simulator(),
        "level": options.level,
        "frames": len(images),
        "mismatches": int(check.bad.sum()),
        "ii_cycles": figures.ii_cycles,
        "latency_cycles": figures.latency_cycles,
        "seconds": round(finished - started, 3),
        "cycles_after_last_pixel": figures.cycles_after_last_pixel,
        "bound_cycles": figures.bound_cycles,
        "efficiency": figures.efficiency,
        "multipliers": plan.multipliers,
        "stalls": options.stalls,
        "seed": options.seed,
        "cycles": plain.cycles + stalled.cycles,
        "cycles_per_second": round((plain.cycles + stalled.cycles) / (finished - compiled)),
    }
    Console().print(report(result, figures))
    cli.write_json(options.json, result)
    if check.first:
        raise cli.Failure(
            f"{result['mismatches']} of {len(images)} frames are wrong; {check.first}"
            f" (net {net.name!r}, {options.data or 'MNIST'} test images)"
        )


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

    def run(self, label: str, stalls: float, seed: int) -> Result:
        """One run over all images."""
        task = self.progress.add_task(label, total=len(self.images), note="")
        result = self.bench.run(
            self.images, stalls, seed, lambda count: self.progress.update(task, completed=count)
        )
        self.progress.update(task, completed=len(self.images))
        return result

    def compare(self, label: str, result: Result) -> None:
        """Note the wrong frames of a run."""
        np.logical_or.at(self.bad, self.order, wrong(self.expected, result))
        mismatch = first_mismatch(self.expected, result)
        if mismatch and self.first is None:
            self.first = f"{label}, {mismatch}"


def report(result: dict, figures: Figures) -> Table:
    """The result for people."""
    table = Table(title=f"{result['net']}, plan {Path(result['plan']).name}", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows = {
        "simulator": result["simulator"],
        "frames": f"{result['frames']:,}, once without stalls and once with",
        "mismatches": f"{result['mismatches']:,}",
        "cycles between frames": f"{figures.ii_cycles:,}",
        "at least, with that many multipliers": f"{figures.bound_cycles:,} ({result['multipliers']:,})",
        "efficiency": f"{figures.efficiency:.3f}",
        "latency, first pixel to answer": f"{figures.latency_cycles:,} cycles",
        "last pixel to answer": f"{figures.cycles_after_last_pixel:,} cycles",
        "simulated": f"{result['cycles']:,} cycles, {result['cycles_per_second']:,} a second",
        "seconds": f"{result['seconds']:.1f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
