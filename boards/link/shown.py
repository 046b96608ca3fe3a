"""What a board says, for people: who it is, scores as bars, confusions, rates."""

from __future__ import annotations

import numpy as np
from rich import box
from rich.bar import Bar
from rich.console import Group
from rich.table import Table
from rich.text import Text

from boards.link.client import Board, Rate
from boards.link.protocol import Identity, Result
from model.files import values

BAR = 40
"""Columns of the longest bar."""
LARGEST = 16
"""Classes up to which a confusion matrix is printed whole."""


def described(board: Board) -> str:
    """Who has answered."""
    identity = board.identity
    return (
        f"{identity.net} on {identity.board}: images of {' x '.join(map(str, identity.shape))},"
        f" {answered(identity)}, core at {identity.clock_hz / 1e6:g} MHz, build {identity.build.hex()}"
        f"\n{board.name} at {board.baud:,} baud"
    )


def answered(identity: Identity) -> str:
    """What a board answers to an image."""
    if identity.classes:
        return f"{identity.classes} classes"
    return f"{' x '.join(map(str, identity.values))} values"


def scores(path, result: Result, identity: Identity) -> Group | Text:
    """An answer, and its scores as bars, from the smallest to the largest; of values their ends."""
    microseconds = 1e6 * result.cycles / identity.clock_hz
    if result.cls is None:
        found = ", ".join(map(" ".join, zip(values.ENDS, values.ends(result.logits, identity.logit))))
        return Text(
            f"{path}: {answered(identity)}, {found}, {result.cycles:,} cycles,"
            f" {microseconds:,.1f} microseconds"
        )
    title = f"{path}: class {result.cls}, {result.cycles:,} cycles, {microseconds:,.1f} microseconds"
    table = Table(show_header=False, box=None)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(width=BAR)
    logits = [identity.logit.real(logit) for logit in result.logits]
    low, span = min(logits), (max(logits) - min(logits)) or 1
    for index, value in enumerate(logits):
        chosen = index == result.cls
        bar = Bar(span, 0, value - low, width=BAR, color="green" if chosen else "blue")
        table.add_row(f"{index}", f"{value:.3f}", bar, style="bold" if chosen else None)
    return Group(Text(title, "bold"), table)


def confused(confusion: np.ndarray) -> Group:
    """Which classes (rows) were taken for which (columns); of many classes only what was wrong most often."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    if len(confusion) <= LARGEST:
        for name in ("", *map(str, range(confusion.shape[1]))):
            table.add_column(name, justify="right")
        for index, row in enumerate(confusion):
            cells = [
                Text(
                    str(count) if count else "·",
                    "bold green" if index == column else "red" if count else "dim",
                )
                for column, count in enumerate(row)
            ]
            table.add_row(str(index), *cells)
        return Group("classes (down) and what they were taken for (across)", table)
    for name in ("class", "taken for", "times"):
        table.add_column(name, justify="right")
    wrong = confusion * (1 - np.eye(*confusion.shape, dtype=int))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:10]:
        index, column = np.unravel_index(place, wrong.shape)
        if wrong[index, column]:
            table.add_row(str(index), str(column), str(wrong[index, column]))
    return Group("what was taken for another class most often", table)


def rated(rate: Rate, identity: Identity) -> str:
    """The rate for people."""
    return (
        f"{rate.images_per_second:,.0f} images/s: one each {float(rate.cycles_per_image):,.10g} cycles of"
        f" {identity.clock_hz / 1e6:g} MHz (up to {rate.images:,} from the board's own memory)\n"
        f"{rate.latency_cycles:,} cycles, {1e6 * rate.latency_cycles / identity.clock_hz:,.1f} microseconds,"
        " from the first pixel of an image to its answer"
    )
