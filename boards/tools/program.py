"""Loads bitstreams into boards, with the program that each board takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from amaranth._toolchain import tool_env_var

from boards.catalogue.board import Target
from model.cli import Failure

SOURCES = {
    "openFPGALoader": "https://trabucayre.github.io/openFPGALoader",
    "dfu-util": "https://dfu-util.sourceforge.net",
    "iceprog": "https://github.com/YosysHQ/icestorm",
    "icesprog": "https://github.com/wuxx/icesugar",
}
ABSENT = re.compile(
    r"no (such |dfu capable |usb )*device|not found|unable to open|can('t|not) (find|open)|fail(ed)? to open",
    re.IGNORECASE,
)
"""What programs say when no board answers."""


def command(target: Target, *, keep: bool) -> list[str]:
    """The command that a bitstream is put behind.

    Parameters
    ----------
    target : Target
    keep : bool
        Whether the board is to have the bitstream after the power was off too.

    Raises
    ------
    ValueError
        If the board's program is missing or not known, or the board cannot keep anything.
    """
    option = "--flash" if keep else "--program"
    programmer = target.programmer
    words = programmer.flash if keep else programmer.load or programmer.flash
    if words is None:
        raise ValueError(f"{option}: {target.name} names no command for it")
    tool, *arguments = words
    named = os.environ.get(tool_env_var(tool), tool)
    found = shutil.which(named)
    if found is None:
        where = f": see {SOURCES[tool]}" if tool in SOURCES else ""
        raise ValueError(f"{option} needs {named}, which is not installed{where}")
    return [found, *arguments]


def load(words: list[str], bitstream: Path, target: Target) -> None:
    """Put a bitstream into the board.

    Raises
    ------
    Failure
        If that fails, with the last line of what the program said.
    """
    result = subprocess.run(
        [*words, str(bitstream)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if result.returncode:
        said = result.stderr.strip() or result.stdout.strip()
        last = said.splitlines()[-1] if said else f"exit status {result.returncode}"
        hint = f"; is the {target.name} plugged in, and may you use it?" if ABSENT.search(said) else ""
        raise Failure(f"{Path(words[0]).name} failed: {last}{hint}")
    print(f"{bitstream} is in the board")
