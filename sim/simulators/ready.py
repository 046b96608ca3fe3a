"""What a simulation needs of the machine, asked before the first minute of work goes into one."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import find_libpython

from sim.simulators import process, tools

PROBE = "#include <cstddef>\nint main() { std::size_t fine = 0; return int(fine); }\n"
"""A program that needs the compiler, its library and its headers."""


@functools.cache
def check(folder: Path) -> None:
    """Raise a ValueError if programs could not be compiled in a folder, run there, or run Python.

    Parameters
    ----------
    folder : Path
        Where simulators are to be kept; if it is missing, the one in which it will be is tried.
    """
    tools.verilator()
    libpython()
    place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    with tempfile.TemporaryDirectory(dir=place, prefix=".probe-") as name:
        source, program = Path(name, "probe.cpp"), Path(name, "probe")
        source.write_text(PROBE, encoding="utf-8")
        words = tools.compiler()
        result = process.run([*words, "-std=c++20", source.name, "-o", program.name], name)
        if result.returncode:
            raise ValueError(
                f"the C++ compiler {' '.join(words)} does not work: {process.first_complaint(result)};"
                " install g++ with the system's packages, or name another by CXX"
            )
        try:
            result = process.run([program], name)
        except OSError as error:
            raise ValueError(
                f"no program may be executed in {folder} ({error.strerror}), where simulators are compiled:"
                " work in a folder of another disk"
            ) from None
        if result.returncode:
            raise ValueError(
                f"what the C++ compiler {' '.join(words)} makes does not run: {process.last_words(result)}"
            )


@functools.cache
def libpython() -> Path:
    """Python's shared library, which the simulator loads: ``LIBPYTHON_LOC``, or the one of this Python.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = os.environ.get("LIBPYTHON_LOC") or find_libpython.find_libpython()
    if found is None or not Path(found).is_file():
        raise ValueError(
            f"this Python has no shared library{f' {found}' if found else ''}, which the simulator loads:"
            " install it with the system's packages (for example apt install libpython3-dev), take a Python"
            " that was configured with --enable-shared, or name it by LIBPYTHON_LOC"
        )
    return Path(found).resolve()
