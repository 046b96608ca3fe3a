"""What every ``python -m`` command shares: one-line errors, exit statuses, progress, JSON results."""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from model import signals
from model.files import streams
from model.files.whole import replacing

FILE_WIDTH = 200
"""Columns of a table that goes to a file or a pipe."""
LINE = 1000
"""Characters of an error, at most: it may quote what a file says, and that may be a megabyte."""


NAMES: dict[str, str] = {}
"""What the commands are called where they were not started as ``python -m``; see `call_as`."""


class Failure(Exception):
    """The work itself failed (a mismatch, a missed clock): exit status 1, with one line."""


def call_as(names: dict[str, str]) -> None:
    """Call commands by other names from now on, in help and errors.

    Parameters
    ----------
    names : dict of str
        Such as ``{"python -m model.train": "convgate train"}``.
    """
    NAMES.update(names)


def called(text: str) -> str:
    """A text with the commands' names as `call_as` wants them."""
    for name, other in NAMES.items():
        text = re.sub(rf"{re.escape(name)}(?![\w.])", other, text)
    return text


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, **kwargs):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        texts = {
            key: called(kwargs[key]) for key in ("prog", "usage", "description", "epilog") if key in kwargs
        }
        super().__init__(allow_abbrev=False, **kwargs | texts)

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (--help shows how)\n")


def natural(text: str) -> int:
    """An option's whole number from zero."""
    return whole(text, 0)


def positive(text: str) -> int:
    """An option's whole number from one."""
    return whole(text, 1)


def whole(text: str, least: int) -> int:
    """A number of at most nine digits, which every tool's range has room for."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to 999999999")
    return int(text)


def run(command: Callable[[list[str]], None], argv: list[str] | None = None) -> int:
    """Run a command and turn its exceptions into exit statuses.

    Parameters
    ----------
    command : callable
        Takes the arguments. Raises ValueError or OSError for bad input and `Failure` for failed work.
    argv : list of str, optional
        In place of ``sys.argv[1:]``.

    Returns
    -------
    int
        0 done, 1 the work failed, 2 bad input (options included), 130 interrupted, 143 terminated.
    """
    streams.take_all()
    with signals.heard():
        try:
            with warnings.catch_warnings():
                # NumPy's on numbers that are none: what they come to is told in a line of the command's own.
                warnings.simplefilter("ignore", RuntimeWarning)
                command(sys.argv[1:] if argv is None else argv)
        except Failure as error:
            return complain(error, 1)
        except (ValueError, OSError) as error:
            return complain(error, 2)
        except signals.Terminated:
            return complain("terminated", signals.TERMINATED)
        except KeyboardInterrupt:
            return complain("interrupted", signals.INTERRUPTED)
        except SystemExit as ended:  # the parser of options has said why
            return ended.code
    return 0


def complain(error, status: int) -> int:
    """Print an error as one line; returns the status."""
    text = called(" ".join(str(error).split())) or type(error).__name__
    if len(text) > LINE:
        text = f"{text[: LINE // 2]} ... {text[-LINE // 2 :]}"
    print("error:", text, file=sys.stderr)
    return status


def remark(text: str) -> None:
    """Print a line on stderr about work that goes on all the same."""
    print("note:", called(" ".join(text.split())), file=sys.stderr)


def console() -> Console:
    """Standard output for tables and lines: names and paths are printed as they are, and whole in a file."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console


def progress() -> Progress:
    """A progress bar on stderr that is silent where stderr is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


@contextmanager
def counted(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for what tells how many are done, and of how many."""
    with progress() as bar:
        task = None

        def tell(done: int, count: int) -> None:
            nonlocal task
            task = bar.add_task(text, total=count, note="") if task is None or done == 1 else task
            bar.update(task, completed=done)

        yield tell


def write_json(path, result: dict) -> None:
    """Write a machine-readable result, whole or not at all; nothing if `path` is None."""
    if path is not None:
        with replacing(path, "w") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
