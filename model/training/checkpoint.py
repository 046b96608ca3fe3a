"""Checkpoints: all that a run needs to go on bit for bit, in one file that is whole at any moment.

An ``.npz`` without pickles. Its member ``checkpoint.json`` (bytes as a uint8 array) holds ``{"format",
"run", "phases"}``: what decides the run's result, and for each training of the run, by its name, the values
that it had reached; its arrays are the members ``<name>/<array>``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.files import archive

FORMAT = 1
TEXT = "checkpoint.json"
MAX_BYTES = 1 << 32
"""Larger checkpoints are refused before they are unpacked."""


@dataclass
class State:
    """What a training had reached.

    Attributes
    ----------
    arrays : dict of str to ndarray
    values : dict
        As JSON can hold them.
    """

    arrays: dict[str, np.ndarray]
    values: dict


class Checkpoint:
    """The checkpoint of a run, which may be several trainings one after another.

    Parameters
    ----------
    path : Path
        The file; nothing is written before the first `Phase.save`.
    run : dict
        What decides the run's result, as JSON can hold it.
    every : float
        Seconds from one save to the next within an epoch.
    """

    def __init__(self, path: Path, run: dict, every: float = 10.0):
        self.path, self.every = path, every
        self.run = json.loads(json.dumps(run))  # tuples become the lists that a file gives back
        self.states: dict[str, State] = {}
        self.saved = time.monotonic()

    def load(self) -> None:
        """Take up what the file holds.

        Raises
        ------
        ValueError
            If it is damaged, no checkpoint, or of a run with another result; names the file, and the first
            difference.
        OSError
            If it cannot be read.
        """
        run, states = read(self.path)
        if problem := difference(run, self.run):
            raise ValueError(f"{self.path} is of another run: {problem} (without --resume a new run begins)")
        self.states = states

    def phase(self, name: str) -> Phase:
        """One training's part of it."""
        return Phase(self, name)

    def write(self) -> None:
        """Replace the file."""
        content = described(self.run, self.states)
        archive.write(self.path, TEXT, *content, again=lambda path: described(*read(path)), compress=False)
        self.saved = time.monotonic()

    def remove(self) -> None:
        """The run is done, and all that came of it is written."""
        self.path.unlink(missing_ok=True)


class Phase:
    """The part of a checkpoint that belongs to one training.

    Parameters
    ----------
    checkpoint : Checkpoint
    name : str
    """

    def __init__(self, checkpoint: Checkpoint, name: str):
        self.checkpoint, self.name = checkpoint, name

    @property
    def path(self) -> Path:
        """The file."""
        return self.checkpoint.path

    @property
    def due(self) -> bool:
        """Whether the last save was long enough ago."""
        return time.monotonic() - self.checkpoint.saved >= self.checkpoint.every

    def save(self, arrays: dict[str, np.ndarray], values: dict) -> None:
        """Replace the file by one with the training's new state; the arrays are copied."""
        copies = {key: array.copy() for key, array in arrays.items()}
        self.checkpoint.states[self.name] = State(copies, values)
        self.checkpoint.write()

    def restore(self, arrays: dict[str, np.ndarray]) -> dict | None:
        """Copy the saved arrays into these, and give the saved values; None if nothing was saved.

        Raises
        ------
        ValueError
            If the arrays are not the same ones, of the same shapes and types; names the file.
        """
        state = self.checkpoint.states.get(self.name)
        if state is None:
            return None
        for key in sorted(arrays.keys() | state.arrays.keys()):
            here, saved = (
                f"{a[key].dtype} {a[key].shape}" if key in a else "missing" for a in (arrays, state.arrays)
            )
            if here != saved:
                raise ValueError(f"{self.path} does not fit: {key!r} is {saved}, not {here}")
        for key, array in arrays.items():
            array[...] = state.arrays[key]
        return state.values


def described(run: dict, states: dict[str, State]) -> tuple[dict, dict[str, np.ndarray]]:
    """A run and its states as a checkpoint file holds them: its text and its arrays."""
    phases = {name: state.values for name, state in states.items()}
    arrays = {f"{name}/{key}": array for name, state in states.items() for key, array in state.arrays.items()}
    return {"format": FORMAT, "run": run, "phases": phases}, arrays


def read(path: Path) -> tuple[dict, dict[str, State]]:
    """The run and the states that a checkpoint file holds."""
    with archive.reading(path, TEXT, MAX_BYTES, "cannot resume from", "checkpoint") as (text, arrays):
        if text["format"] != FORMAT:
            raise ValueError(f"it has format {text['format']!r}, this version reads {FORMAT}")
        states = {name: State({}, dict(values)) for name, values in text["phases"].items()}
        for member in arrays.files:
            if member != TEXT:
                name, _, key = member.partition("/")
                states[name].arrays[key] = arrays[member]
        return dict(text["run"]), states


def difference(saved, here, name: str = "") -> str:
    """The first difference between two JSON values, in words; empty if there is none."""
    if isinstance(saved, dict) and isinstance(here, dict):
        found = (
            difference(saved.get(key), here.get(key), f"{name} {key}".strip())
            for key in sorted(saved.keys() | here.keys())
        )
        return next(filter(None, found), "")
    return "" if saved == here else f"its {name} is {brief(saved)}, not {brief(here)}"


def brief(value) -> str:
    """A JSON value, no longer than a message can bear."""
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of arrays with their types and shapes, as hexadecimal digits."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array))
    return total.hexdigest()
