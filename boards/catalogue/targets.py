"""The boards that come with the project."""

from __future__ import annotations

import difflib

from boards.catalogue import ecp5 as ecp5_boards
from boards.catalogue import gowin as gowin_boards
from boards.catalogue import ice40 as ice40_boards
from boards.catalogue.board import Target
from hdl.devices.chips import ALIASES, BOARDS

FOUND = {
    target.name: target for target in (*ecp5_boards.TARGETS, *ice40_boards.TARGETS, *gowin_boards.TARGETS)
}
TARGETS = {name: FOUND[name] for name in BOARDS}
"""By name, in the order of `hdl.devices.chips`, which knows what chip each carries."""


def names() -> list[str]:
    """What a user may call the boards."""
    return [*ALIASES, *TARGETS]


def find(name: str) -> Target:
    """The board of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists the known ones.
    """
    name = str(name).lower()
    target = TARGETS.get(ALIASES.get(name, name))
    if target is None:
        near = difflib.get_close_matches(name, names(), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"unknown board {name!r}{hint}; the known ones are {', '.join(names())}")
    return target
