"""Nets as text: a TOML file of layers, a recipe and widths, read strictly and without running code.

A layer is its name where it needs nothing, ``"relu"``, and else a table whose key of that name holds the
first argument: ``{conv = 6, kernel = 5}``. Which names there are, `model.layers.LAYERS` says, and which
arguments, their constructors.
"""

from __future__ import annotations

import codecs
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
TYPED = {
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\uff02"), '"'),
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032"), "'"),
    **dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " "),
    **dict.fromkeys([0x85, 0x2028, 0x2029], "\n"),
    0x2212: "-",
    **dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF], ""),
}
"""Quotes, spaces, ends of lines and invisible letters of word processors and web pages, and what they stand
for."""
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
        document = tomllib.loads(plain(text))
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


def plain(text: bytes) -> str:
    """A text as editors write it, as TOML wants it.

    UTF-8, or UTF-16 behind its mark; any ends of lines; quotes and spaces that word processors put in place
    of the plain ones, which no name of a net's description has.
    """
    wide = text[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    lines = text.decode("utf-16" if wide else "utf-8-sig")
    return lines.replace("\r\n", "\n").replace("\r", "\n").translate(TYPED)


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
