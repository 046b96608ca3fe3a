"""``python -m boards.fuzz``: damaged, broken and random traffic on the serial line of a simulated board."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np
from rich.table import Table

from boards.catalogue import targets
from boards.catalogue.board import Target
from boards.link.protocol import FAILED, REPLY, Command, Decoder, Error, Frame, Result
from boards.shell.design import Design
from boards.shell.shell import Link
from boards.shell.uart import Baud
from boards.simulated.board import Heard, SimulatedBoard
from boards.simulated.referee import Expected, Referee, pixels
from boards.simulated.traffic import Traffic
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from hdl.loadable.loading import sized, weight_set
from model import cli
from model.arithmetic.qformat import QFormat
from model.cli import Failure
from model.files.whole import check_writable, replacing
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec
from sim.simulators import process

FRAMES = 5000
"""Where nobody says how many."""
CASES = 400
"""Of one run of the simulator, which begins with the board switched on."""
CLOCK_MHZ = 300
"""Of the core: two cycles of the PLL's oscillator, which costs the simulator least."""
BITS = 8
"""Cycles a bit: the fastest line."""
TIMEOUT_BITS = 50
"""Longest pause inside a frame, so that many fit into a run."""
EXAMPLES = """\
examples:
  python -m boards.fuzz                              5,000 frames on the simulated ULX3S
  python -m boards.fuzz --frames 100000              as before a release
  python -m boards.fuzz --seed 7 --batch 12          one run of many again, as a failure names it

A small net with loadable weights stands in the board. Frames are cut off, lengthened, corrupted, interleaved
and repeated, bytes lose their stop bits, the line breaks, rates differ by 2 %, the reset button is pressed in
mid-frame. Every answer must be the one that docs/protocol.md promises, error codes included, and after each
case a good image must be answered exactly.
"""


@dataclass
class Tally:
    """What happened.

    Attributes
    ----------
    kinds : Counter
        Damage done, by its name.
    answers : Counter
        By their name: a command, or an error.
    frames, cases, bytes, ticks : int
    """

    kinds: Counter = field(default_factory=Counter)
    answers: Counter = field(default_factory=Counter)
    frames: int = 0
    cases: int = 0
    bytes: int = 0
    ticks: int = 0

    def add(self, other: Tally) -> None:
        """Take in another one."""
        self.kinds += other.kinds
        self.answers += other.answers
        for name in ("frames", "cases", "bytes", "ticks"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Wrong(Failure):
    """The board has answered otherwise than it must."""


def small_net(seed: int, *, classifies: bool) -> QNetwork:
    """One dense layer over six pixels of 4 bits; nets of all seeds fit the same core."""
    rng = np.random.default_rng(seed)
    fields = dict(
        name="dense",
        in_shape=(2, 3, 1),
        src=QFormat(4, 0, False),
        weights=rng.integers(-4, 4, (6, 2)),
        weight_format=QFormat(3, 0),
        bias=rng.integers(-9, 9, 2),
    )
    exact = DenseSpec(**fields, dst=QFormat(8, 0)).accumulator
    return QNetwork("small", fields["src"], (DenseSpec(**fields, dst=exact),), classifies=classifies)


def design_of(target: Target, net: QNetwork, plan: Plan) -> Design:
    """A net on a board with a fast clock, if the PLL makes that one, and as fast a line as it allows."""
    try:
        design = Design.of(target, net, plan, clock_mhz=CLOCK_MHZ)
    except ValueError:
        design = Design.of(target, net, plan)
    hertz = design.pll.output_hz
    link = Link(Baud(hertz, hertz // BITS), timeout=TIMEOUT_BITS * BITS / hertz)
    return replace(design, link=link, bench=True)


class Fuzzer:
    """A simulated board under fire.

    Parameters
    ----------
    board : str
        Its name.
    classifies : bool
        Whether the answers of its net are classes, or values.
    """

    def __init__(self, board: str, *, classifies: bool = True):
        plan = Plan({"dense": StagePlan(3, 2 if classifies else 1)}, "loadable")
        nets = [small_net(seed, classifies=classifies) for seed in range(3)]
        self.design = design_of(targets.find(board), nets[0], plan)
        self.identity = self.design.identity
        self.nets = [sized(net, plan) for net in nets]
        self.sets = [weight_set(net, plan) for net in nets]
        self.board = SimulatedBoard(self.design)

    def run(self, seed: int, batch: int, cases: int = CASES) -> Tally:
        """One run of the simulator.

        Raises
        ------
        Wrong
            At the first answer that is not what it must be; its arguments are a line, and a dict for a file.
        """
        traffic = Traffic(Referee(self.identity, self.sets), np.random.default_rng([seed, batch]))
        parts = [part for _ in range(cases) for part in traffic.case()]
        items = [item for part in parts for item in part.items]
        heard = self.board.parts(items, quiet=3 * TIMEOUT_BITS)
        tally = Tally(kinds=traffic.kinds, frames=traffic.frames, cases=cases)
        tally.bytes = sum(len(item) for item in items if isinstance(item, bytes))
        tally.ticks = max((int(part.ticks[-1]) for part in heard if len(part.ticks)), default=0)
        results = self.results([answer for part in parts for answer in part.expected])
        for index, (part, found) in enumerate(zip(parts, heard[:-1], strict=True)):
            try:
                tally.answers += self.judge(part, found, results)
            except Wrong as wrong:
                where = {"seed": seed, "batch": batch, "part": index, "damage": part.names}
                said = [repr(frame) for frame in Decoder().feed(found.data)]
                due = [repr(answer) for answer in part.expected]
                detail = {**where, "why": str(wrong), "sent": [repr(item) for item in part.items]}
                detail |= {"expected": due, "answered": said, "bytes": found.data.hex(" ")}
                raise Wrong(
                    f"{wrong} (--seed {seed} --batch {batch}, part {index}: {', '.join(part.names)})", detail
                ) from None
        return tally

    def results(self, answers: list[Expected]) -> dict[Expected, tuple]:
        """Class, if there are any, and logits of every answer that has them, by the golden model."""
        found = {}
        for index, net in enumerate(self.nets):
            mine = [answer for answer in answers if answer.net == index]
            if mine:
                logits = net.logits(pixels([answer.image for answer in mine], self.identity))
                for answer, row in zip(mine, logits):
                    found[answer] = net.answer(row), tuple(row.tolist())
        return found

    def judge(self, part, found: Heard, results: dict[Expected, tuple]) -> Counter:
        """Compare a part's answers with what they must be; returns their names."""
        decoder = Decoder()
        frames = decoder.feed(found.data)
        if not part.cut and (found.framing_errors or decoder.skipped or decoder.buffer):
            raise Wrong("the board sent bytes that are no answer")
        busy = [
            frame for frame in frames if frame.kind == FAILED and frame.payload[:1] == bytes([Error.BUSY])
        ]
        if busy and not part.rush:
            raise Wrong("the board was busy though nothing was under way")
        # results keep their order, and so do the others, but those overtake
        for with_result in (True, False):
            due = [answer for answer in part.expected if (answer.net is not None) == with_result]
            got = [
                frame
                for frame in frames
                if frame not in busy
                and (frame.kind in (REPLY | Command.CLASSIFY, REPLY | Command.BENCH)) == with_result
            ]
            if with_result:
                refused = Counter(frame.tag for frame in busy)
                due = [answer for answer in due if not self.refused(answer, refused)]
            if part.cut:
                due = due[: len(got)]
            if len(got) != len(due):
                raise Wrong(f"{len(got)} answers where {len(due)} are due")
            for frame, answer in zip(got, due):
                self.compare(frame, answer, results)
        return Counter(map(named, frames))

    @staticmethod
    def refused(answer: Expected, refused: Counter) -> bool:
        """Whether a request was answered with busy; counts it off."""
        if not refused[answer.tag]:
            return False
        refused[answer.tag] -= 1
        return True

    def compare(self, frame: Frame, answer: Expected, results: dict[Expected, tuple]) -> None:
        """One answer."""
        if (frame.kind, frame.tag) != (answer.kind, answer.tag):
            raise Wrong(
                f"{named(frame)} with tag {frame.tag} is no answer to a request with tag {answer.tag}"
            )
        if answer.net is None:
            if frame.payload != answer.payload:
                raise Wrong(f"{named(frame)} where {named(Frame(answer.kind, 0, answer.payload))} is due")
            return
        result = Result.decode(frame.payload, self.identity)
        if (result.cls, result.logits) != results[answer]:
            raise Wrong(f"a wrong result: class {result.cls}, logits {result.logits}, not {results[answer]}")


def named(frame: Frame) -> str:
    """What kind of answer a frame is."""
    if frame.kind == FAILED:
        code = frame.payload[0] if frame.payload else 0
        return (
            f"error {code}, {Error(code).name.lower().replace('_', ' ')}"
            if code in list(Error)
            else "no error"
        )
    command = frame.kind & ~REPLY
    return Command(command).name.lower() if command in list(Command) else f"kind {frame.kind}"


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m boards.fuzz", description=__doc__, epilog=EXAMPLES)
    options.add_argument(
        "board", metavar="BOARD", nargs="?", default="ulx3s", help="which board's top (ulx3s)"
    )
    options.add_argument(
        "--frames", type=cli.positive, default=FRAMES, metavar="N", help=f"at least so many ({FRAMES:,})"
    )
    options.add_argument("--values", action="store_true", help="with a net whose answers are no classes")
    options.add_argument("--seed", type=cli.natural, default=0, metavar="N", help="of all that is random (0)")
    options.add_argument("--batch", type=cli.natural, metavar="N", help="only this run of the simulator")
    options.add_argument(
        "--out", default="build/fuzz", metavar="DIR", help="where a failure is kept (build/fuzz)"
    )
    options.add_argument("--json", metavar="FILE", help="write the counts as JSON")
    return options


def main(argv: list[str]) -> None:
    """The command; see `EXAMPLES`."""
    options = parser().parse_args(argv)
    check_writable(options.json, Path(options.out) / "failure.json")
    with cli.progress() as progress:
        task = progress.add_task("compile", total=None, note="Verilog, C++")
        fuzzer = Fuzzer(options.board, classifies=not options.values)
        progress.update(task, description="frames", total=options.frames, note="")
        tally, start = Tally(), time.monotonic()
        try:
            for part in batches(fuzzer, options):
                tally.add(part)
                progress.update(task, completed=min(tally.frames, options.frames))
                if options.batch is not None or tally.frames >= options.frames:
                    break
        except Wrong as wrong:
            line, detail = wrong.args
            path = Path(options.out) / f"{detail['seed']}-{detail['batch']}.json"
            with replacing(path, "w") as file:
                json.dump(detail, file, indent=1)
            raise Failure(f"{line}; all of it: {path}") from None
    seconds = time.monotonic() - start
    cli.console().print(table(tally))
    print(
        f"{tally.frames:,} frames in {tally.cases:,} cases, {tally.bytes:,} bytes, seed {options.seed},"
        f" {seconds:.0f} s: every answer right"
    )
    cli.write_json(options.json, {"seed": options.seed, "seconds": round(seconds, 1), **vars(tally)})


def batches(fuzzer: Fuzzer, options):
    """Runs of the simulator, two at a time."""
    if options.batch is not None:
        yield fuzzer.run(options.seed, options.batch)
        return
    with process.threads(2) as pool:
        numbers = count()
        running = [pool.submit(fuzzer.run, options.seed, next(numbers)) for _ in range(2)]
        while True:
            yield running.pop(0).result()
            running.append(pool.submit(fuzzer.run, options.seed, next(numbers)))


def table(tally: Tally) -> Table:
    """What was done, and what was answered."""
    result = Table(show_header=True)
    for name, justify in (
        ("what was sent", "left"),
        ("times", "right"),
        ("what came back", "left"),
        ("times", "right"),
    ):
        result.add_column(name, justify=justify)
    sent, came = sorted(tally.kinds.items()), sorted(tally.answers.items())
    for index in range(max(len(sent), len(came))):
        cells = [
            *(sent[index] if index < len(sent) else ("", "")),
            *(came[index] if index < len(came) else ("", "")),
        ]
        result.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells))
    return result


if __name__ == "__main__":
    sys.exit(cli.run(main))
