"""``python -m boards.host``: pictures to a board on its serial port, and what it says of them."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from boards.link.client import Board
from boards.link.protocol import CRC_BYTES, HEADER_BYTES, Identity, Result
from boards.link.shown import confused, described, rated, scores
from boards.link.weights import load_request
from hdl.folding.net import Plan
from model import cli
from model.cli import Failure
from model.files import artifact, dataset, levels, values
from model.files.image import SUFFIXES, read_image
from model.files.whole import check_writable
from model.golden.qnetwork import QNetwork

EXAMPLES = """\
examples:
  python -m boards.host                              who is there, at the only USB serial device
  python -m boards.host seven.png photo.jpg          classes and scores of pictures
  python -m boards.host /dev/ttyUSB1 --dataset       the whole MNIST test set, and the accuracy
  python -m boards.host --dataset --check lenet      and every logit compared with the integer model
  python -m boards.host --bench                      the core's own rate, without the serial line
  python -m boards.host --watch pictures/            every picture that comes into a folder, until Ctrl-C
  python -m boards.host --load my.npz --plan build/ulx3s/plan.json      other weights

exit status: 0 done, 1 the board does not answer or answers wrongly, 2 bad input
"""
MANY = 12
"""Values of an answer that an error shows."""
LOOK = 0.2
"""Seconds between two looks into it."""


def main(argv: list[str]) -> None:
    """The command; see `EXAMPLES`."""
    options = parse(argv)
    check_writable(options.json, options.values)
    net = artifact.load(options.check) if options.check else None
    other = artifact.load(options.load) if options.load else None
    plan = Plan.load(options.plan, other) if other is not None else None
    data = test_set(options, net) if options.dataset else None
    if options.watch is not None and not Path(options.watch).is_dir():
        raise ValueError(f"--watch {options.watch} is no folder")
    for path in options.pictures:
        open(path, "rb").close()  # before the board is looked for
    console = cli.console()
    with found(options) as board:
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
        if options.values:
            values.save(options.values, session.outputs)
        ended = {"ended": str(session.ended) or type(session.ended).__name__} if session.ended else {}
        cli.write_json(options.json, {**head, "port": board.name, "baud": board.baud, **result, **ended})
        if session.ended:
            raise session.ended
        if session.wrong:
            raise Failure(
                f"{session.wrong} answers differ from those of net {net.name!r}; the first: {session.first}"
            )


def test_set(options: Namespace, net: QNetwork | None) -> tuple[np.ndarray, np.ndarray]:
    """Images, and labels as a net counts them, if there is one to compare with."""
    with cli.counted("reading pictures") as tell:
        part = dataset.load_part("t10k", options.data, tell, options.frames)
    return part.images, part.labelled(net and net.metadata.get("classes"), options.data)


def found(options: Namespace) -> Board:
    """The board, looked for with a sign of life."""
    with cli.progress() as progress:
        task = progress.add_task("looking for a board", total=None, note="")
        return Board(options.port, options.baud, lambda place: progress.update(task, note=place))


def parser() -> cli.Parser:
    """The command's options."""
    usage = "python -m boards.host [-h] [PORT] [PICTURE ...] [--dataset | --bench | --watch DIR] [OPTION ...]"
    options = cli.Parser(prog="python -m boards.host", usage=usage, description=__doc__, epilog=EXAMPLES)
    options.add_argument("words", metavar="PORT, PICTURE", nargs="*", help="a serial port, PNG or JPEG files")
    options.add_argument("--dataset", action="store_true", help="the test set: accuracy, confusion, images/s")
    options.add_argument("--data", metavar="DIR", help=f"{dataset.TAKEN}, in place of MNIST")
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
    options.add_argument(
        "--values", metavar="FILE", help="write all outputs, (N, H, W, C) integers, as NumPy's .npy"
    )
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
    ended : BaseException or None
        What ended the work before its time.
    """

    def __init__(self, console: Console, board: Board, net: QNetwork | None, options: Namespace):
        self.console, self.board, self.net, self.options = console, board, net, options
        self.wrong, self.first, self.ended = 0, None, None
        self.answers: list[Result] = []
        identity = board.identity
        has = identity.shape, identity.outputs, identity.classes > 0
        if net is not None and (net.in_shape, net.outputs, net.classifies) != has:
            raise ValueError(
                f"--check {options.check}: net {net.name!r} has other shapes than {identity.net!r}, which"
                " the board has"
            )

    @property
    def outputs(self) -> np.ndarray:
        """The logits or values of all answers so far, (N, H, W, C)."""
        identity = self.board.identity
        shape = (1, 1, identity.classes) if identity.classes else identity.values
        rows = [result.logits for result in self.answers]
        return np.array(rows, np.int64).reshape(len(rows), *shape)

    def compare(self, images: np.ndarray, results: list[Result], names: list[str]) -> None:
        """Keep answers, and note those that are not the net's."""
        self.answers += results
        if self.net is None:
            return
        logits = self.net.logits(self.net.checked(images))
        for name, row, result in zip(names, logits, results, strict=True):
            due = self.net.answer(row)
            if result.logits != tuple(row.tolist()) or result.cls != due:
                self.wrong += 1
                self.first = self.first or (
                    f"{name}: class {result.cls} with logits {list(result.logits)}, not {due} with"
                    f" {row.tolist()}"
                    if self.net.classifies
                    else f"{name}: values {cut(result.logits)}, not {cut(row.tolist())}"
                )

    def read(self, path) -> np.ndarray:
        """A picture as the board's net takes it."""
        options, shape = self.options, self.board.identity.shape
        return self.taken(read_image(path, shape, invert=options.invert, resize=options.resize))

    def taken(self, images: np.ndarray) -> np.ndarray:
        """Grey levels as the board's net takes them; what it does not say of itself, the net to compare with
        does."""
        identity = self.board.identity
        return levels.for_input(images, identity.pixel, identity.net, self.net.metadata if self.net else {})

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """What ends the work is held back until what was found before is shown and written."""
        try:
            yield
        except (Failure, ValueError, OSError, KeyboardInterrupt) as error:
            self.ended = error

    def answer(self, path, image: np.ndarray, result: Result) -> dict:
        """An answer: shown, compared, and as JSON has it."""
        identity = self.board.identity
        self.console.print(scores(path, result, identity))
        self.compare(image[None], [result], [str(path)])
        answer = {"class": result.cls, "logits": list(result.logits)}
        return {
            "picture": str(path),
            **(answer if identity.classes else {"values": list(result.logits)}),
            "cycles": result.cycles,
            "microseconds": round(1e6 * result.cycles / identity.clock_hz, 3),
        }

    def pictures(self, paths: list[str]) -> dict:
        """Classes and scores of pictures, each as it comes."""
        if not paths:
            return {}
        images = np.stack([self.read(path) for path in paths])
        rows = []
        with self.kept():
            for path, image, result in zip(paths, images, self.board.stream(images)):
                rows.append(self.answer(path, image, result))
        return {"answers": rows, "missing": [str(path) for path in paths[len(rows) :]]}

    def watch(self, folder: Path) -> dict:
        """Pictures as they come, until the user ends it or the board has gone."""
        rows = []
        self.console.print(f"watching {folder}; Ctrl-C ends it")
        with self.kept():
            for path in arrivals(folder, self.board.check):
                try:
                    image = self.read(path)
                except (ValueError, OSError) as error:
                    self.console.print(" ".join(str(error).split()))
                    continue
                rows.append(self.answer(path, image, self.board.classify(image)))
        if isinstance(self.ended, KeyboardInterrupt):
            self.ended = None
        return {"answers": rows}

    def dataset(self, images: np.ndarray, labels: np.ndarray) -> dict:
        """A test set."""
        images, labels = self.taken(images[: self.options.frames]), labels[: self.options.frames]
        wanted = len(images)
        results, start = [], time.monotonic()
        with self.kept(), cli.progress() as progress:
            task = progress.add_task("test set", total=wanted, note="")
            for result in self.board.stream(images):
                results.append(result)
                rate = len(results) / (time.monotonic() - start)
                progress.update(task, advance=1, note=f"{rate:,.1f} images/s")
        seconds, count = time.monotonic() - start, len(results)
        if count < wanted:
            self.console.print(f"{wanted - count:,} of {wanted:,} images have no answer")
        return {
            **(self.judged(images[:count], labels[:count], results, seconds) if results else {}),
            "images": count,
            "missing": wanted - count,
            "seconds": round(seconds, 3),
            "repeats": self.board.repeats,
        }

    def judged(self, images: np.ndarray, labels: np.ndarray, results: list[Result], seconds: float) -> dict:
        """The answers to a test set, or to its first part, shown and as JSON has them."""
        identity, verdict = self.board.identity, {}
        if identity.classes:
            found = np.array([result.cls for result in results])
            confusion = np.zeros((max(identity.classes, labels.max() + 1), identity.classes), int)
            np.add.at(confusion, (labels, found), 1)
            right = int((found == labels).sum())
            self.console.print(confused(confusion))
            self.console.print(f"right: {right:,} of {len(images):,}, {right / len(images):.2%}")
            verdict = {"right": right, "accuracy": right / len(images), "confusion": confusion.tolist()}
        rate = len(images) / seconds
        share = rate * 10 * (identity.image_bytes + HEADER_BYTES + CRC_BYTES) / self.board.baud
        self.console.print(
            f"{len(images):,} images in {seconds:.1f} s: {rate:,.1f} images/s, {share:.1%} of what the line"
            f" carries at {self.board.baud:,} baud"
        )
        if self.board.repeats:
            self.console.print(f"{self.board.repeats:,} times an image had to be sent again")
        self.compare(images, results, [f"test image {index}" for index in range(len(images))])
        if self.net is not None:
            self.console.print(
                f"{len(images) - self.wrong:,} answers are those of {self.net.name}, every value equal"
            )
        return {
            **verdict,
            "mismatches": self.wrong if self.net is not None else None,
            "images_per_second": round(rate, 1),
            "line_used": round(share, 4),
        }

    def bench(self) -> dict:
        """The core's own rate."""
        identity = self.board.identity
        if not identity.bench:
            raise ValueError(benchless(identity))
        fmt = identity.pixel
        image = np.random.default_rng(0).integers(fmt.min, fmt.max + 1, identity.shape)
        rate = None
        with self.kept(), cli.progress() as progress:
            task = progress.add_task("bench", total=None, note="")
            for rate in self.board.benches(image):
                progress.update(task, note=f"{rate.images:,} images")
        if rate is None:
            return {}
        self.console.print(rated(rate, identity))
        cycles = rate.cycles_per_image
        return {
            "images": rate.images,
            "ii_cycles": int(cycles) if cycles.denominator == 1 else float(cycles),
            "latency_cycles": rate.latency_cycles,
            "frames_per_second": round(rate.images_per_second, 1),
        }


def cut(row: Sequence[int]) -> str:
    """The first of many values."""
    return f"[{', '.join(map(str, row[:MANY]))}{', ...' * (len(row) > MANY)}]"


def benchless(identity: Identity) -> str:
    """Why a board has no bench, and which have one."""
    # what the boards are takes a moment to import, and is wanted nowhere else
    from boards.catalogue.targets import TARGETS
    from boards.shell.design import BENCH_LUTS

    able = [name for name, target in TARGETS.items() if target.budget.lut >= BENCH_LUTS]
    return (
        f"{identity.board} was built without the command bench, for which chips of fewer than"
        f" {BENCH_LUTS:,} LUTs have no room; it is on {', '.join(able)}"
    )


def arrivals(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Pictures in a folder, each when it has stayed the same for a moment; for ever, with a check now and
    then."""
    seen: dict[Path, tuple] = {}
    given: dict[Path, tuple] = {}
    while True:
        check()
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


if __name__ == "__main__":
    sys.exit(cli.run(main))
