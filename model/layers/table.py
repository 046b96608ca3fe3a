"""Activation by table: any function h of one value, computed once for every input code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.spec import Spec

MAX_INDEX_WIDTH = 12


@dataclass(frozen=True, eq=False, kw_only=True)
class TableSpec(Spec):
    """A quantised activation.

    Parameters
    ----------
    function : str
        Name of h, for reports.
    table : ndarray of int, (2**src.width,)
        Output for each input, indexed by the input's bits read as an unsigned number (so the negative
        half of a signed format comes second).
    """

    kind = "table"
    function: str
    table: np.ndarray

    def __post_init__(self):
        table = np.asarray(self.table)
        if self.src.width > MAX_INDEX_WIDTH:
            self.fail(f"a table is indexed by at most {MAX_INDEX_WIDTH} bits, not {self.src.width}")
        if table.dtype.kind not in "iu" or table.shape != (1 << self.src.width,):
            self.fail(f"the table must hold {1 << self.src.width} integers, not {table.shape}")
        if not self.dst.contains(table):
            self.fail(f"a table entry lies outside its format {self.dst}")
        table = table.astype(np.int64)
        table.flags.writeable = False
        object.__setattr__(self, "table", table)

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.table[np.asarray(x, dtype=np.int64) & ((1 << self.src.width) - 1)]
