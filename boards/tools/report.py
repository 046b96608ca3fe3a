"""What a build was and is: ``report.json`` and the same to read, ``report.md``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from boards.catalogue.board import Target
from boards.shell.design import Design
from hdl.devices.budget import UNITS, Budget
from hdl.planning.cost import cost
from model.cli import Failure
from sim.bench.accelerator import Figures


@dataclass(frozen=True)
class Outcome:
    """What the tools and the simulation made of a design.

    Attributes
    ----------
    routed : dict
        What nextpnr's ``--report`` wrote.
    netlist : dict of int
        Cells of the netlist by type.
    figures : Figures
        Measured in RTL simulation.
    seconds : dict of float
        Of each step, when it was done.
    bitstream : str or None
        SHA-256; None if the clock was missed and there is none.
    inputs : str
        SHA-256 of all that decides the bitstream.
    tools : dict of str
        Versions by name.
    cached : bool
        Whether it was there already.
    """

    routed: dict
    netlist: dict[str, int]
    figures: Figures
    seconds: dict[str, float]
    bitstream: str | None
    inputs: str
    tools: dict[str, str]
    cached: bool


def report(design: Design, estimate: Budget, outcome: Outcome) -> dict:
    """The build report, with DESIGN.md's keys."""
    target, net, figures = design.target, design.net, outcome.figures
    hertz = design.pll.output_hz
    used = used_cells(outcome, target.tools.cells)
    return {
        "board": target.name,
        "device": target.device,
        "net": net.name,
        "accuracy": accuracy(net.metadata),
        "clock": clock(outcome.routed, hertz / 1e6),
        "resources": {
            name: {"used": count, "available": getattr(target.budget, name)} for name, count in used.items()
        },
        "stages": [asdict(stage) for stage in cost(net, design.plan)],
        "throughput": {
            "ii_cycles": figures.ii_cycles,
            "bound_cycles": figures.bound_cycles,
            "efficiency": round(figures.efficiency, 4),
            "frames_per_second": round(hertz / figures.ii_cycles, 1),
            "latency_cycles": figures.latency_cycles,
            "cycles_after_last_pixel": figures.cycles_after_last_pixel,
        },
        "estimate": asdict(estimate),
        "seconds": outcome.seconds,
        "bitstream": {
            "path": target.tools.bitstream if outcome.bitstream else None,
            "sha256": outcome.bitstream,
        },
        "critical_path": critical_path(outcome.routed),
        "build": design.build_hash.hex(),
        "inputs": {"sha256": outcome.inputs, "tools": outcome.tools, "cached": outcome.cached},
        "serial": {"baud": design.link.baud.rate, "timeout_seconds": design.link.timeout},
        "multipliers": design.plan.multipliers,
        "weights": weights(design),
        "wiring": target.wiring,
        "caveats": caveats(target, hertz / 1e6, used["dsp"]),
    }


def weights(design: Design) -> dict:
    """Whether weights can be written, and how many bytes of which layout a set of them then has."""
    size = design.identity.set_bytes
    return {
        "loadable": design.plan.loadable,
        "set_bytes": size or None,
        "layout": design.identity.layout.hex() if size else None,
    }


def accuracy(metadata: dict) -> dict:
    """What an artifact's metadata say of the net's accuracy; None throughout if they do not say it all."""
    keys, stated = ("float", "quantised", "images"), metadata.get("accuracy")
    known = isinstance(stated, dict) and all(isinstance(stated.get(key), int | float) for key in keys)
    return {key: stated[key] if known else None for key in keys}


def caveats(target: Target, clock_mhz: float, multipliers: int) -> list[str]:
    """What a reader should know before trusting the figures."""
    found = []
    if multipliers and clock_mhz > target.tools.timed_dsp_mhz:
        found.append(
            "nextpnr does not time the paths inside the chip's multipliers: above"
            f" {target.tools.timed_dsp_mhz:g} MHz they are unproven"
        )
    if target.tools.optimistic:
        found.append("nextpnr's delays of this chip family are not proven: leave a margin")
    return found


def clock(routed: dict, target_mhz: float) -> dict:
    """The worst clock of nextpnr's report against the core's.

    Raises
    ------
    Failure
        If it reports none: nothing was timed.
    """
    if not routed["fmax"]:
        raise Failure("nextpnr timed no clock: the design has no registers")
    achieved = min(row["achieved"] for row in routed["fmax"].values())
    return {
        "target_mhz": target_mhz,
        "fmax_mhz": round(achieved, 2),
        "met": achieved >= target_mhz,
    }


def critical_path(routed: dict) -> dict | None:
    """The slowest path between two registers: where it begins and ends, and where its time goes."""
    for path in routed["critical_paths"]:
        if path["from"] == path["to"]:
            steps = path["path"]
            routing = sum(step["delay"] for step in steps if step["type"] == "routing")
            return {
                "from": steps[0]["from"]["cell"],
                "to": steps[-1]["to"]["cell"],
                "levels": sum(step["type"] == "logic" for step in steps),
                "logic_ns": round(sum(step["delay"] for step in steps) - routing, 2),
                "routing_ns": round(routing, 2),
            }
    return None


def used_cells(outcome: Outcome, cells: dict[str, dict[str, float]]) -> dict[str, int]:
    """Cells of each kind of resource: as many as nextpnr placed, else those in the netlist."""
    placed = outcome.routed["utilization"]

    def count(weights: dict[str, float]) -> int:
        if any(cell in placed for cell in weights):
            used = {cell: placed[cell]["used"] for cell in weights if cell in placed}
        else:
            found = outcome.netlist.items()
            used = {kind: sum(number for cell, number in found if cell.startswith(kind)) for kind in weights}
        return math.ceil(sum(weights[cell] * number for cell, number in used.items()))

    return {name: count(types) for name, types in cells.items()}


def markdown(result: dict) -> str:
    """The report as a page."""
    clock, rate, accuracy = result["clock"], result["throughput"], result["accuracy"]
    bits = result["bitstream"]
    lines = [
        f"# {result['net']} on {result['board']}",
        "",
        f"- chip: {result['device']}",
        f"- core clock: {clock['target_mhz']:g} MHz asked for, {clock['fmax_mhz']:g} MHz possible:"
        f" **{'met' if clock['met'] else 'MISSED'}**",
        *(f"- but: {caveat}" for caveat in result["caveats"]),
        *slowest(result["critical_path"]),
        f"- rate: {rate['frames_per_second']:,.0f} frames/s, one each {rate['ii_cycles']:,} cycles"
        f" ({rate['efficiency']:.0%} of what {result['multipliers']} multipliers could do)",
        f"- latency: {rate['latency_cycles']:,} cycles from the first pixel to the result,"
        f" {rate['cycles_after_last_pixel']:,} of them after the last pixel",
    ]
    if accuracy["quantised"] is not None:
        lines.append(
            f"- accuracy: {accuracy['quantised']:.2%} in integers, {accuracy['float']:.2%} in floats,"
            f" {accuracy['images']:,} images"
        )
    lines += [
        f"- serial port: {result['serial']['baud']:,} baud",
        *([f"- to wire: {result['wiring']}"] if result["wiring"] else []),
        *written(result["weights"]),
        f"- bitstream: {bits['path']}, SHA-256 {bits['sha256']}"
        if bits["path"]
        else "- bitstream: none, the clock was missed",
        f"- build: {result['build']}",
        f"- inputs: SHA-256 {result['inputs']['sha256']}",
        f"- tools: {', '.join(f'{name} ({version})' for name, version in result['inputs']['tools'].items())}",
        "",
        *table(
            ["resource", "used", "available", "share", "estimated"],
            [
                [
                    UNITS[name],
                    f"{row['used']:,}",
                    f"{row['available']:,}",
                    # some chips have no multipliers at all
                    f"{row['used'] / row['available']:.1%}" if row["available"] else "",
                    f"{result['estimate'][name]:,}",
                ]
                for name, row in result["resources"].items()
            ],
        ),
        "",
        *table(
            ["stage", "kind", "products a frame", "multipliers", "cycles a frame", "at best"],
            [
                [
                    row["name"],
                    row["kind"],
                    *(f"{row[key]:,}" for key in ("macs", "multipliers", "cycles", "bound_cycles")),
                ]
                for row in result["stages"]
            ],
        ),
        "",
        *table(
            ["step", "seconds"],
            [[name.replace("_", " "), f"{took:.1f}"] for name, took in result["seconds"].items()],
        ),
    ]
    return "\n".join(lines) + "\n"


def written(weights: dict) -> list[str]:
    """The line on weights that can be written."""
    if not weights["loadable"]:
        return []
    return [f"- weights: writable, {weights['set_bytes']:,} bytes of layout {weights['layout']}"]


def slowest(path: dict | None) -> list[str]:
    """The line on the critical path."""
    if path is None:
        return []
    return [
        f"- slowest path: `{path['from']}` to `{path['to']}`, {path['levels']} levels of logic,"
        f" {path['logic_ns']:g} ns in cells and {path['routing_ns']:g} ns in wires"
    ]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table, its columns aligned in the text too."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row):
        cells = [
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(head), f"| {' | '.join(rule)} |", *map(line, rows)]
