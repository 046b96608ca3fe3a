"""A second simulator: the same Verilog through yosys' CXXRTL, with a bench of its own in C++."""

from __future__ import annotations

import json
import os
from concurrent.futures import wait
from pathlib import Path

from model.cli import Failure
from sim.simulators import process, ready, tools
from sim.simulators.build import ENTRIES, FOLDER, PROGRAM, digest, execute
from sim.simulators.store import kept

MAIN = Path(__file__).with_name("cxxrtl.cpp")
SCRIPT = """read_verilog {files}
hierarchy -top top
write_cxxrtl -O6 -g3 top.cpp
"""
INCLUDE = "include/backends/cxxrtl/runtime"
"""Folder of the run-time sources, below yosys' own."""


def simulator() -> str:
    """Name and version of what simulates, for reports."""
    tools.use_yosys()
    return f"CXXRTL of {tools.yosys_version().partition(' (')[0]}"


def build(sources: dict[str, str], folder=FOLDER) -> Path:
    """A simulator program of the module ``top``; as `sim.simulators.build.build`.

    Parameters
    ----------
    sources : dict of str
        Verilog texts by file name.
    folder : path
    """
    tools.use_yosys()
    folder = Path(folder).resolve()
    ready.check(folder)
    names = digest(
        [tools.yosys_version(), tools.compiler_version(), sources, MAIN.read_text(encoding="utf-8"), SCRIPT]
    )

    def compile_design(target: Path) -> None:
        for name, text in sources.items():
            (target / name).write_text(text, encoding="utf-8")
        (target / "top.ys").write_text(SCRIPT.format(files=" ".join(sources)), encoding="utf-8")
        execute([os.environ["YOSYS"], "-q", "top.ys"], target)
        include = tools.yosys_share() / INCLUDE
        options = ["-std=c++17", "-O1", "-w", f"-I{include}", "-I."]
        execute([*tools.compiler(), *options, MAIN, "-o", PROGRAM], target)
        for path in target.iterdir():
            if path.name != PROGRAM:
                path.unlink()

    return kept(folder / f"cxxrtl-{names}", compile_design, ENTRIES)


def simulate(
    program: Path, folder: Path, settings: dict, row_chars: int, progress, others: dict[str, int]
) -> dict[str, int]:
    """One run of a compiled bench; returns its counters, as `sim.bench.bench.simulate` does.

    Parameters
    ----------
    program, folder : Path
    settings : dict
        What bench.sv takes, and the widths of both payloads.
    row_chars : int
        Characters of one output beat in the file.
    progress : callable or None
    others : dict of int
        Widths of the component's further outputs.
    """
    settings = settings | {"result": folder / "result.json"} | {f"other_{name}": "" for name in others}
    command = [str(program / PROGRAM), *(f"+{name}={value}" for name, value in settings.items())]
    with process.threads(1) as pool:
        running = pool.submit(process.run, command, folder)
        while not wait([running], timeout=0.2).done:
            if progress is not None and settings["out"].is_file():
                progress(settings["out"].stat().st_size // row_chars)
        result = running.result()
    if result.returncode:
        raise Failure(f"the simulator failed: {process.last_words(result)}")
    counters = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    together, offset = 0, 0
    for name, width in others.items():
        together |= int(counters[f"other_{name}"], 16) << offset
        offset += width
    return counters | {"others": together}
