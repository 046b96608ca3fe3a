"""Puts the products of a build into the user's folder, all or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from boards.tools import report as reports
from boards.tools.flow import LOGS
from hdl.folding.net import Plan

REPORTS = ("report.json", "report.md", "plan.json")
"""The first to go and the last to come is the one that programs read."""
STAGE = ".new."
"""How folders begin in which products wait; what is left of one was interrupted."""


def publish(entry: Path, out: Path, made: list[str], products: list[str], plan: Plan, result: dict) -> None:
    """Put products, plan, reports and logs in their place.

    All files are written under other names first, which is where a disk may be full. Then the report of the
    build before goes, the files take their places, and the new report comes last: a folder with a report
    holds what it tells of, whenever the process was killed.

    Parameters
    ----------
    entry : Path
        Folder of the tools' results.
    out : Path
    made : list of str
        Products there are.
    products : list of str
        Products that builds may have; what an older build left and this one has not goes.
    plan : Plan
    result : dict
        The report.
    """
    stage = staged(out)
    try:
        for name in made:
            shutil.copyfile(entry / name, stage / name)
        shutil.copytree(entry / LOGS, stage / LOGS)
        plan.save(stage / "plan.json")
        (stage / "report.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        (stage / "report.md").write_text(reports.markdown(result), encoding="utf-8")
        for name in REPORTS:
            (out / name).unlink(missing_ok=True)
        for name in products:
            if name in made:
                os.replace(stage / name, out / name)
            else:
                (out / name).unlink(missing_ok=True)
        replace_logs(stage, out)
        for name in reversed(REPORTS):
            os.replace(stage / name, out / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def publish_logs(folder: Path, out: Path) -> None:
    """Show the user the logs of a build that failed, and nothing else."""
    stage = staged(out)
    try:
        shutil.copytree(folder / LOGS, stage / LOGS)
        replace_logs(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def staged(out: Path) -> Path:
    """A new folder beside the products; those of interrupted builds go."""
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(f"{STAGE}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=out, prefix=STAGE))


def replace_logs(stage: Path, out: Path) -> None:
    """Put the logs in their place."""
    shutil.rmtree(out / LOGS, ignore_errors=True)
    os.replace(stage / LOGS, out / LOGS)
