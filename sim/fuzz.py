"""``python -m sim.fuzz``: damaged input files and odd command lines against every command that reads them."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
from PIL import Image
from rich.table import Table

import hdl.plan
import model.classify
import model.describe
import model.report
import model.train
import sim.verify
from hdl.planning.netplan import Plan
from hdl.planning.search import default
from model import cli
from model.files import artifact
from model.files.whole import PART, check_writable
from model.training.checkpoint import Checkpoint
from sim import mutators

CASES = 20_000
SLOW = 20
"""Seconds in which a damaged file must be refused."""
MEMORY = 6 << 30
"""Bytes that the process may have: a header that promises more must be refused, not believed."""
LINE = 2000
"""Characters that an error's line may have."""
NET = "tiny"
TEXTS = {
    "conv": 'layers = [{conv = 2, kernel = 3}, "relu", {pool = 2}, {dense = "classes"}]\n',
    "residual": """layers = [
    {conv = 4, kernel = 3, stride = 2, padding = "same", bias = "none"}, {batchnorm = 0.9}, "sigmoid",
    {residual = [{conv = 4, kernel = [3, 1], padding = [[1, 1], [0, 0]]}], shortcut = [{conv = 4}]},
    {dropout = 0.5}, {pool = "avg", kernel = 2}, {dense = 10}, "softmax",
]
[recipe]
epochs = 2
rate = 0.05
[quantise]
weights = "8,conv1=4"
activations = 8
""",
}
EXAMPLES = f"""examples:
  python -m sim.fuzz                          {CASES:,} cases over all inputs
  python -m sim.fuzz --cases 2000 --seed 7    fewer, and others
  python -m sim.fuzz --only plan              one kind of input
  python -m sim.fuzz --keep found/            also keep the files that broke something

A damaged file must be refused with exit status 2 and one line, or still be good for something: never a
traceback, an output that is not whole, a hang, or memory without end. Anything else is exit status 1.
"""


class Slow(BaseException):
    """A case took too long; no command may take this for an error of its own."""


@dataclass(frozen=True)
class Target:
    """An input and the command that reads it.

    Parameters
    ----------
    seeds : dict of bytes
        Good files by their names.
    mutate : callable
        Damages one.
    command : callable
        Takes the folder with all files, and the name of the damaged one; gives a command and its arguments.
    share : int
        Weight among the targets: cheap ones are tried more often.
    """

    seeds: dict[str, bytes]
    mutate: Callable[[Random, bytes], bytes]
    command: Callable[[Path, str], tuple[Callable, list[str]]]
    share: int = 1


@dataclass
class Tally:
    """What came of the cases of one target.

    Attributes
    ----------
    statuses : Counter
        Cases by exit status.
    failures : list of (str, str, bytes)
        What went wrong, the file's name, and its content.
    """

    statuses: Counter = field(default_factory=Counter)
    failures: list[tuple[str, str, bytes]] = field(default_factory=list)


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def pictures() -> dict[str, bytes]:
    """Small pictures of every kind that is read."""
    random, made = np.random.default_rng(0), {}
    for name, mode, kind in (
        ("grey.png", "L", "PNG"), ("colour.png", "RGB", "PNG"), ("clear.png", "RGBA", "PNG"),
        ("palette.png", "P", "PNG"), ("bits.png", "1", "PNG"), ("grey.jpg", "L", "JPEG"),
        ("colour.jpg", "RGB", "JPEG"),
    ):  # fmt: skip
        file = io.BytesIO()
        pixels = random.integers(0, 256, (28, 28, 4), dtype=np.uint8)
        Image.fromarray(pixels, "RGBA").convert(mode).save(file, kind)
        made[name] = file.getvalue()
    return made


def data_set() -> dict[str, bytes]:
    """Four IDX files of a few small images, one of them gzipped."""
    random, made = np.random.default_rng(0), {}
    for part, count in (("train", 24), ("t10k", 6)):
        images = random.integers(0, 256, (count, 6, 6), dtype=np.uint8)
        made[f"{part}-images-idx3-ubyte"] = idx(images)
        made[f"{part}-labels-idx1-ubyte"] = idx((np.arange(count) % 3).astype(np.uint8))
    made["t10k-images-idx3-ubyte"] = gzip.compress(made["t10k-images-idx3-ubyte"], mtime=0)
    return made


def zipped(random: Random, content: bytes) -> bytes:
    """IDX damaged inside its gzip, or outside of it."""
    if content[:2] == b"\x1f\x8b" and random.random() < 0.5:
        return gzip.compress(mutators.damaged(random, gzip.decompress(content)), mtime=0)
    return mutators.damaged(random, content)


def training(folder: Path) -> list[str]:
    """Arguments of the training of a moment."""
    return [
        str(folder / "small.toml"), "--data", str(folder), "--out", str(folder / "small.npz"),
        "--epochs", "1", "--threads", "1", "--no-pictures",
    ]  # fmt: skip


def checkpoint() -> dict[str, bytes]:
    """The checkpoint of a training, and the files that it needs."""
    files = {**data_set(), "small.toml": b'layers = [{conv = 2, kernel = 3}, {dense = "classes"}]\n'}
    with tempfile.TemporaryDirectory() as name, mock.patch.object(Checkpoint, "remove"), quiet():
        folder = Path(name)
        for path, content in files.items():
            (folder / path).write_bytes(content)
        model.train.main(training(folder))
        (path,) = folder.glob("*.checkpoint.npz")
        return {path.name: path.read_bytes(), **files}


def plan_file() -> bytes:
    """A plan of the net with everything in it that a plan may have."""
    net = artifact.load(NET)
    plan = default(net).made_loadable(net)
    stages = {name: stage.described() for name, stage in plan.stages.items()}
    return json.dumps({"weights": plan.weights, "stages": stages, "fracs": plan.fracs}).encode()


def serial_file() -> bytes:
    """The plan of one multiplier a layer."""
    stages = {name: stage.described() for name, stage in Plan.serial(artifact.load(NET)).stages.items()}
    return json.dumps({"stages": stages}).encode()


def read_plan(argv: list[str]) -> None:
    """What every command does with ``--plan``."""
    Plan.load(argv[0], artifact.load(NET))


def targets() -> dict[str, Target]:
    """All inputs by their names."""
    one = pictures()["grey.png"]
    net = artifact.find(NET).read_bytes()
    return {
        "idx": Target(
            data_set(), zipped,
            lambda folder, name: (model.describe.main, [NET, "--data", str(folder)]), 6,
        ),
        "picture": Target(
            pictures(), mutators.as_picture,
            lambda folder, name: (model.classify.main, [NET, str(folder / name), "--resize"]), 6,
        ),
        "artifact, described": Target(
            {"net.npz": net}, mutators.as_archive,
            lambda folder, name: (model.describe.main, [str(folder / name)]), 4,
        ),
        "artifact, run": Target(
            {"net.npz": net, "one.png": one}, by_name,
            lambda folder, name: (model.classify.main, [str(folder / "net.npz"), str(folder / "one.png")]), 4,
        ),
        "artifact, reported": Target(
            {"net.npz": net}, mutators.as_archive,
            lambda folder, name: (model.report.main, [str(folder / name)]), 4,
        ),
        "artifact, planned": Target(
            {"net.npz": net, "plan.json": serial_file()}, by_name,
            lambda folder, name: (
                hdl.plan.main, [str(folder / "net.npz"), "--plan", str(folder / "plan.json")]
            ), 1,
        ),
        "plan": Target(
            {"plan.json": plan_file()}, mutators.as_json,
            lambda folder, name: (read_plan, [str(folder / name)]), 6,
        ),
        "description": Target(
            {f"{name}.toml": text.encode() for name, text in TEXTS.items()}, mutators.as_text,
            lambda folder, name: (model.describe.main, [str(folder / name), "--shape", "12x12x3"]), 6,
        ),
        "checkpoint": Target(
            checkpoint(), by_name,
            lambda folder, name: (model.train.main, [*training(folder), "--resume"]), 1,
        ),
        "command line": Target(
            {"words": b""}, lambda random, content: command_line(random),
            lambda folder, name: spoken((folder / name).read_bytes()), 6,
        ),
    }  # fmt: skip


def by_name(random: Random, content: bytes) -> bytes:
    """Damage as the kind of the file wants it."""
    if content[:2] == b"PK":
        return mutators.as_archive(random, content)
    if content[:1] == b"{":
        return mutators.as_json(random, content)
    return mutators.damaged(random, content)


def command_line(random: Random) -> bytes:
    """A command's name and odd arguments, one a line; what they say is never enough to begin any work."""
    options = OPTIONS[name := random.choice(list(OPTIONS))]
    words = [random.choice((*options, *ODD)) for _ in range(random.randrange(5))]
    return "\n".join([name, *words, random.choice(ENDS)]).encode()


def spoken(content: bytes) -> tuple[Callable, list[str]]:
    """The command of such lines."""
    name, *words = content.decode().split("\n")
    return COMMANDS[name], words


COMMANDS = {
    "describe": model.describe.main,
    "classify": model.classify.main,
    "report": model.report.main,
    "train": model.train.main,
    "plan": hdl.plan.main,
    "verify": sim.verify.main,
}
OPTIONS = {
    "describe": ("--data", "--shape", "--classes", "--json", "lenet", "28x28x1", "1x1x1", "9999x9999x9999"),
    "classify": ("--invert", "--resize", "--json", "lenet"),
    "report": ("--json", "lenet"),
    "train": (
        "--data",
        "--epochs",
        "--seed",
        "--out",
        "--threads",
        "--rate",
        "--batch",
        "--weight-bits",
        "--activation-bits",
        "--json",
        "--resume",
        "lenet",
        "8,conv1=4",
        "0.1",
    ),
    "plan": (
        "--board",
        "--lut",
        "--dsp",
        "--multipliers",
        "--fps",
        "--latency",
        "--clock",
        "--plan",
        "--out",
        "--json",
        "ulx3s",
        "lenet",
    ),
    "verify": ("--net", "--data", "--frames", "--plan", "--level", "--seed", "--stalls", "--json", "lenet"),
}
ODD = (
    "",
    "-",
    "--",
    "-h7",
    "--no-such",
    "-1",
    "0",
    "1e400",
    "nan",
    "9" * 40,
    "é",
    "\t",
    "/dev/null/x",
    "/",
    "..",
    "$(x)",
    "a;b",
    "%s",
    "{0}",
    "[red]",
)
ENDS = ("--no-such-option", "--seed=x", "--json=/dev/null/x")
"""What no command takes."""


@contextlib.contextmanager
def quiet():
    """Nothing is printed; gives what would have been, on standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


def outcome(command: Callable, argv: list[str], out: Path) -> tuple[int | None, str]:
    """The exit status of a command, and what is wrong with how it ended; empty if nothing is.

    Parameters
    ----------
    command : callable
    argv : list of str
    out : Path
        The file that the command was to write if it could.
    """

    def late(*_):
        raise Slow

    before = set(out.parent.iterdir())
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SLOW)
    try:
        with quiet() as (_, err):
            status = cli.run(command, argv)
    except Slow:
        return None, f"still busy after {SLOW} seconds"
    except BaseException:
        return None, traceback.format_exc(limit=-3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    said, made = err.getvalue(), set(out.parent.iterdir()) - before
    if status not in (0, 2):
        return status, f"exit status {status}: {said.strip()}"
    if status == 2 and (said.count("\n") != 1 or len(said) > LINE):
        return status, f"not one line: {said[:300]!r}"
    if any(path.name.endswith(PART) for path in made):
        return status, "a file that is not whole is left"
    if status == 2 and out in made:
        return status, f"it failed, and yet wrote {out.name}"
    if out in made:
        json.loads(out.read_text(encoding="utf-8"))
    return status, ""


def fuzz(name: str, target: Target, cases: int, seed: int, folder: Path, advance=lambda: None) -> Tally:
    """Many damaged files against one command.

    Parameters
    ----------
    name : str
    target : Target
    cases, seed : int
    folder : Path
        An empty one.
    advance : callable
        Called after each case.
    """
    random, tally = Random(f"{seed} {name}"), Tally()
    takes_json = name not in ("plan", "command line")
    for _ in range(cases):
        for path, content in target.seeds.items():
            (folder / path).write_bytes(content)
        victim = random.choice(list(target.seeds))
        content = target.mutate(random, target.seeds[victim])
        (folder / victim).write_bytes(content)
        command, argv = target.command(folder, victim)
        out = folder / "out.json"
        status, problem = outcome(command, [*argv, "--json", str(out)] if takes_json else argv, out)
        tally.statuses[status] += 1
        if problem:
            tally.failures.append((problem, victim, content))
        for path in folder.iterdir():
            if path.name not in target.seeds:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        advance()
    return tally


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m sim.fuzz", description=__doc__, epilog=EXAMPLES)
    options.add_argument(
        "--cases", type=cli.positive, default=CASES, metavar="N", help=f"over all inputs ({CASES:,})"
    )
    options.add_argument("--seed", type=cli.natural, default=0, metavar="S", help="of the damage (0)")
    options.add_argument("--only", metavar="TEXT", default="", help="inputs whose names begin so")
    options.add_argument("--keep", metavar="DIR", type=Path, help="write what broke something there")
    options.add_argument("--json", metavar="FILE", help="also write the table as JSON")
    return options


def main(argv: list[str]) -> None:
    """The command."""
    options = parser().parse_args(argv)
    check_writable(options.json)
    chosen = {name: target for name, target in targets().items() if name.startswith(options.only)}
    if not chosen:
        raise ValueError(f"--only {options.only!r}: there are {', '.join(targets())}")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    started = time.monotonic()
    try:
        tallies = run(chosen, options.cases, options.seed)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    rows = [
        {
            "input": name,
            "cases": tally.statuses.total(),
            "refused": tally.statuses[2],
            "accepted": tally.statuses[0],
            "failures": [problem for problem, _, _ in tally.failures],
        }
        for name, tally in tallies.items()
    ]
    cli.console().print(table(rows))
    if options.keep:
        keep(options.keep, tallies)
    seconds = round(time.monotonic() - started, 1)
    total = sum(row["cases"] for row in rows)
    print(f"{total:,} cases, {seconds:.0f} seconds")
    cli.write_json(options.json, {"rows": rows, "cases": total, "seed": options.seed, "seconds": seconds})
    failures = [(name, *failure) for name, tally in tallies.items() for failure in tally.failures]
    if failures:
        name, problem, victim, _ = failures[0]
        raise cli.Failure(f"{len(failures)} of {total} cases, first {name} ({victim}): {problem}")


def run(chosen: dict[str, Target], cases: int, seed: int) -> dict[str, Tally]:
    """The cases shared out among targets."""
    shares = sum(target.share for target in chosen.values())
    counts = {name: -(-cases * target.share // shares) for name, target in chosen.items()}
    tallies = {}
    with cli.progress() as progress:
        for name, target in chosen.items():
            task = progress.add_task(name, total=counts[name], note="")
            with tempfile.TemporaryDirectory() as folder:
                tallies[name] = fuzz(
                    name, target, counts[name], seed, Path(folder), lambda task=task: progress.advance(task)
                )
    return tallies


def table(rows: list[dict]) -> Table:
    """The rows for people."""
    made = Table(title="damaged inputs")
    for heading in ("input", "cases", "refused", "still good", "failures"):
        made.add_column(heading, justify="left" if heading == "input" else "right")
    for row in rows:
        counts = [f"{row[key]:,}" for key in ("cases", "refused", "accepted")]
        made.add_row(row["input"], *counts, f"{len(row['failures']):,}")
    return made


def keep(folder: Path, tallies: dict[str, Tally]) -> None:
    """Write the files that broke something, and beside each what it broke."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tally in tallies.items():
        for number, (problem, victim, content) in enumerate(tally.failures):
            stem = f"{name.replace(', ', '_').replace(' ', '_')}_{number}"
            (folder / f"{stem}_{victim}").write_bytes(content)
            (folder / f"{stem}.txt").write_text(problem, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main))
