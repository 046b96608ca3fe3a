"""A board's top in Verilator, pin by pin: oscillator, PLL, serial line and LEDs, exactly as it is built."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np

from boards.catalogue.board import Pin
from boards.shell.design import Design
from model.cli import Failure
from sim.bench.bench import cells
from sim.simulators import process, ready
from sim.simulators.build import FOLDER, PROGRAM, build

QUIET = 2000
"""Bits of silence after which nothing more is awaited."""
LOCK = 100
"""Bits for which the line rests at first, while the PLL locks."""
RECORD = np.dtype([("what", "<u4"), ("leds", "<u4"), ("tick", "<u8")])
"""What ``boards/simulated/board.cpp`` writes for each byte that it hears, and for each mark."""
BYTE, BREAK, BUTTON, RATE, PAUSE, AWAIT, MARK = (code << 28 for code in range(7))
"""The operations of ``boards/simulated/board.cpp``."""
BROKEN = 0x100
"""Added to a byte whose stop bit is missing."""


@dataclass(frozen=True)
class Pause:
    """Silence on the line, in bits."""

    bits: int


@dataclass(frozen=True)
class Quiet:
    """Silence on the line until the board has been silent too for so many bits."""

    bits: int


@dataclass(frozen=True)
class Break:
    """The line held down, in bits."""

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
class Rate:
    """The sender's rate from now on, as a multiple of the board's own."""

    factor: float


@dataclass(frozen=True)
class Mark:
    """Cuts what is heard in two."""


Item = bytes | Pause | Quiet | Break | Button | Broken | Rate | Mark


@dataclass(frozen=True, eq=False)
class Heard:
    """What came back.

    Parameters
    ----------
    data : bytes
    framing_errors : int
    leds : ndarray of int
        At the end of each byte.
    final_leds : int
    ticks : ndarray of int
        When each byte ended, in cycles of the oscillator inside the PLL.
    """

    data: bytes
    framing_errors: int
    leds: np.ndarray
    final_leds: int
    ticks: np.ndarray


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
        ready.check(Path(folder).resolve())
        verilog = design.verilog() if verilog is None else verilog
        source = resources.files("boards.simulated")
        sources = {
            "bench.sv": source.joinpath("board.sv").read_text(encoding="utf-8"),
            "board.sv": wrapper(design),
            "top.v": verilog,
            **cells(verilog),
        }
        with resources.as_file(source.joinpath("board.cpp")) as main:
            self.program = build(sources, {"LEDS": lamps(design)}, folder, main)

    @property
    def bit(self) -> int:
        """Length of a bit, in 1/256 cycles of the oscillator inside the PLL."""
        return self.ticks(1 / self.design.link.baud.rate)

    def ticks(self, seconds: float) -> int:
        """A time in 1/256 cycles of the oscillator inside the PLL."""
        return round(256 * float(self.design.pll.vco_mhz) * 1e6 * seconds)

    def command(self, use: str, *arguments) -> list[str]:
        """The simulator's command line, for one of the uses that ``boards/simulated/board.cpp`` knows."""
        ratio = Fraction(self.design.pll.vco_mhz) / Fraction(self.design.pll.input_mhz)
        settings = (ratio.numerator, ratio.denominator, self.bit, *arguments)
        return [str(self.program / PROGRAM), use, *map(str, settings)]

    def play(self, items: Iterable[Item], *, baud: float | None = None, quiet: int = QUIET) -> Heard:
        """Send bytes and listen until the board falls silent.

        Parameters
        ----------
        items : iterable
        baud : float, optional
            Of the sender; the board's own where it is missing.
        quiet : int
            Bits of silence that end the run.

        Raises
        ------
        Failure
            If the simulator does not work.
        """
        rate = [] if baud is None else [Rate(baud / self.design.link.baud.rate)]
        (heard,) = self.parts([*rate, *items], quiet=quiet)
        return heard

    def parts(self, items: Iterable[Item], *, quiet: int = QUIET) -> list[Heard]:
        """As `play`; what came back up to each `Mark`, and after the last one."""
        words = np.concatenate([self.encode(Pause(LOCK)), *map(self.encode, items)])
        with tempfile.TemporaryDirectory(dir=self.program.parent, prefix=".run-") as name:
            folder = Path(name).resolve()
            words.tofile(folder / "in")
            command = self.command("script", folder / "in", folder / "out", quiet)
            result = process.run(command, folder)
            if result.returncode:
                raise Failure(f"the simulator failed: {process.last_words(result)}")
            records = np.fromfile(folder / "out", RECORD)
        return [heard(part) for part in np.split(records, np.flatnonzero(records["what"] >= MARK)[:-1] + 1)]

    def encode(self, item: Item) -> np.ndarray:
        """The words of ``boards/simulated/board.cpp`` for an item."""
        if isinstance(item, bytes | Broken):
            data, offset = (item.data, BROKEN) if isinstance(item, Broken) else (item, 0)
            return np.frombuffer(data, np.uint8).astype("<u4") + np.uint32(offset)
        code, value = {
            Pause: lambda: (PAUSE, item.bits),
            Quiet: lambda: (AWAIT, item.bits),
            Break: lambda: (BREAK, item.bits),
            Button: lambda: (BUTTON, item.pressed),
            Rate: lambda: (RATE, round(self.bit / item.factor)),
            Mark: lambda: (MARK, 0),
        }[type(item)]()
        return np.array([code + value], "<u4")


def heard(records: np.ndarray) -> Heard:
    """A part of what ``boards/simulated/board.cpp`` wrote, a mark at its end."""
    found = records[:-1]
    return Heard(
        data=(found["what"] & 0xFF).astype(np.uint8).tobytes(),
        framing_errors=int((found["what"] >= BROKEN).sum()),
        leds=found["leds"],
        final_leds=int(records["leds"][-1]),
        ticks=found["tick"],
    )


def wrapper(design: Design) -> str:
    """The module ``board``: the same pins whatever the platform calls them."""
    target, count = design.target, lamps(design)
    # the tops of some families have pins of both directions, which take a wire and not an input
    ports = {"oscillator_pin": Pin(target.oscillator)}
    ports |= {name: target.uart._replace(part=part) for name, part in (("rx_pin", "rx"), ("tx", "tx"))}
    ports |= {f"lamps[{index}]": light for index, light in enumerate(target.lights)}
    pins = [f".{design.port(pin)}({name})" for name, pin in ports.items()]
    if target.reset is not None:
        pins.append(f".{design.port(target.reset)}(button_pin)")
    level = "~" if target.reset is not None and design.active_low(target.reset) else ""
    inverted = sum(design.active_low(light) << index for index, light in enumerate(target.lights))
    return f"""module board (
    input oscillator, button, rx, output tx, output [{count - 1}:0] leds
);
  wire oscillator_pin = oscillator, rx_pin = rx, button_pin = {level}button;
  wire [{count - 1}:0] lamps;
  assign leds = lamps ^ {count}'d{inverted};
  top top ({", ".join(pins)});
endmodule
"""


def lamps(design: Design) -> int:
    """Width of the port for the LEDs: one at least, for boards that have none."""
    return max(design.target.leds, 1)
