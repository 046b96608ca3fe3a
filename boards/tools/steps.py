"""All steps from a design to its products: elaborate, synthesise, place and route, pack, simulate."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress

from boards.catalogue.toolchains import REPORT
from boards.shell.design import Design
from boards.tools import cache
from boards.tools import report as reports
from boards.tools.flow import LOGS, Flow, check_tools, routed
from boards.tools.publish import publish, publish_logs
from hdl.devices.budget import Budget
from model import cli
from model.cli import Failure
from sim.bench.accelerator import Figures, measure

MEASURED = "measured.json"
"""What a build keeps of its simulation, its netlist and its time."""


def build(design: Design, budget: Budget, out: Path, seed: int, *, force: bool = False) -> dict:
    """Run all steps, or find what they made before, and put the products into `out`, all or none.

    Returns
    -------
    dict
        The report. If it says that the clock was missed, there is no bitstream.

    Raises
    ------
    Failure
        If a tool fails.
    """
    toolchain = design.target.tools
    check_tools(toolchain)
    with cache.space(out), cache.locked(out), cli.progress() as progress:
        steps = Steps(progress, design.target.name, len(toolchain.tools) + 2)
        with steps.step("elaborate"):
            flow = Flow(design, seed, out / LOGS)
        entry, cached = cache.answered(
            flow.digest, lambda folder: run(design, flow, folder, out, steps), force=force
        )
        outcome = read(design, flow, entry, cached)
        result = reports.report(design, budget, outcome)
        products = [toolchain.bitstream, *toolchain.extras]
        publish(entry, out, products if result["clock"]["met"] else [], products, design.plan, result)
    return result


def run(design: Design, flow: Flow, folder: Path, out: Path, steps: Steps) -> None:
    """All steps behind elaboration, in a folder; what nobody needs any more goes from it."""
    toolchain = design.target.tools
    flow.write(folder)
    try:
        for tool, arguments in flow.commands:
            with steps.step(tool.step):
                flow.execute(folder, tool, arguments)
        for name in (toolchain.bitstream, *toolchain.extras):
            if not (folder / name).is_file():
                raise Failure(f"{tool.step} failed: {tool.name} left no {name}")
        with steps.step("simulate"), flow.timed("simulate"):
            figures = measured(design)
        placed = routed(folder)["utilization"]
        netlist = Counter()
        if not all(any(cell in placed for cell in cells) for cells in toolchain.cells.values()):
            netlist = cells_of(folder / toolchain.netlist)
    except Failure:
        publish_logs(folder, out)
        raise
    content = {"figures": asdict(figures), "netlist": netlist, "seconds": flow.seconds}
    (folder / MEASURED).write_text(json.dumps(content), encoding="utf-8")
    wanted = {toolchain.bitstream, *toolchain.extras, REPORT, MEASURED, LOGS}
    for path in folder.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def cells_of(netlist: Path) -> Counter[str]:
    """Cells of a netlist, by type."""
    modules = json.loads(netlist.read_text(encoding="utf-8"))["modules"]
    return Counter(cell["type"] for cell in modules["top"]["cells"].values())


def read(design: Design, flow: Flow, entry: Path, cached: bool) -> reports.Outcome:
    """What stands in a folder that `run` has filled."""
    measured = json.loads((entry / MEASURED).read_text(encoding="utf-8"))
    placed = routed(entry)
    met = reports.clock(placed, design.pll.output_hz / 1e6)["met"]
    bits = entry / design.target.tools.bitstream
    return reports.Outcome(
        routed=placed,
        netlist=measured["netlist"],
        figures=Figures(**measured["figures"]),
        seconds=measured["seconds"],
        bitstream=hashlib.sha256(bits.read_bytes()).hexdigest() if met else None,
        inputs=flow.digest,
        tools=flow.versions,
        cached=cached,
    )


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
    """The progress of a build: a bar, or a line a step where that goes to no terminal.

    Parameters
    ----------
    progress : Progress
    name : str
    total : int
    """

    def __init__(self, progress: Progress, name: str, total: int):
        self.progress, self.name = progress, name
        self.task = progress.add_task(name, total=total, note="")

    def step(self, name: str):
        """Shows the name of what is being done."""
        what = name.replace("_", " ")
        self.progress.update(self.task, note=what)
        if self.progress.disable:
            print(f"{self.name}: {what}", flush=True)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.progress.advance(self.task)
