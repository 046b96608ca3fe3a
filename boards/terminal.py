"""``python -m sim.board BOARD``: a board's top in Verilator, pin by pin, at the end of a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import tty
from dataclasses import dataclass
from pathlib import Path

from rich.live import Live
from rich.text import Text

from boards.catalogue import targets
from boards.catalogue.fitting import default_plan
from boards.shell.design import Design
from boards.shell.shell import Link
from boards.shell.uart import MIN_CYCLES
from boards.simulated.board import SimulatedBoard
from hdl.folding.net import Plan
from model import cli
from model.files import artifact
from model.files.whole import check_writable

EXAMPLES = """\
examples:
  python -m sim.board ulx3s                      lenet as boards.build makes it; prints the name of its port
  python -m sim.board ulx3s --link /tmp/board    and makes a link to the port, of a name that stays
  python -m boards.host /tmp/board seven.png     in another window: the host takes it for a board
  python -m sim.board ulx3s --baud 3000000       a slower line, as boards have it

Every bit on the line is simulated, so the line is as fast as the core's clock allows where --baud does not
say otherwise; the pseudo-terminal itself has no rate. Ctrl-C ends it. The signal USR1 presses the reset
button.
"""


@dataclass(frozen=True)
class State:
    """What the simulator told last.

    Attributes
    ----------
    ticks : int
        Cycles of the oscillator inside the PLL since the start.
    bytes_in, bytes_out : int
        On the line, towards the board and from it.
    leds : int
    burst_bytes, burst_ticks : int
        The most bytes that came in without a pause of 5,000 bits, and how long they took.
    """

    ticks: int
    bytes_in: int
    bytes_out: int
    leds: int
    burst_bytes: int
    burst_ticks: int

    @classmethod
    def read(cls, line: str) -> State:
        """From a line of the simulator's."""
        words = line.split()
        return cls(*(int(word, 16 if index == 3 else 10) for index, word in enumerate(words)))


def main(argv: list[str]) -> None:
    """The command; see `EXAMPLES`."""
    options = parse(argv)
    with cli.progress() as progress:
        progress.add_task("compile", total=None, note="Verilog, C++")
        board = SimulatedBoard(design_of(options))
    master, slave = pty.openpty()
    # the port stays open on this side, so that hosts may come and go
    tty.setraw(slave)
    port = os.ttyname(slave)
    with linked(options.link, port):
        serve(board, master, port if options.link is None else options.link, options.json)


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m sim.board", description=__doc__, epilog=EXAMPLES)
    options.add_argument("board", metavar="BOARD", help=f"one of {', '.join(targets.names())}")
    options.add_argument("--net", default="lenet", help="a shipped net's name or an artifact (lenet)")
    options.add_argument(
        "--plan", metavar="FILE", help="how parallel each layer is; else as boards.build has it"
    )
    options.add_argument(
        "--weights", choices=("fixed", "loadable"), default="fixed", help="as boards.build has it (fixed)"
    )
    options.add_argument("--clock", type=float, metavar="MHZ", help="of the core; else the board's own")
    options.add_argument(
        "--baud", type=cli.positive, metavar="N", help="of the line; else a bit takes 8 cycles"
    )
    options.add_argument("--link", metavar="FILE", help="make a link to the port, of this name")
    options.add_argument("--json", metavar="FILE", help="write at the end what went over the line")
    return options


def parse(argv: list[str]):
    """The options."""
    known = parser()
    options = known.parse_args(argv)
    check_writable(options.json)
    if options.link is not None and os.path.lexists(options.link) and not os.path.islink(options.link):
        known.error(f"--link {options.link} is there already, and no link")
    return options


def design_of(options) -> Design:
    """The design that is simulated."""
    target, net = targets.find(options.board), artifact.load(options.net)
    loadable = options.weights == "loadable"
    if options.plan is None:
        plan = default_plan(net, target, loadable=loadable)
    else:
        plan = Plan.load(options.plan, net)
        plan = plan.made_loadable(net) if loadable else plan
    design = Design.of(target, net, plan, clock_mhz=options.clock)
    baud = design.pll.output_hz // MIN_CYCLES if options.baud is None else options.baud
    # a pause may be as many bits long as on the board
    timeout = Link.timeout * target.baud / baud
    return Design.of(target, net, plan, clock_mhz=options.clock, baud=baud, timeout=timeout)


@contextlib.contextmanager
def linked(name: str | None, port: str):
    """A link to the port while it is there."""
    if name is None:
        yield
        return
    Path(name).unlink(missing_ok=True)
    os.symlink(port, name)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if os.readlink(name) == port:
                os.unlink(name)


def serve(board: SimulatedBoard, master: int, port: str, json) -> None:
    """Run the simulator until someone ends it, and show what it does."""
    design = board.design
    console = cli.console()
    console.print(
        f"{design.target.name} with {design.net.name}: core {design.pll.output_hz / 1e6:g} MHz,"
        f" line {design.link.baud.rate:,} baud"
    )
    console.print(f"serial port: {port}")
    process = subprocess.Popen(
        board.command("serve", master),
        pass_fds=[master],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    signal.signal(signal.SIGUSR1, lambda *_: process.send_signal(signal.SIGUSR1))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    state = None
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            try:
                line = process.stdout.readline()
            except KeyboardInterrupt:
                process.terminate()
                continue
            if not line:
                break
            state = State.read(line)
            if console.is_terminal:
                live.update(shown(design, state), refresh=True)
    status = process.wait()
    if state is not None:
        cli.write_json(json, summary(design, state))
        console.print(shown(design, state))
    if status:
        raise cli.Failure(f"the simulator ended by itself (status {status})")


def shown(design: Design, state: State) -> Text:
    """The state on one line: LEDs, the highest first, time and bytes."""
    lights = Text()
    for place in reversed(range(design.target.leds)):
        lit = state.leds >> place & 1
        lights.append("● " if lit else "○ ", "bold red" if lit else "dim")
    milliseconds = 1e3 * summary(design, state)["seconds"]
    lights.append(
        f" {milliseconds:,.3f} ms of the board's time, {state.bytes_in:,} bytes in, {state.bytes_out:,} out"
    )
    return lights


def summary(design: Design, state: State) -> dict:
    """What went over the line, as JSON."""
    hertz = float(design.pll.vco_mhz) * 1e6
    seconds = state.burst_ticks / hertz
    return {
        "board": design.target.name,
        "net": design.net.name,
        "build": design.build_hash.hex(),
        "baud": design.link.baud.rate,
        "clock_hz": design.pll.output_hz,
        "seconds": state.ticks / hertz,
        "bytes_in": state.bytes_in,
        "bytes_out": state.bytes_out,
        "burst": {
            "bytes": state.burst_bytes,
            "seconds": seconds,
            "line_used": round(10 * state.burst_bytes / design.link.baud.rate / seconds, 4)
            if seconds
            else 0.0,
        },
    }


if __name__ == "__main__":
    sys.exit(cli.run(main))
