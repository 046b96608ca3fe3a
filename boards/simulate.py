"""A board's top in Verilator, pin by pin: oscillator, PLL, serial line and LEDs, exactly as it is built."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from boards.design import Design
from sim.bench import cells, simulate
from sim.build import FOLDER, build

QUIET = 2000
"""Bits of silence after which nothing more is awaited."""


@dataclass(frozen=True)
class Pause:
    """Silence on the line, in bits."""

    bits: int


@dataclass(frozen=True)
class Button:
    """The reset button."""

    pressed: bool


@dataclass(frozen=True)
class Broken:
    """Bytes without their stop bits."""

    data: bytes


@dataclass(frozen=True)
class Heard:
    """What came back.

    Parameters
    ----------
    data : bytes
    framing_errors : int
    leds : tuple of int
        At the end of each byte.
    final_leds : int
    """

    data: bytes
    framing_errors: int
    leds: tuple[int, ...]
    final_leds: int


class SimulatedBoard:
    """A design, compiled once, that plays serial bytes.

    Parameters
    ----------
    design : Design
    verilog : str, optional
        In place of the design's own, which must have the same pins.
    folder : path
        Where compiled simulators are kept.
    """

    def __init__(self, design: Design, verilog: str | None = None, folder=FOLDER):
        self.design = design
        pll = design.pll
        verilog = design.verilog() if verilog is None else verilog
        sources = {
            "bench.sv": resources.files("sim").joinpath("serial.sv").read_text(),
            "board.sv": wrapper(design),
            "top.v": verilog,
            **cells(verilog),
        }
        parameters = {
            "NUMERATOR": pll.feedback_div * pll.loop_div,
            "DENOMINATOR": pll.input_div,
            "LEDS": design.target.leds,
        }
        self.program = build(sources, parameters, folder)

    def play(
        self, items: Iterable[bytes | Pause | Button | Broken], *, baud: float | None = None, quiet=QUIET
    ):
        """Send bytes and listen until the board falls silent.

        Parameters
        ----------
        items : iterable
        baud : float, optional
            Of the sender; the board's own where it is missing.
        quiet : int
            Bits of silence that end the run.

        Returns
        -------
        Heard
        """
        own = self.design.link.baud.rate
        ticks = {
            name: round(256 * float(self.design.pll.vco_mhz) * 1e6 / rate)
            for name, rate in (("bit", baud or own), ("answer_bit", own))
        }
        # the PLL locks first
        lines = [0x40000000 + 100, *(line for item in items for line in encode(item))]
        with tempfile.TemporaryDirectory(dir=self.program.parent, prefix=".run-") as name:
            folder = Path(name)
            (folder / "in.hex").write_text("".join(f"{line:08x}\n" for line in lines))
            settings = {"in": folder / "in.hex", "out": folder / "out.hex", "quiet": quiet, **ticks}
            counters = simulate(self.program, folder, settings, len("00 1 0000\n"), None)
            rows = [line.split() for line in (folder / "out.hex").read_text().splitlines()]
        return Heard(
            data=bytes(int(row[0], 16) for row in rows),
            framing_errors=sum(row[1] == "0" for row in rows),
            leds=tuple(int(row[2], 16) for row in rows),
            final_leds=counters["others"],
        )


def encode(item) -> list[int]:
    """The lines of ``sim/serial.sv`` for an item."""
    if isinstance(item, Pause):
        return [0x40000000 + item.bits]
    if isinstance(item, Button):
        return [0x20000000 + item.pressed]
    if isinstance(item, Broken):
        return [0x100 + byte for byte in item.data]
    return list(item)


def wrapper(design: Design) -> str:
    """The module ``board``: the same pins whatever the platform calls them."""
    target = design.target
    pins = [f".{design.pin(target.oscillator)}(oscillator)"]
    pins += [f".{design.pin(target.uart, 'rx')}(rx)", f".{design.pin(target.uart, 'tx')}(tx)"]
    pins += [f".{design.pin('led', number=index)}(leds[{index}])" for index in range(target.leds)]
    if target.reset is not None:
        level = "~" if design.active_low(target.reset) else ""
        pins.append(f".{design.pin(target.reset)}({level}button)")
    return f"""module board (
    input oscillator, button, rx, output tx, output [{target.leds - 1}:0] leds
);
  top top ({", ".join(pins)});
endmodule
"""
