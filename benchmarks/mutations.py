"""``python -m benchmarks.mutations``: bugs put into copies of hdl, against the fast tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from rich.table import Table

from model import cli
from model.files.whole import check_writable
from sim.proofs.faults import TABLES, Fault, read

ROOT = Path(__file__).parents[1]
OWN = Path(__file__).with_suffix(".toml")
COPIED = ("benchmarks", "boards", "hdl", "model", "sim", "tests", "pyproject.toml", "README.md", "docs")
SHARE = 0.95
"""Of the mutants that must be killed."""
LIMIT = 1800
"""Seconds of one run of tests; a mutant that makes them hang is killed by that."""
COVERING = {
    "layer": ("folding", "mac"),
    "rounding": ("rounding", "pool"),
    "counting": ("window", "raster", "mac", "buffer"),
    "reach": ("residual",),
    "network": ("network", "conv"),
    "digits": ("digits", "wired"),
    "pipe": ("rounding", "raster", "mac", "buffer"),
    "memory": ("buffer", "table", "window"),
    "device": ("mac",),
    "loader": ("loading",),
    "loadrom": ("loading",),
    "weigh": ("reduce", "grey"),
    "chain": ("network",),
    "dots": ("mac",),
    "steps": ("mac", "digits"),
    "window": ("window", "raster"),
}
"""Modules whose tests are not, or not only, those of the same name."""
PROVED_FIRST = ("residual",)
"""Modules whose own tests take longer than the quick proofs."""
PROFILE = "unshrunk"
"""Of Hypothesis, as tests/conftest.py has it."""
PROOFS = ("tests/test_sim_prove.py", "-k", "stages_hold")
EXAMPLES = """examples:
  python -m benchmarks.mutations                  every mutant, minutes
  python -m benchmarks.mutations --only products.mac  those of a module
  python -m benchmarks.mutations --json out.json  the table as JSON as well

A mutant meets the tests of its module first, then the quick proofs (before them where those tests are slow),
then all fast tests of hdl. What kills a mutant must pass without it. If less than 95 % are killed the exit
status is 1; survivors are listed. The working tree is not touched.
"""


@dataclass(frozen=True)
class Row:
    """What became of a mutant.

    Parameters
    ----------
    fault : Fault
    killer : str
        What noticed it: ``tests``, ``proofs``, ``all tests``, or nothing.
    seconds : float
    """

    fault: Fault
    killer: str
    seconds: float

    def described(self) -> dict:
        """What JSON says of it."""
        return {
            "module": f"hdl/{self.fault.path}",
            "meaning": self.fault.meaning,
            "old": self.fault.old,
            "new": self.fault.new,
            "killed_by": self.killer or None,
            "seconds": round(self.seconds, 1),
        }


def mutations() -> list[Fault]:
    """The faults of the proofs and those of this list, each once."""
    rows = [fault for path in (OWN, TABLES) for group in read(path).values() for _, fault in group]
    return list({(fault.module, fault.old, fault.new): fault for fault in rows}.values())


def suites(module: str, tree: Path) -> list[tuple[str, list[str]]]:
    """What a mutant of a module meets, in order: a name and what to give to pytest."""
    name = module.rpartition(".")[2]
    names = COVERING.get(name, (name,))
    own = [f"tests/test_hdl_{name}.py" for name in names if (tree / f"tests/test_hdl_{name}.py").is_file()]
    rest = sorted(str(path.relative_to(tree)) for path in tree.glob("tests/test_hdl_*.py"))
    first = [("tests", own), ("proofs", list(PROOFS))]
    return [
        *(reversed(first) if name in PROVED_FIRST else first),
        ("all tests", [path for path in rest if path not in own]),
    ]


def killer(fault: Fault, tree: Path, sound: set[tuple[str, ...]]) -> str:
    """The suite that notices a fault, put into a tree for a while; empty if none does.

    Parameters
    ----------
    fault : Fault
    tree : Path
    sound : set of tuple of str
        What was given to pytest and passes without a fault. It grows: a suite that notices a fault for the
        first time must pass without it.

    Raises
    ------
    ValueError
        If the fault no longer fits, or the mutant cannot even be collected.
    Failure
        If a suite fails without a fault.
    """
    path = tree / "hdl" / fault.path
    healthy = path.read_text(encoding="utf-8")
    path.write_text(fault.applied(healthy), encoding="utf-8")
    try:
        noticed = next(
            (suite for suite in suites(fault.module, tree) if suite[1] and fails(suite[1], tree)), None
        )
    finally:
        path.write_text(healthy, encoding="utf-8")
    if noticed is None:
        return ""
    name, files = noticed
    if tuple(files) not in sound:
        if fails(files, tree):
            raise cli.Failure(f"{' '.join(files)}: fails without a bug")
        sound.add(tuple(files))
    return name


def fails(files: list[str], tree: Path) -> bool:
    """Whether some tests notice."""
    # Compiled files are told apart by their second and size, which a mutant may share.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--hypothesis-profile={PROFILE}",
        *files,
    ]
    try:
        result = subprocess.run(
            command,
            cwd=tree,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    if result.returncode not in (0, 1):
        raise ValueError(f"{' '.join(files)}: pytest ends with {result.returncode}: {result.stdout[-300:]}")
    return result.returncode == 1


def copy(folder: str) -> Path:
    """A copy of the tree."""
    tree = Path(folder)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
        else:
            shutil.copy(source, tree / name)
    return tree


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m benchmarks.mutations", description=__doc__, epilog=EXAMPLES)
    options.add_argument("--only", metavar="MODULE", default="", help="mutants of this module of hdl")
    options.add_argument("--jobs", type=cli.positive, default=2, metavar="N", help="mutants side by side (2)")
    options.add_argument("--json", metavar="FILE", help="also write the table as JSON")
    return options


def main(argv: list[str]) -> None:
    """The command."""
    options = parser().parse_args(argv)
    check_writable(options.json)
    faults = [fault for fault in mutations() if options.only in ("", fault.module)]
    if not faults:
        raise ValueError(f"--only {options.only!r}: no mutant is of that module")
    for fault in faults:
        fault.applied((ROOT / "hdl" / fault.path).read_text(encoding="utf-8"))
    rows = run(faults, options.jobs)
    survivors = [row for row in rows if not row.killer]
    share = 1 - len(survivors) / len(rows)
    cli.console().print(table(rows))
    print(f"{len(rows) - len(survivors)} of {len(rows)} mutants killed, {share:.1%}")
    cli.write_json(
        options.json,
        {"rows": [row.described() for row in rows], "mutants": len(rows), "killed_share": round(share, 4)},
    )
    if share < SHARE:
        raise cli.Failure(
            f"{len(survivors)} of {len(rows)} mutants survive, first: {survivors[0].fault.meaning}"
        )


def run(faults: list[Fault], jobs: int) -> list[Row]:
    """What becomes of each, in as many copies of the tree as there are jobs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        cli.progress() as progress,
        ThreadPoolExecutor(jobs) as pool,
    ):
        task = progress.add_task("mutants", total=len(faults), note="")
        trees: SimpleQueue[Path] = SimpleQueue()
        sound: set[tuple[str, ...]] = set()
        for number in range(jobs):
            trees.put(copy(f"{folder}/{number}"))

        def judge(fault: Fault) -> Row:
            tree, started = trees.get(), time.monotonic()
            try:
                row = Row(fault, killer(fault, tree, sound), time.monotonic() - started)
            finally:
                trees.put(tree)
                progress.advance(task)
            # A run takes long: what it finds is told at once.
            fate = f"{row.killer or 'SURVIVES'}, {row.seconds:.0f} s"
            progress.console.print(f"{fault.module}: {fault.meaning}: {fate}", highlight=False)
            return row

        return list(pool.map(judge, faults))


def table(rows: list[Row]) -> Table:
    """The rows for people."""
    made = Table(title="mutants of hdl")
    for heading in ("module", "what it stands for", "killed by", "seconds"):
        made.add_column(heading, justify="right" if heading == "seconds" else "left")
    for row in sorted(rows, key=lambda row: bool(row.killer)):
        made.add_row(row.fault.module, row.fault.meaning, row.killer or "NOTHING", f"{row.seconds:.1f}")
    return made


if __name__ == "__main__":
    sys.exit(cli.run(main))
