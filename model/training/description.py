"""Nets as text: a TOML file of layers, a recipe and widths, read strictly and without running code.

A layer is its name where it needs nothing, ``"relu"``, and else a table whose key of that name holds the
first argument: ``{conv = 6, kernel = 5}``. Which names there are, `model.layers.LAYERS` says, and which
arguments, their constructors.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from model.files.typed import brief, made
from model.layers import LAYERS
from model.net.layer import Layer
from model.quantisation.widths import Widths
from model.training.recipe import Recipe
from model.training.tuning import Tuning

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 15
MAX_LAYERS = 256
CLASSES = "classes"
"""Stands in a description for the number of classes."""
TABLES = {"layers": list, "recipe": dict, "quantise": dict}
DEFAULTS = {"epochs": 15}
"""What the recipe of a description need not say."""


def parse(path: Path) -> dict:
    """A TOML file's document, with nothing in it but the tables that a net has.

    Raises
    ------
    ValueError
        If it is too large, no TOML, or has other tables; names the file.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"{path}: a net's description has at most {MAX_BYTES:,} bytes")
    try:
        document = tomllib.loads(text.decode())
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{path}: no TOML: {reason}") from None
    for key, value in document.items():
        if key not in TABLES:
            raise ValueError(f"{path}: unknown {brief(key)}; there are {', '.join(TABLES)}")
        if not isinstance(value, TABLES[key]):
            what = "a list of layers" if TABLES[key] is list else f"a table, [{key}]"
            raise ValueError(f"{path}: {key} is {what}, not {brief(value)}")
    if not document.get("layers"):
        raise ValueError(f"{path}: it has no layers; write layers = [...]")
    return document


def layers(document: dict, classes: int, where: str) -> list[Layer]:
    """New layers as a document describes them.

    Parameters
    ----------
    document : dict
        From `parse`.
    classes : int
        What the text ``"classes"`` stands for.
    where : str
        Begins every message.
    """
    try:
        return Reader(classes).layers(document["layers"], where)
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply") from None


def recipe(document: dict, where: str) -> Recipe:
    """How a document has its net trained."""
    return made(Recipe, {**DEFAULTS, **document.get("recipe", {})}, f"{where}: [recipe]")


def quantisation(document: dict, where: str) -> dict[str, Widths | Tuning]:
    """How a document has its net quantised: bits of weights and activations where it gives them, and how."""

    def given(
        weights: int | str = "",
        activations: int | str = "",
        epochs: int = 0,
        optimiser: str = "adam",
        rate: float | None = None,
        scales: str = "channel",
    ) -> dict[str, Widths | Tuning]:
        texts = {"weights": str(weights), "activations": str(activations)}
        bits = {key: Widths.parse(text) for key, text in texts.items() if text}
        return {**bits, "tuning": Tuning(epochs, optimiser, rate, scales)}

    return made(given, document.get("quantise", {}), f"{where}: [quantise]")


class Reader:
    """Makes layers of the entries of one description.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int):
        self.classes, self.count = classes, 0

    def layers(self, entries, where: str) -> list[Layer]:
        """A list of layers, or a branch of one."""
        if not isinstance(entries, list):
            raise ValueError(f"{where} is a list of layers, not {brief(entries)}")
        return [self.layer(entry, f"{where}: layer {index}") for index, entry in enumerate(entries, 1)]

    def layer(self, entry, where: str) -> Layer:
        """One layer."""
        self.count += 1
        if self.count > MAX_LAYERS:
            raise ValueError(f"{where}: a net's description has at most {MAX_LAYERS} layers")
        if not isinstance(entry, (str, dict)):
            raise ValueError(
                f'{where} is written like "relu" or {{conv = 6, kernel = 5}}, not {brief(entry)}'
            )
        kinds = [entry] if isinstance(entry, str) else [key for key in entry if key in LAYERS]
        if len(kinds) != 1 or kinds[0] not in LAYERS:
            raise ValueError(f"{where}: {brief(entry)} names no layer; there are {', '.join(LAYERS)}")
        kind = kinds[0]
        where, table = f"{where} ({kind})", {} if entry == kind else dict(entry)
        parameters = inspect.signature(LAYERS[kind]).parameters
        first = next(iter(parameters), None)
        if kind in table and first is None:
            raise ValueError(f'{where}: it takes nothing; write "{kind}"')
        if first in table or (kind not in table and parameters and needed(parameters[first])):
            raise ValueError(f"{where}: its {first} is written {{{kind} = ...}}")
        if kind in table:
            value = table.pop(kind)
            table[first] = self.classes if value == CLASSES else value
        return made(LAYERS[kind], table, where, {Sequence[Layer]: self.layers})


def needed(parameter: inspect.Parameter) -> bool:
    """Whether a parameter has no default."""
    return parameter.default is parameter.empty
