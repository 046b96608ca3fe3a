"""Faults as data: a text of a module of hdl, and what a mutant has in its place; those of the proofs stand in
``faults.toml``.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hdl

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(hdl.__file__).parent
TABLES = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Fault:
    """A mutation.

    Parameters
    ----------
    module : str
        Name within hdl, such as ``parts.pipe``.
    old, new : str
        The module's text, of which exactly one place is meant, and what takes its place.
    meaning : str
        What the fault stands for.
    """

    module: str
    old: str
    new: str
    meaning: str

    @property
    def path(self) -> str:
        """The module's file within hdl."""
        return f"{self.module.replace('.', '/')}.py"

    def applied(self, text: str) -> str:
        """The mutated text of the module.

        Raises
        ------
        ValueError
            If `old` is not there once: then the fault must be brought up to date.
        """
        count = text.count(self.old)
        if count != 1:
            raise ValueError(f"hdl/{self.path} holds {self.old!r} {count} times, not once: {self.meaning}")
        return text.replace(self.old, self.new)


def read(path: Path) -> dict[str, list[tuple[str, Fault]]]:
    """The groups of a file of faults: the property that each breaks, if the file says so, and the fault."""
    groups = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: [(row.pop("property", ""), Fault(**row)) for row in rows] for name, rows in groups.items()}


def faults(group: str) -> list[tuple[str, Fault]]:
    """Properties, and faults by which they fail: one of the groups of `TABLES`; none for no group."""
    return read(TABLES)[group] if group else []


class Mutating(importlib.machinery.SourceFileLoader):
    """Loads a module with a fault in it, past the cache of compiled files."""

    def __init__(self, fault: Fault):
        super().__init__(f"hdl.{fault.module}", str(ROOT / fault.path))
        self.fault = fault

    def get_code(self, fullname):
        text = self.fault.applied(Path(self.path).read_text(encoding="utf-8"))
        return compile(text, self.path, "exec", dont_inherit=True)


@contextlib.contextmanager
def mutated(fault: Fault | None) -> Iterator[None]:
    """While it lasts, ``hdl`` has the modules of a mutant.

    What goes by ``hdl.parts.pipe.Elastic`` sees them; names imported before stay what they were.
    """
    if fault is None:
        yield
        return
    healthy = {name: module for name, module in sys.modules.items() if name.startswith("hdl.")}
    attributes = dict(vars(hdl))

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == f"hdl.{fault.module}":
                return importlib.util.spec_from_loader(name, Mutating(fault), origin=str(ROOT))
            return None

    sys.meta_path.insert(0, Finder)
    try:
        for name in healthy:
            del sys.modules[name]
        for name in healthy:
            importlib.import_module(name)
        yield
    finally:
        sys.meta_path.remove(Finder)
        for name in [name for name in sys.modules if name.startswith("hdl.")]:
            del sys.modules[name]
        sys.modules.update(healthy)
        vars(hdl).update(attributes)
