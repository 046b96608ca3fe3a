"""Compiles Verilog to a simulator program with Verilator and cocotb; what was compiled before is kept.

Not cocotb's build step: that one makes every signal public to Python, which halves the speed, and compiles
Verilator's run-time sources anew for each design. Only Verilator and the C++ compiler run here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import cocotb
import cocotb_tools.config

from model.cli import Failure
from sim.simulators import process, ready, tools
from sim.simulators.cells import LIBRARY
from sim.simulators.store import kept

FOLDER = Path("build/sim")
"""Where compiled simulators are kept, below the working folder."""
ENTRIES = 200
"""As many simulators and netlists stay in a folder; a simulator takes a few megabytes."""
PROGRAM = "bench"
LIBRARIES, VERILATOR = "lib", "verilator"
"""Links to the folders of cocotb's libraries and of Verilator, beside what is compiled: so nothing depends on
what characters are in their own names."""
INCLUDES = f"{VERILATOR}/include"
ORIGIN = "@executable_path" if sys.platform == "darwin" else "$ORIGIN"
"""What linkers call the folder of a program."""
MAIN = Path(__file__).with_name("main.cpp")
RUNTIME = ("verilated", "verilated_vpi", "verilated_threads")
"""Verilator's run-time sources that every simulator is linked with."""
LINT = ("-Wno-lint", "-Wno-style", "-Wno-ALWNEVER", "-Wno-SPECIFYIGN", "-Wno-fatal")
"""Amaranth's Verilog leaves widths to the language; what matters here are errors."""
FEATURES = ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_VCD", "TRACE_SAIF")


def simulator() -> str:
    """Name and version of what simulates, for reports."""
    return f"Verilator {tools.verilator().version}, cocotb {cocotb.__version__}"


def build(sources: dict[str, str], parameters: dict[str, int], folder=FOLDER, main: Path = MAIN) -> Path:
    """A simulator program of the module ``bench``.

    Parameters
    ----------
    sources : dict of str
        Verilog texts by file name.
    parameters : dict of int
        Of the module ``bench``.
    folder : path
        Compiled programs are kept in it, each under the digest of all that went into it; several processes
        may share it.
    main : Path
        The main program in C++. The one by default brings cocotb; any other does without.

    Returns
    -------
    Path
        The folder of the program `PROGRAM`.

    Raises
    ------
    ValueError
        If a tool is missing.
    Failure
        If Verilator or the compiler refuse the sources: a bug of what wrote them.
    """
    folder = Path(folder).resolve()
    ready.check(folder)
    runtime = kept(folder / f"runtime-{digest(toolchain())}", compile_runtime)
    names = digest([toolchain(), sources, parameters, main.read_text(encoding="utf-8")])

    def compile_design(target: Path) -> None:
        for name, text in sources.items():
            (target / name).write_text(text, encoding="utf-8")
        verilate(target, list(sources), parameters, main == MAIN)
        link(target, compile_units(target, main), runtime, main == MAIN)

    return kept(folder / names, compile_design, ENTRIES)


def toolchain() -> list[str]:
    """Whatever decides what a compiler makes of the same text."""
    return [
        str(tools.verilator()),
        *tools.compiler(),
        tools.compiler_version(),
        str(cocotb_tools.config.libs_dir),
    ]


def digest(inputs) -> str:
    """Short digest of anything that JSON holds."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def verilate(target: Path, names: list[str], parameters: dict[str, int], vpi: bool) -> None:
    """Verilog to C++."""
    found = tools.verilator()
    (target / VERILATOR).symlink_to(found.root)
    execute(
        [
            found.program,
            *("--cc", "--no-timing", "-Mdir", ".", "--prefix", "Vtop", "--top-module", "bench"),
            *(["--vpi"] if vpi else []),
            *LINT,
            *(f"-G{name}={value}" for name, value in parameters.items()),
            *(word for name in names for word in (["-v"] if name == LIBRARY else []) + [name]),
        ],
        target,
        {"VERILATOR_ROOT": VERILATOR},
    )


def compile_runtime(target: Path) -> None:
    """Verilator's run-time sources to object files."""
    (target / VERILATOR).symlink_to(tools.verilator().root)
    include = target / INCLUDES
    compile_all(target, [(f"{name}.o", [include / f"{name}.cpp"], "-O2") for name in RUNTIME])
    (target / VERILATOR).unlink()


def compile_units(target: Path, main: Path) -> list[Path]:
    """The C++ of a design and the main program to object files, as many units as there are processors.

    What runs once (``Slow``) is not optimised. -O1 for the rest: -O2 takes longer and runs no faster.
    """
    slow = sorted(target.glob("Vtop*__Slow.cpp"))
    fast = sorted(set(target.glob("Vtop*.cpp")) - set(slow), key=lambda path: -path.stat().st_size)
    units = [(f"fast{start}.o", fast[start :: processors()], "-O1") for start in range(processors())]
    units = [*units, ("slow.o", slow, "-O0"), ("main.o", [Path(shutil.copy(main, target))], "-O1")]
    return compile_all(target, [unit for unit in units if unit[1]])


def compile_all(target: Path, units: list[tuple[str, list[Path], str]]) -> list[Path]:
    """Compile units (object file, sources, optimisation) side by side."""
    flags = [
        "-std=c++20",
        "-w",
        "-pthread",
        "-I.",
        f"-I{INCLUDES}",
        f"-I{INCLUDES}/vltstd",
        "-DVERILATOR=1",
    ]
    flags += [f"-DVM_{feature}=0" for feature in FEATURES]

    def compile_one(unit) -> Path:
        output, sources, optimise = unit
        together = target / f"{output}.cpp"
        # found in the folders above, whatever is in the names of theirs
        lines = "".join(f'#include "{source.name}"\n' for source in sources)
        together.write_text(lines, encoding="utf-8")
        execute([*tools.compiler(), optimise, *flags, "-c", together.name, "-o", output], target)
        return target / output

    with process.threads(processors()) as pool:
        return list(pool.map(compile_one, units))


def link(target: Path, objects: Iterable[Path], runtime: Path, vpi: bool) -> None:
    """Objects to the program; all else but the Verilog goes."""
    cocotb_side = []
    if vpi:
        (target / LIBRARIES).symlink_to(cocotb_tools.config.libs_dir)
        cocotb_side = [f"-L{LIBRARIES}", f"-Wl,-rpath,{ORIGIN}/{LIBRARIES}", "-lcocotbvpi_verilator"]
    execute(
        [
            *tools.compiler(),
            *(path.name for path in objects),
            *sorted(runtime.glob("*.o")),
            *("-pthread", *cocotb_side, "-o", PROGRAM),
        ],
        target,
    )
    for path in target.iterdir():
        if path.name not in (PROGRAM, LIBRARIES) and path.suffix not in (".v", ".sv"):
            path.unlink()


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute(command: list, folder: Path, environment: dict[str, str] | None = None) -> None:
    """Run a tool; Failure with its first error if it fails."""
    result = process.run(command, folder, environment=environment)
    if result.returncode:
        raise Failure(f"{Path(command[0]).name} failed: {process.first_complaint(result)}")
