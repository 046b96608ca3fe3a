"""``python -m sim.prove``: proves the stages of the hardware at small sizes, and refutes their mutants."""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from model import cli
from model.files.whole import check_writable
from sim.proofs import checker
from sim.proofs.bench import INDEPENDENT, Bench
from sim.proofs.catalogue import PROOFS
from sim.proofs.faults import Fault, mutated
from sim.proofs.proof import Proof
from sim.simulators import process, tools

LIMIT = 300
"""Seconds for one property."""
REFUTED = 60
"""Cycles within which a mutant must fail; a bounded search gives the fewest."""
JOBS = 2
EXAMPLES = """examples:
  python -m sim.prove                       all stages, every property and every mutant
  python -m sim.prove --fast                those that are quick
  python -m sim.prove --stage Window        the stages whose names hold a text
  python -m sim.prove --json proofs.json    the table as JSON as well

Each property is proved for ever, whatever comes in and whenever the reset comes, or searched up to a depth;
then a mutant of the stage must be refuted. A property that fails, a mutant that passes, or a proof that takes
too long is exit status 1.
"""

Question = tuple[Proof, str, Fault | None]
"""A stage, the property that is asked about (all if empty), and the fault that is put in."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    stage, prop : str
    fault : str
        What the mutant does; empty for the stage itself.
    expected : bool
        Whether the property is to hold.
    verdict : checker.Verdict
    bound : int or None
        Cycles that were searched, or None for a proof for ever.
    """

    stage: str
    prop: str
    fault: str
    expected: bool
    verdict: checker.Verdict
    bound: int | None

    @property
    def right(self) -> bool:
        """Whether it came out as expected."""
        return self.verdict.holds is self.expected

    @property
    def result(self) -> str:
        """What came out, in a word."""
        if self.verdict.holds is None:
            return "out of time"
        return ("proved" if self.verdict.holds else "refuted") + ("" if self.right else ", NOT AS EXPECTED")

    @property
    def depth(self) -> str:
        """Cycles that the answer speaks of."""
        if self.verdict.holds is False:
            return str(self.verdict.depth)
        return "all" if self.bound is None else str(self.bound)

    def described(self) -> dict:
        """What JSON says of it."""
        return {
            "stage": self.stage,
            "property": self.prop,
            "fault": self.fault,
            "depth": self.depth,
            "seconds": round(self.verdict.seconds, 3),
            "result": self.result,
            "as_expected": self.right,
        }


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m sim.prove", description=__doc__, epilog=EXAMPLES)
    options.add_argument("--stage", metavar="TEXT", default="", help="only stages whose names hold this text")
    options.add_argument("--fast", action="store_true", help="only those that are quick, as CI does")
    options.add_argument(
        "--jobs", type=cli.positive, default=JOBS, metavar="N", help=f"proofs side by side ({JOBS})"
    )
    options.add_argument("--json", metavar="FILE", help="also write the table as JSON")
    return options


def main(argv: list[str]) -> None:
    """The command."""
    options = parser().parse_args(argv)
    check_writable(options.json)
    tools.use_yosys()
    proofs = [proof for proof in PROOFS if options.stage in proof.stage and (proof.fast or not options.fast)]
    if not proofs:
        raise ValueError(f"--stage {options.stage!r} is in the name of no stage")
    started = time.monotonic()
    with cli.progress() as progress:
        asked = questions(proofs)
        task = progress.add_task("prove", total=len(asked), note="")
        rows = run(asked, options.jobs, lambda: progress.advance(task))
    seconds = time.monotonic() - started
    cli.console().print(table(rows))
    wrong = [row for row in rows if not row.right]
    refuted = sum(not row.expected for row in rows)
    print(
        f"{len(rows) - refuted} properties of {len(proofs)} stages, {refuted} mutants, "
        f"{len(wrong)} not as expected; {seconds:.0f} seconds"
    )
    cli.write_json(options.json, {"rows": [row.described() for row in rows], "seconds": round(seconds, 1)})
    if wrong:
        raise cli.Failure(
            f"{len(wrong)} of {len(rows)} are not as expected, first {wrong[0].stage}: {wrong[0].prop}"
        )


def questions(proofs: list[Proof]) -> list[Question]:
    """Each stage with all its properties, and each of its mutants with the one that must fail."""
    return [(proof, *asked) for proof in proofs for asked in (("", None), *proof.faults)]


def run(asked: list[Question], jobs: int = 1, advance=lambda: None) -> list[Row]:
    """What becomes of properties of stages and mutants.

    Parameters
    ----------
    asked : list of Question
    jobs : int
        Checkers side by side.
    advance : callable
        Called after each answer.

    Raises
    ------
    ValueError
        If a fault no longer fits its module.
    """
    with tempfile.TemporaryDirectory() as name, process.threads(jobs) as pool:
        waiting: list[Future] = []
        for number, (proof, prop, fault) in enumerate(asked):
            # Hardware is made here, one at a time: a mutant's modules are everybody's while it is made.
            with mutated(fault):
                bench = proof.make()
                text = bench.rtlil()
            waiting.append(pool.submit(answers, proof, bench, text, prop, fault, Path(name), f"n{number}"))
            waiting[-1].add_done_callback(lambda _: advance())
        return [row for rows in waiting for row in rows.result()]


def answers(
    proof: Proof, bench: Bench, text: str, only: str, fault: Fault | None, folder: Path, name: str
) -> list[Row]:
    """What becomes of the properties of a stage, or of one of a mutant.

    Parameters
    ----------
    proof : Proof
    bench : Bench
    text : str
        The bench in RTLIL.
    only : str
        The property; all of them if empty.
    fault : Fault or None
    folder : Path
        For files.
    name : str
        How the files' names begin.
    """
    graph = checker.graph(text, folder, name)
    rows = []

    def add(prop, verdict, bound=None):
        rows.append(Row(proof.stage, prop, fault.meaning if fault else "", fault is None, verdict, bound))

    for number, prop in enumerate(bench.always):
        if only in ("", prop):
            bound = REFUTED if fault else proof.bounds.get(prop)
            add(prop, checker.check(graph, f"bad_{number}", folder, f"{name}_{number}", bound, LIMIT), bound)
    if bench.apart and only in ("", INDEPENDENT):
        started = time.monotonic()
        joined = any(
            graph.reaches(ready.name, f"apart_{number}") for number, (ready, _) in enumerate(bench.apart)
        )
        add(INDEPENDENT, checker.Verdict(not joined, 0, time.monotonic() - started))
    return rows


def table(rows: list[Row]) -> Table:
    """The rows for people."""
    made = Table(title="proofs")
    for heading, justify in (
        ("stage", "left"), ("property", "left"), ("mutant", "left"), ("depth", "right"),
        ("seconds", "right"), ("result", "left"),
    ):  # fmt: skip
        made.add_column(heading, justify=justify)
    before = None
    for row in rows:
        if before not in (None, row.stage):
            made.add_section()
        shown = "" if row.stage == before else row.stage
        made.add_row(shown, row.prop, row.fault, row.depth, f"{row.verdict.seconds:.1f}", row.result)
        before = row.stage
    return made


if __name__ == "__main__":
    sys.exit(cli.run(main))
