"""Values of a text file turned into arguments, as the type hints of a function or class want them.

Hints may be made of ``int``, ``float``, ``bool``, ``str``, ``None`` (written ``"none"``), ``Fraction``
(``"1/3"``), ``Literal``, tuples and lists of these, dataclasses (tables of their fields), and unions.
Other types are left to the caller.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from fractions import Fraction

LIMIT = 1_000_000
"""Numbers beyond are refused; no net has use for them."""
FRACTION = re.compile(r"-?[0-9]{1,9}/[1-9][0-9]{0,8}")
SCALARS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}

Readers = Mapping[object, Callable[[object, str], object]]
"""For types of the caller's own: how an argument is made of a value, and of the place where it stands."""


def arguments(function: Callable, table: dict, where: str, readers: Readers | None = None) -> dict:
    """The keyword arguments of a call, from a table of values.

    Parameters
    ----------
    function : callable
        All its parameters have type hints.
    table : dict
        As a parser of TOML or JSON makes it.
    where : str
        Begins every message.
    readers : mapping, optional
        Where values of further types come from.

    Raises
    ------
    ValueError
        For a key that is no parameter, a missing or ill-typed value; names it and what there is.
    """
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    for key in table:
        if key not in parameters:
            raise ValueError(f"{where}: unknown {brief(key)}; there are {', '.join(parameters) or 'none'}")
    for name, parameter in parameters.items():
        if name not in table and parameter.default is parameter.empty:
            raise ValueError(f"{where}: {name!r} is missing")
    return {key: read(hints[key], value, f"{where}: {key}", readers) for key, value in table.items()}


def made(function: Callable, table: dict, where: str, readers: Readers | None = None):
    """What the call gives; its own ValueErrors say where, too."""
    given = arguments(function, table, where, readers)
    try:
        return function(**given)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def read(hint, value, where: str, readers: Readers | None = None):
    """A value in the type of a hint."""
    if readers and hint in readers:
        return readers[hint](value, where)
    fitting = [option for option in options(hint) if fits(option, value)]
    if not fitting:
        raise ValueError(f"{where} is {expected(hint)}, not {brief(value)}")
    hint = type(None) if type(None) in fitting else fitting[0]
    if isinstance(value, (int, float)) and not abs(value) <= LIMIT:
        raise ValueError(f"{where}: numbers lie between -{LIMIT:,} and {LIMIT:,}; {brief(value)} does not")
    if hint is type(None):
        return None
    if hint in (float, Fraction):
        return hint(value)
    if dataclasses.is_dataclass(hint):
        return made(hint, value, where, readers)
    if typing.get_origin(hint) is tuple:
        return tuple(read(item, part, where) for item, part in zip(typing.get_args(hint), value))
    if typing.get_origin(hint) is list:
        return [read(typing.get_args(hint)[0], part, where) for part in value]
    return value


def options(hint) -> tuple:
    """The types that a union allows, or the only one."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def fits(hint, value) -> bool:
    """Whether a value is of a type that is no union, by what it is and not by its size."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(parts) and all(map(allows, parts, value))
    if origin is list:
        return isinstance(value, list) and all(allows(parts[0], part) for part in value)
    if hint is type(None):
        return value == "none"
    if hint is Fraction:
        return isinstance(value, str) and bool(FRACTION.fullmatch(value))
    if hint is float:
        return type(value) is int or (type(value) is float and math.isfinite(value))
    if dataclasses.is_dataclass(hint):
        return isinstance(value, dict)
    return type(value) is hint


def allows(hint, value) -> bool:
    """Whether a value is of one of a hint's types."""
    return any(fits(option, value) for option in options(hint))


def expected(hint) -> str:
    """A hint in words."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(expected, parts))
    if origin is typing.Literal:
        return " or ".join(map(repr, parts))
    if origin is tuple:
        return f"[{', '.join(map(expected, parts))}]"
    if origin is list:
        return f"a list of: {expected(parts[0])}"
    if dataclasses.is_dataclass(hint):
        return f"a table of {', '.join(field.name for field in dataclasses.fields(hint))}"
    return {**SCALARS, type(None): "'none'", Fraction: "a text like '1/3'"}[hint]


def brief(value) -> str:
    """A value as a message shows it, however long it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python's own on numbers of thousands of digits
        return "such a number"
