"""Activation by table: any function h of one value, computed once for every input code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.layer import Activation, scratch
from model.qformat import QFormat
from model.spec import Spec

MAX_INDEX_WIDTH = 12
SIGMOID_INDEX = QFormat(8, 4)
"""256 entries, 1/16 apart, over [-8, 8): finer or farther ones change no class worth mentioning."""


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
        super().__post_init__()
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


class Sigmoid(Activation):
    """1 / (1 + exp(-x)); a table in integers.

    Parameters
    ----------
    index : QFormat
        Format of the table's index.
    """

    kind = "sigmoid"

    def __init__(self, index: QFormat = SIGMOID_INDEX):
        self.index = index

    def forward(self, x, cache):
        y = scratch(cache, "y", x.shape, x.dtype)
        np.multiply(x, 0.5, out=y)
        np.tanh(y, out=y)
        y *= 0.5
        y += 0.5
        return y

    def backward(self, dy, cache):
        y = cache["y"]
        dx = scratch(cache, "dx", y.shape, y.dtype)
        np.subtract(1, y, out=dx)
        dx *= y
        dx *= dy
        return dx

    def source_format(self, y, width):
        return self.index

    def quantise(self, src: QFormat, width: int) -> TableSpec:
        dst = QFormat(width, width, signed=False)
        codes = np.arange(1 << src.width)
        values = src.real(np.where(codes > src.max, codes - (1 << src.width), codes))
        return TableSpec(
            name=self.name,
            in_shape=self.in_shape,
            src=src,
            dst=dst,
            function="sigmoid",
            table=dst.quantise(0.5 * np.tanh(0.5 * values) + 0.5),
        )
