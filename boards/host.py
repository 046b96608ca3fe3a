"""``python -m boards.host``: pictures to a board on its serial port, and what it says of them."""

from __future__ import annotations

import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich import box
from rich.bar import Bar
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from boards.link.client import Board, Rate
from boards.link.protocol import CRC_BYTES, HEADER_BYTES, Identity, Result
from boards.link.weights import load_request
from hdl.folding.net import Plan
from model import cli
from model.cli import Failure
from model.files import artifact, dataset
from model.files.image import read_image
from model.files.whole import check_writable
from model.golden.qnetwork import QNetwork

EXAMPLES = """\
examples:
  python -m boards.host                              who is there, at the only USB serial port
  python -m boards.host seven.png photo.jpg          classes and scores of pictures
  python -m boards.host /dev/ttyUSB1 --dataset       the whole MNIST test set, and the accuracy
  python -m boards.host --dataset --check lenet      and every logit compared with the integer model
  python -m boards.host --bench                      the core's own rate, without the serial line
  python -m boards.host --watch pictures/            every picture that comes into a folder, until Ctrl-C
  python -m boards.host --load my.npz --plan build/ulx3s/plan.json      other weights

exit status: 0 done, 1 the board does not answer or answers wrongly, 2 bad input
"""
SUFFIXES = (".png", ".jpg", ".jpeg")
"""Of pictures in a folder that is watched."""
LOOK = 0.2
"""Seconds between two looks into it."""
BAR = 40
"""Columns of the longest bar."""
LARGEST = 16
"""Classes up to which a confusion matrix is printed whole."""


def main(argv: list[str]) -> None:
    """The command; see `EXAMPLES`."""
    options = parse(argv)
    check_writable(options.json)
    net = artifact.load(options.check) if options.check else None
    other = artifact.load(options.load) if options.load else None
    plan = Plan.load(options.plan, other) if other is not None else None
    data = dataset.load_part("t10k", options.data) if options.dataset else None
    if options.watch is not None and not Path(options.watch).is_dir():
        raise ValueError(f"--watch {options.watch} is no folder")
    for path in options.pictures:
        open(path, "rb").close()  # before the board is looked for
    console = cli.console()
    with Board(options.port, options.baud) as board:
        console.print(described(board))
        if other is not None:
            load(console, board, other, plan)
        session = Session(console, board, net, options)
        if options.dataset:
            result = session.dataset(*data)
        elif options.bench:
            result = session.bench()
        elif options.watch is not None:
            result = session.watch(Path(options.watch))
        else:
            result = session.pictures(options.pictures)
        identity = board.identity
        head = {"net": identity.net, "board": identity.board, "build": identity.build.hex()}
        cli.write_json(options.json, {**head, "port": board.name, "baud": board.baud, **result})
        if session.wrong:
            raise Failure(
                f"{session.wrong} answers differ from those of net {net.name!r}; the first: {session.first}"
            )


def parser() -> cli.Parser:
    """The command's options."""
    usage = "python -m boards.host [-h] [PORT] [PICTURE ...] [--dataset | --bench | --watch DIR] [OPTION ...]"
    options = cli.Parser(prog="python -m boards.host", usage=usage, description=__doc__, epilog=EXAMPLES)
    options.add_argument("words", metavar="PORT, PICTURE", nargs="*", help="a serial port, PNG or JPEG files")
    options.add_argument("--dataset", action="store_true", help="the test set: accuracy, confusion, images/s")
    options.add_argument("--data", metavar="DIR", help="a folder of IDX files in place of MNIST")
    options.add_argument("--frames", type=cli.positive, metavar="N", help="so many images of it (all)")
    options.add_argument("--check", metavar="NET", help="compare every logit with this net's integer model")
    options.add_argument("--bench", action="store_true", help="the core's own rate, from on-chip memory")
    options.add_argument("--watch", metavar="DIR", help="pictures that are in a folder or come into it")
    options.add_argument("--load", metavar="NET", help="load other weights first (needs --plan)")
    options.add_argument("--plan", metavar="FILE", help="the plan.json of the board's build")
    options.add_argument("--invert", action="store_true", help="take black for white")
    options.add_argument(
        "--resize", action="store_true", help="scale pictures to the size that the net takes"
    )
    options.add_argument(
        "--baud", type=cli.positive, metavar="N", help="of the port; else the usual rates are tried"
    )
    options.add_argument("--json", metavar="FILE", help="write the results as JSON")
    return options


def parse(argv: list[str]) -> Namespace:
    """The options; `port` and `pictures` told apart."""
    known = parser()
    options = known.parse_intermixed_args(argv)
    words = options.words
    options.port = words.pop(0) if words and is_port(words[0]) else None
    options.pictures = words
    tasks = options.dataset + options.bench + (options.watch is not None)
    if tasks > 1:
        known.error("choose one of --dataset, --bench and --watch")
    if tasks and words:
        known.error(f"{words[0]} is no serial port that is there, and pictures go by themselves")
    if (options.load is None) != (options.plan is None):
        known.error("--load and --plan belong together")
    if (options.data is not None or options.frames is not None) and not options.dataset:
        known.error("--data and --frames belong to --dataset")
    return options


def is_port(word: str) -> bool:
    """Whether a word names a serial port, there or not."""
    return bool(re.fullmatch(r"(?i)COM\d+|/dev/.+", word)) or Path(word).is_char_device()


def described(board: Board) -> str:
    """Who has answered."""
    identity = board.identity
    return (
        f"{identity.net} on {identity.board}: images of {' x '.join(map(str, identity.shape))},"
        f" {identity.classes} classes, core at {identity.clock_hz / 1e6:g} MHz, build {identity.build.hex()}"
        f"\n{board.name} at {board.baud:,} baud"
    )


def load(console: Console, board: Board, net: QNetwork, plan: Plan) -> None:
    """Give the board a net's weights."""
    frame = load_request(net, plan, board.identity)
    with cli.progress() as progress:
        progress.add_task("load", total=None, note=f"{len(frame.payload):,} bytes")
        board.load(frame.payload)
    console.print(f"it has the weights of {net.name} now")


class Session:
    """What is done with a board, and shown.

    Parameters
    ----------
    console : Console
    board : Board
    net : QNetwork or None
        To compare with.
    options : Namespace

    Attributes
    ----------
    wrong : int
        Answers that are not the net's.
    first : str or None
        Where the first of them was.
    """

    def __init__(self, console: Console, board: Board, net: QNetwork | None, options: Namespace):
        self.console, self.board, self.net, self.options = console, board, net, options
        self.wrong, self.first = 0, None
        identity = board.identity
        if net is not None and (net.in_shape, net.classes) != (identity.shape, identity.classes):
            raise ValueError(
                f"--check {options.check}: net {net.name!r} has other shapes than {identity.net!r}, which"
                " the board has"
            )

    def compare(self, images: np.ndarray, results: list[Result], names: list[str]) -> None:
        """Note the answers that are not the net's."""
        if self.net is None:
            return
        logits = self.net.logits(self.net.checked(images))
        for name, row, cls, result in zip(names, logits, logits.argmax(axis=1), results, strict=True):
            if result.logits != tuple(row.tolist()) or result.cls != cls:
                self.wrong += 1
                self.first = self.first or (
                    f"{name}: class {result.cls} with logits {list(result.logits)}, not {cls} with"
                    f" {row.tolist()}"
                )

    def read(self, path) -> np.ndarray:
        """A picture as the board's net takes it."""
        options = self.options
        return read_image(path, self.board.identity.shape, invert=options.invert, resize=options.resize)

    def pictures(self, paths: list[str]) -> dict:
        """Classes and scores of pictures."""
        if not paths:
            return {}
        images = np.stack([self.read(path) for path in paths])
        rows = []
        for path, result in zip(paths, results := self.board.classify(images)):
            self.console.print(scores(path, result, self.board.identity))
            rows.append(answer(path, result, self.board.identity))
        self.compare(images, results, paths)
        return {"answers": rows}

    def watch(self, folder: Path) -> dict:
        """Pictures as they come, until the user ends it."""
        rows = []
        self.console.print(f"watching {folder}; Ctrl-C ends it")
        try:
            for path in arrivals(folder):
                try:
                    image = self.read(path)
                except (ValueError, OSError) as error:
                    self.console.print(" ".join(str(error).split()))
                    continue
                result = self.board.classify(image)
                self.console.print(scores(path, result, self.board.identity))
                rows.append(answer(path, result, self.board.identity))
                self.compare(image[None], [result], [str(path)])
        except KeyboardInterrupt:
            return {"answers": rows}

    def dataset(self, images: np.ndarray, labels: np.ndarray) -> dict:
        """A test set."""
        images, labels = images[: self.options.frames], labels[: self.options.frames]
        identity = self.board.identity
        results, start = [], time.monotonic()
        with cli.progress() as progress:
            task = progress.add_task("test set", total=len(images), note="")
            for result in self.board.stream(images):
                results.append(result)
                rate = len(results) / (time.monotonic() - start)
                progress.update(task, advance=1, note=f"{rate:,.1f} images/s")
        seconds = time.monotonic() - start
        found = np.array([result.cls for result in results])
        confusion = np.zeros((max(identity.classes, labels.max() + 1), identity.classes), int)
        np.add.at(confusion, (labels, found), 1)
        right = int((found == labels).sum())
        rate = len(images) / seconds
        share = rate * 10 * (identity.image_bytes + HEADER_BYTES + CRC_BYTES) / self.board.baud
        self.console.print(confused(confusion))
        self.console.print(f"right: {right:,} of {len(images):,}, {right / len(images):.2%}")
        self.console.print(
            f"{len(images):,} images in {seconds:.1f} s: {rate:,.1f} images/s, {share:.1%} of what the line"
            f" carries at {self.board.baud:,} baud"
        )
        if self.board.repeats:
            self.console.print(f"{self.board.repeats:,} times an image had to be sent again")
        self.compare(images, results, [f"test image {index}" for index in range(len(images))])
        if self.net is not None:
            self.console.print(
                f"{len(images) - self.wrong:,} answers are those of {self.net.name}, every logit equal"
            )
        return {
            "images": len(images),
            "right": right,
            "accuracy": right / len(images),
            "confusion": confusion.tolist(),
            "mismatches": self.wrong if self.net is not None else None,
            "seconds": round(seconds, 3),
            "images_per_second": round(rate, 1),
            "line_used": round(share, 4),
            "repeats": self.board.repeats,
        }

    def bench(self) -> dict:
        """The core's own rate."""
        identity = self.board.identity
        fmt = identity.pixel
        image = np.random.default_rng(0).integers(fmt.min, fmt.max + 1, identity.shape)
        with cli.progress() as progress:
            task = progress.add_task("bench", total=None, note="")
            rate = self.board.measure(image, lambda count: progress.update(task, note=f"{count:,} images"))
        self.console.print(rated(rate, identity))
        cycles = rate.cycles_per_image
        return {
            "images": rate.images,
            "ii_cycles": int(cycles) if cycles.denominator == 1 else float(cycles),
            "latency_cycles": rate.latency_cycles,
            "frames_per_second": round(rate.images_per_second, 1),
        }


def arrivals(folder: Path) -> Iterator[Path]:
    """Pictures in a folder, each when it has stayed the same for a moment; for ever."""
    seen: dict[Path, tuple] = {}
    given: dict[Path, tuple] = {}
    while True:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # it has gone meanwhile
            state = status.st_size, status.st_mtime_ns
            if seen.get(path) == state != given.get(path):
                given[path] = state
                yield path
            seen[path] = state
        time.sleep(LOOK)


def answer(path, result: Result, identity: Identity) -> dict:
    """An answer as JSON has it."""
    return {
        "picture": str(path),
        "class": result.cls,
        "logits": list(result.logits),
        "cycles": result.cycles,
        "microseconds": round(1e6 * result.cycles / identity.clock_hz, 3),
    }


def scores(path, result: Result, identity: Identity) -> Group:
    """An answer, and its scores as bars, from the smallest to the largest."""
    microseconds = 1e6 * result.cycles / identity.clock_hz
    title = f"{path}: class {result.cls}, {result.cycles:,} cycles, {microseconds:,.1f} microseconds"
    table = Table(show_header=False, box=None)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(width=BAR)
    values = [identity.logit.real(logit) for logit in result.logits]
    low, span = min(values), (max(values) - min(values)) or 1
    for index, value in enumerate(values):
        chosen = index == result.cls
        bar = Bar(span, 0, value - low, width=BAR, color="green" if chosen else "blue")
        table.add_row(f"{index}", f"{value:.3f}", bar, style="bold" if chosen else None)
    return Group(Text(title, "bold"), table)


def confused(confusion: np.ndarray) -> Group:
    """Which classes (rows) were taken for which (columns); of many classes only what was wrong most often."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    if len(confusion) <= LARGEST:
        for name in ("", *map(str, range(confusion.shape[1]))):
            table.add_column(name, justify="right")
        for index, row in enumerate(confusion):
            cells = [
                Text(
                    str(count) if count else "·",
                    "bold green" if index == column else "red" if count else "dim",
                )
                for column, count in enumerate(row)
            ]
            table.add_row(str(index), *cells)
        return Group("classes (down) and what they were taken for (across)", table)
    for name in ("class", "taken for", "times"):
        table.add_column(name, justify="right")
    wrong = confusion * (1 - np.eye(*confusion.shape, dtype=int))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:10]:
        index, column = np.unravel_index(place, wrong.shape)
        if wrong[index, column]:
            table.add_row(str(index), str(column), str(wrong[index, column]))
    return Group("what was taken for another class most often", table)


def rated(rate: Rate, identity: Identity) -> str:
    """The rate for people."""
    return (
        f"{rate.images_per_second:,.0f} images/s: one each {float(rate.cycles_per_image):,.10g} cycles of"
        f" {identity.clock_hz / 1e6:g} MHz (up to {rate.images:,} from the board's own memory)\n"
        f"{rate.latency_cycles:,} cycles, {1e6 * rate.latency_cycles / identity.clock_hz:,.1f} microseconds,"
        " from the first pixel of an image to its answer"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
