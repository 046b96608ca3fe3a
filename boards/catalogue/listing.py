"""``--list``: the boards, what they have, and which nets fit."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from boards.catalogue.board import Target, request
from boards.catalogue.targets import ALIASES, TARGETS
from hdl.devices.budget import lacking
from hdl.planning.fit import Fitter
from model.files import artifact

SECONDS = Path(__file__).with_name("seconds.json")
"""Processor seconds of each default build, as ``python -m benchmarks.builds --write`` measures them."""


def places(target: Target) -> str:
    """Pins of the serial port, seen from the chip."""
    ports = request(target.platform(), target.uart.resource, target.uart.number)
    rx, tx = (port.io.metadata[0].name for port in (ports.rx, ports.tx))
    return f"rx {rx}, tx {tx}"


def rows(progress: Callable[[], None] = lambda: None) -> list[dict]:
    """What there is to say of each board.

    Parameters
    ----------
    progress : callable
        Called once for each board.
    """
    nets = {name: artifact.load(name) for name in artifact.names()}
    # what a plan takes is the same of all chips of a family
    fitters = functools.cache(lambda name, family: Fitter(nets[name], family))

    def fits(name: str, target: Target) -> bool:
        return not lacking(fitters(name, target.family).smallest(target.budget).need, target.budget)

    def fitting(target: Target) -> list[str]:
        progress()
        return [name for name in nets if fits(name, target)]

    seconds = json.loads(SECONDS.read_text(encoding="utf-8"))
    other = {name: alias for alias, name in ALIASES.items()}
    return [
        {
            "board": name,
            "alias": other.get(name),
            "chip": target.device,
            "lut": target.budget.lut,
            "dsp": target.budget.dsp,
            "bram": target.budget.bram,
            "clock_mhz": target.clock_mhz,
            "baud": target.baud,
            "serial": places(target),
            "leds": target.leds,
            "wiring": target.wiring,
            "net": target.net,
            "build_seconds": seconds.get(name),
            "nets": fitting(target),
        }
        for name, target in TARGETS.items()
    ]


def table(found: list[dict]) -> Table:
    """The boards for people."""
    result = Table()
    left = ("board", "chip", "serial port", "nets that fit")
    heads = ("board", "chip", "LUT", "DSP", "BRAM", "MHz", "min", "serial port", "LEDs", "nets that fit")
    for head in heads:
        result.add_column(head, justify="left" if head in left else "right")
    for row in found:
        numbers = [f"{row[key]:,}" for key in ("lut", "dsp", "bram")]
        nets = [f"{name} (default)" if name == row["net"] else name for name in row["nets"]]
        port = f"{row['serial']} (see below)" if row["wiring"] else row["serial"]
        board = f"{row['board']} ({row['alias']})" if row["alias"] else row["board"]
        minutes = "" if row["build_seconds"] is None else f"{row['build_seconds'] / 60:.1f}"
        result.add_row(
            board,
            row["chip"],
            *numbers,
            f"{row['clock_mhz']:g}",
            minutes,
            port,
            str(row["leds"]),
            ", ".join(nets),
        )
    return result


def wiring(found: list[dict]) -> list[str]:
    """Lines on what the user has to connect."""
    return [f"{row['board']}: {row['wiring']}" for row in found if row["wiring"]]
