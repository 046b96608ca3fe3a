"""A user's own board: a platform in a file of his, such as ``my_board.py:MyPlatform``."""

from __future__ import annotations

import gc
import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from amaranth.build import Platform
from amaranth.hdl import UnusedElaboratable

from boards.catalogue import toolchains
from boards.catalogue.board import Pin, Programmer, Target, chip_name
from hdl.devices.chips import CHIPS

SETTINGS = "convgate"
"""The platform's attribute that says more of the board, a dict; all of it may be missing."""
KINDS = {
    "name": str,
    "oscillator": str,
    "clock_mhz": (int, float),
    "baud": int,
    "max_baud": int,
    "uart": str,
    "lights": (list, tuple),
    "reset": str,
    "high": (list, tuple),
    "load": (list, tuple),
    "flash": (list, tuple),
    "pll_pin": bool,
    "net": str,
}
"""What the dict may hold."""
NAME_LENGTH = 16
"""Of a board, in the protocol's identify answer."""


def is_own(board: str) -> bool:
    """Whether a user means a board of his own."""
    return ".py" in Path(parts(board)[0]).suffix


def parts(board: str) -> tuple[str, str]:
    """File and class of ``FILE.py:CLASS``; the file's own path may hold colons."""
    path, colon, wanted = board.rpartition(":")
    named = colon and not {"/", "\\"} & set(wanted) and ".py" in Path(path).suffix
    return (path, wanted) if named else (board, "")


def find(board: str, trial: Callable[[Target], object]) -> Target:
    """The board of a file's platform.

    Parameters
    ----------
    board : str
        ``FILE.py:CLASS``; the class may be left out if the file defines one platform.
    trial : callable
        Makes something of the board that needs its pins and its clock, such as `boards.shell.trial.trial`.

    Raises
    ------
    ValueError
        If the file cannot be imported, or its platform is not one that can be built for.
    """
    path, wanted = parts(board)
    module = imported(Path(path))
    found = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Platform) and value.__module__ == module.__name__
    }
    if wanted not in found and (wanted or len(found) != 1):
        have = f"its platforms are {', '.join(found)}" if found else "it defines no platform"
        raise ValueError(f"{path}: " + (f"no platform {wanted!r}: {have}" if wanted else f"name one: {have}"))
    base = found[wanted] if wanted else next(iter(found.values()))
    with warnings.catch_warnings():
        # what an error keeps from being elaborated is not worth a warning of its own
        warnings.simplefilter("ignore", UnusedElaboratable)
        try:
            target = checked(target_of(base))
            trial(target)
            return target
        except Exception as error:  # of the user's code, or of Amaranth about it
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            problem = f"{path}: {base.__name__}: {kind}{error}"
        gc.collect()
    raise ValueError(problem)


def imported(path: Path):
    """The module of a user's file, with its folder in reach of its imports.

    Raises
    ------
    ValueError
        If that fails.
    """
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    spec = importlib.util.spec_from_file_location(f"own_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == spec.origin]
        where = f", line {lines[-1]}" if lines else ""
        raise ValueError(f"{path}{where}: {type(error).__name__}: {error}") from None
    finally:
        sys.path.pop(0)
    return module


def target_of(base: type) -> Target:
    """A platform as a board: what it does not say is what boards usually have."""
    settings = checked_settings(getattr(base, SETTINGS, {}))
    toolchain, chip = toolchains.of(base), chip_name(base)
    if chip not in CHIPS:
        raise ValueError(f"chip {chip!r} is not known: {', '.join(CHIPS)} are")
    platform = base()
    oscillator = settings.get("oscillator", base.default_clk)
    if oscillator is None:
        raise ValueError("it has no default_clk: name the clock's resource as 'oscillator'")
    clock = platform.lookup(oscillator).clock
    if clock is None:
        raise ValueError(f"resource {oscillator!r} has no Clock(...), so its frequency is not known")
    reset = settings.get("reset", base.default_rst)
    limits = {key: settings[key] for key in ("baud", "max_baud") if key in settings}
    if "baud" in limits:
        limits.setdefault("max_baud", max(limits["baud"], Target.max_baud))
    return Target(
        name=settings.get("name", named(base)),
        base=base,
        chip=CHIPS[chip],
        oscillator=oscillator,
        oscillator_mhz=clock.frequency / 1e6,
        clock_mhz=settings.get("clock_mhz", toolchain.clock_mhz),
        uart=pin(settings.get("uart", "uart")),
        lights=tuple(map(pin, settings["lights"])) if "lights" in settings else lights(platform),
        reset=None if reset is None else pin(reset),
        programmer=Programmer(**{key: tuple(settings[key]) for key in ("load", "flash") if key in settings}),
        net=settings.get("net", "tiny"),
        high=tuple(map(pin, settings.get("high", ()))),
        pll_pin=settings.get("pll_pin", False),
        **limits,
    )


def checked_settings(settings) -> dict:
    """The settings, with keys and kinds that are known.

    Raises
    ------
    ValueError
        If they are not.
    """
    if not isinstance(settings, dict):
        raise ValueError(f"{SETTINGS} is a dict, not {settings!r}")
    for key, value in settings.items():
        if key not in KINDS:
            raise ValueError(f"{SETTINGS} has no {key!r}: it may have {', '.join(KINDS)}")
        good = isinstance(value, KINDS[key]) and isinstance(value, bool) == (KINDS[key] is bool)
        words = all(isinstance(word, str) for word in value) if isinstance(value, (list, tuple)) else True
        if not good or not words:
            raise ValueError(f"{SETTINGS}[{key!r}] cannot be {value!r}")
    return settings


def named(base: type) -> str:
    """What the board is called if it does not say it."""
    words = re.sub("[^a-z0-9]+", "-", base.__name__.lower().removesuffix("platform")).strip("-")
    return words[:NAME_LENGTH] or "board"


def pin(text: str) -> Pin:
    """A pin from what a user writes: ``led``, ``led 1`` or ``rgb_led 0 r``."""
    resource, *rest = text.split()
    if len(rest) > 2 or (rest and not rest[0].isdecimal()):
        raise ValueError(f"a pin is 'resource', 'resource number' or 'resource number part', not {text!r}")
    return Pin(resource, *map(int, rest[:1]), *rest[1:])


def lights(platform: Platform) -> tuple[Pin, ...]:
    """The resources ``led`` of a platform, from 0 on."""
    found = []
    while ("led", len(found)) in platform.resources:
        found.append(Pin("led", len(found)))
    return tuple(found)


def checked(target: Target) -> Target:
    """A board whose name and serial pins are as they have to be.

    Raises
    ------
    ValueError
        If they are not.
    """
    if not re.fullmatch(f"[!-~]{{1,{NAME_LENGTH}}}", target.name) or {"/", "\\"} & set(target.name):
        raise ValueError(f"name {target.name!r} is not 1 to {NAME_LENGTH} letters, digits and hyphens")
    for part in ("rx", "tx"):
        target.ends(target.uart._replace(part=part))
    return target
