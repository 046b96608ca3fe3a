"""``python -m sim.fuzz``: damaged input files and odd command lines against every command that reads them."""

from __future__ import annotations

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

from rich.table import Table

import hdl.plan
import model.classify
import model.convert
import model.describe
import model.report
import model.train
import sim.verify
from model import cli
from model.files.whole import PART, check_writable
from sim.damage.inputs import Target, quiet, targets

COMMANDS = {
    "convert": model.convert.main,
    "describe": model.describe.main,
    "classify": model.classify.main,
    "report": model.report.main,
    "train": model.train.main,
    "plan": hdl.plan.main,
    "verify": sim.verify.main,
}
"""What is given odd command lines."""
FOLDERS = "a", "a", "a b", "größe", "-n", "x" * 60, "[red]", "{0}%s$x", "a\nb"
"""Names of the folder in which the files lie."""
CASES = 20_000
SLOW = 20
"""Seconds in which a damaged file must be refused."""
MEMORY = 6 << 30
"""Bytes that the process may have: a header that promises more must be refused, not believed."""
LINE = 2000
"""Characters that an error's line may have."""
EXAMPLES = f"""examples:
  python -m sim.fuzz                          {CASES:,} cases over all inputs
  python -m sim.fuzz --cases 2000 --seed 7    fewer, and others
  python -m sim.fuzz --only plan              one kind of input
  python -m sim.fuzz --keep found/            also keep the files that broke something

A damaged file must be refused with exit status 2 and one line (before which
a list of its problems may stand), or still be good for something: never a
traceback, an output that is not whole, a hang, or memory without end. Anything else is exit status 1.
"""


class Slow(BaseException):
    """A case took too long; no command may take this for an error of its own."""


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
    # Remarks on what goes on all the same may come before.
    *problems, line = [line for line in said.split("\n")[:-1] if not line.startswith("note: ")] or [""]
    if status == 2 and not (line and problems_only(problems) and max(map(len, [*problems, line])) <= LINE):
        return status, f"not one line, or a list of problems and one: {said[:300]!r}"
    if any(path.name.endswith(PART) for path in made):
        return status, "a file that is not whole is left"
    if status == 2 and made:
        return status, f"it failed, and yet wrote {', '.join(sorted(path.name for path in made))}"
    if out in made:
        json.loads(out.read_text(encoding="utf-8"))
    return status, ""


def problems_only(lines: list[str]) -> bool:
    """Whether lines are a list of several problems, or none."""
    return len(lines) != 1 and all(line.startswith("- ") for line in lines)


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
        place = folder / random.choice(FOLDERS)
        place.mkdir()
        for path, content in target.seeds.items():
            (place / path).write_bytes(content)
        victim = random.choice(list(target.seeds))
        content = target.mutate(random, target.seeds[victim])
        (place / victim).write_bytes(content)
        command, argv = target.command(place, victim)
        out = place / "out.json"
        status, problem = outcome(command, [*argv, "--json", str(out)] if takes_json else argv, out)
        tally.statuses[status] += 1
        if problem:
            tally.failures.append((problem, victim, content))
        shutil.rmtree(place)
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
    known = targets(COMMANDS)
    chosen = {name: target for name, target in known.items() if name.startswith(options.only)}
    if not chosen:
        raise ValueError(f"--only {options.only!r}: there are {', '.join(known)}")
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
