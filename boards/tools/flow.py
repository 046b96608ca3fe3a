"""The open tools, one after another in a folder: from Amaranth's build plan to a bitstream."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from amaranth._toolchain import tool_env_var

from boards.catalogue.toolchains import REPORT, Tool, Toolchain
from boards.shell.design import Design
from model.cli import Failure
from sim.simulators import process, ready, tools
from sim.simulators.build import FOLDER as SIMULATORS

LOGS = "logs"
"""Folder of what the tools said, below that of the build."""
FULL_BYTES = 1 << 20
"""Less free space than this is a full disk: the smallest of the tools' files is larger."""


class Flow:
    """A build in a folder.

    Parameters
    ----------
    design : Design
    seed : int
        Of placement.
    logs : Path
        Where the user will find what the tools said.

    Attributes
    ----------
    files : dict of bytes
        Inputs of the tools by name.
    commands : list of (Tool, list of str)
        What to run, and with which arguments.
    versions : dict of str
        Of the tools, by name.
    seconds : dict of float
        Wall-clock time of each step.
    """

    def __init__(self, design: Design, seed: int, logs: Path):
        self.logs = logs
        self.seconds: dict[str, float] = {}
        toolchain = design.target.tools
        self.versions = {tool.name: version(tool) for tool in toolchain.tools.values()}
        with self.timed("elaborate"):
            plan = design.prepare(**toolchain.options(float(design.pll.output_mhz), seed))
        self.files = {
            name: content if isinstance(content, bytes) else content.encode()
            for name, content in plan.files.items()
        }
        self.commands = commands_of(self.files, toolchain)

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the bitstream: the tools' inputs, arguments and versions."""
        parts = [
            {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()},
            [[tool.name, *arguments] for tool, arguments in self.commands],
            self.versions,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Counts the time of a step."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 2)

    def write(self, folder: Path) -> None:
        """Write the tools' inputs."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    def execute(self, folder: Path, tool: Tool, arguments: list[str]) -> None:
        """Run one tool.

        Parameters
        ----------
        folder : Path
            The tools work in it, and see only relative names: those that are WebAssembly may see no others.
        tool : Tool
        arguments : list of str

        Raises
        ------
        Failure
            If it fails; the message holds its first error.
        """
        log = folder / LOGS / f"{tool.step}.log"
        log.parent.mkdir(exist_ok=True)
        with self.timed(tool.step), open(log, "wb") as file:
            result = process.run([program(tool), *arguments], folder, stdout=file)
        if result.returncode and shutil.disk_usage(folder).free < FULL_BYTES:
            raise Failure(f"{tool.step} failed: no space left on the disk of {folder.parent}")
        # most of it goes to a file of the tool's own
        own = [folder / after for option, after in pairwise(arguments) if option in ("-l", "--log")]
        with open(log, "ab") as file:
            for path in filter(Path.is_file, own):
                file.write(path.read_bytes())
        if result.returncode:
            raise Failure(
                f"{tool.step} failed: {first_error(log)} (all that {tool.name} said: {self.logs / log.name})"
            )


def commands_of(files: dict[str, bytes], toolchain: Toolchain) -> list[tuple[Tool, list[str]]]:
    """What Amaranth wants to be run, as far as the toolchain knows it.

    A platform may ask for more, such as a suffix for its boot loader.
    """
    commands = json.loads(files["build_top.json"])["commands"]
    return [
        (toolchain.tools[name], rewritten(toolchain.tools[name], arguments))
        for name, *arguments in commands
        if name in toolchain.tools
    ]


def rewritten(tool: Tool, arguments: list[str]) -> list[str]:
    """Arguments as the tool of today takes them."""
    renamed, result = dict(tool.rewritten), []
    words = iter(arguments)
    for word in words:
        result += ["--vopt", renamed[word] + next(words)] if word in renamed else [word]
    return result


def routed(folder: Path) -> dict:
    """What nextpnr reported.

    Raises
    ------
    Failure
        If the report is missing or not whole.
    """
    try:
        return json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise Failure(f"place_and_route failed: nextpnr left no whole {REPORT}") from None


def check_tools(toolchain: Toolchain) -> None:
    """Raise a ValueError if a tool of the build, or of the simulation that measures, is missing or broken."""
    for tool in toolchain.tools.values():
        tools.check_wasm(program(tool))
    ready.check(SIMULATORS.resolve())


def program(tool: Tool) -> str:
    """The program of a tool: what its environment variable names, PyPI's, or the system's.

    Raises
    ------
    ValueError
        If there is none.
    """
    variable = tool_env_var(tool.name)
    named = os.environ.get(variable)
    found = shutil.which(named) if named else packaged(tool) or shutil.which(tool.name)
    if found is None:
        if named:
            raise ValueError(f"{variable} names {named!r}, which is no program")
        raise ValueError(f"{tool.name} is missing: python -m pip install {tool.package}")
    return found


def packaged(tool: Tool) -> str | None:
    """The program of a tool that comes from PyPI."""
    return tools.script(f"yowasp-{tool.name}") or tools.script(tool.name)


def version(tool: Tool) -> str:
    """The version of a tool's program: its package's, or what it says itself."""
    found = program(tool)
    if found == packaged(tool):
        try:
            return f"{tool.package} {importlib.metadata.version(tool.package)}"
        except importlib.metadata.PackageNotFoundError:
            pass  # on PATH, but not from PyPI
    said = process.run([found, "--version"], None)
    line = (said.stdout or said.stderr).strip().partition("\n")[0]
    # not all tools know the option: then the program itself tells one from another
    return line if line and not said.returncode else hashlib.sha256(Path(found).read_bytes()).hexdigest()


def first_error(log: Path) -> str:
    """The first line of a log that speaks of an error, or its last line."""
    lines = [
        line.strip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    errors = [line for line in lines if "ERROR" in line] or [line for line in lines if "rror" in line]
    return (errors or lines[-1:] or ["it said nothing"])[0][:300]
