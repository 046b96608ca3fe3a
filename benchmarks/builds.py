"""``python -m benchmarks.builds``: the processor time of each board's default build, step by step."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.table import Table

from boards.catalogue import targets
from boards.catalogue.listing import SECONDS
from model import cli
from model.files.whole import replacing

LIMITS = {"ecp5": 8, "ice40": 4, "gowin": 4}
"""Minutes that a family's build may take."""
EXAMPLES = """\
examples:
  python -m benchmarks.builds                     all boards, for an hour or so
  python -m benchmarks.builds icebreaker ulx3s    some of them
  python -m benchmarks.builds --write             and what `boards.build --list` says of them

exit status: 0 if every build works within its limit, else 1
"""


def main(argv: list[str]) -> None:
    """The command."""
    options = parser().parse_args(argv)
    names = [targets.find(name).name for name in options.boards] or list(targets.TARGETS)
    rows = []
    with cli.progress() as progress:
        task = progress.add_task("building", total=len(names), note="")
        for name in names:
            progress.update(task, note=name)
            rows.append(measured(name))
            progress.advance(task)
    cli.console().print(table(rows))
    cli.write_json(options.json, {"boards": rows})
    if options.write:
        found = json.loads(SECONDS.read_text(encoding="utf-8")) if SECONDS.is_file() else {}
        found |= {row["board"]: row["seconds"] for row in rows if row["built"]}
        with replacing(SECONDS, "w") as file:
            json.dump({name: found[name] for name in targets.TARGETS if name in found}, file, indent=1)
            file.write("\n")
    if slow := [row["board"] for row in rows if not row["built"] or row["seconds"] > 60 * row["limit"]]:
        raise cli.Failure(f"not built within their limits: {', '.join(slow)}")


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m benchmarks.builds", description=__doc__, epilog=EXAMPLES)
    options.add_argument("boards", metavar="BOARD", nargs="*", help="boards (all of them)")
    options.add_argument("--write", action="store_true", help="keep the times where --list finds them")
    options.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    return options


def measured(name: str) -> dict:
    """One board's build, made anew."""
    target = targets.find(name)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        words = [sys.executable, "-m", "boards.build", name, "--force", "--out", folder]
        words += ["--json", str(report)]
        before = spent()
        ended = subprocess.run(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
        seconds = round(spent() - before)
        found = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    return {
        "board": name,
        "net": target.net,
        "built": not ended.returncode,
        "seconds": seconds,
        "limit": LIMITS[target.family.name.split()[0]],
        "steps": {step: round(took) for step, took in found.get("seconds", {}).items()},
        "clock_mhz": found.get("clock", {}).get("target_mhz"),
        "fmax_mhz": found.get("clock", {}).get("fmax_mhz"),
        "said": ended.stderr.strip().splitlines()[-1:] if ended.returncode else [],
    }


def spent() -> float:
    """Processor seconds of the processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def table(rows: list[dict]) -> Table:
    """The builds for people."""
    result = Table()
    for head in ("board", "net", "processor minutes", "at most", "placed and routed, s", "MHz", "possible"):
        result.add_column(head, justify="left" if head in ("board", "net") else "right")
    for row in rows:
        result.add_row(
            row["board"],
            row["net"],
            f"{row['seconds'] / 60:.1f}" if row["built"] else "failed",
            str(row["limit"]),
            str(row["steps"].get("place_and_route", "")),
            *(f"{row[key]:g}" if row[key] else "" for key in ("clock_mhz", "fmax_mhz")),
        )
    return result


if __name__ == "__main__":
    sys.exit(cli.run(main))
