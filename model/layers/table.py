"""Activation by table: any function h of one value, computed once for every input code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.arithmetic.exact import narrowest
from model.arithmetic.qformat import QFormat
from model.arithmetic.scale import best_format
from model.arithmetic.scratch import scratch
from model.golden.spec import Spec
from model.net.layer import Activation

INDEX_WIDTH, MAX_INDEX_WIDTH = 8, 12
"""Bits that index a table: as many as its entries have, but no fewer than these and no more."""


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
        if not isinstance(self.function, str):
            self.fail(f"a function's name is text, not {self.function!r}")
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

    @cached_property
    def entries(self) -> np.ndarray:
        """The table in the order of its inputs, from the smallest on."""
        return np.roll(self.table, -self.src.min).astype(narrowest(self.dst.magnitude))

    def apply(self, x, cache):
        index = scratch(cache, "index", x.shape, np.intp)
        np.subtract(x, self.src.min, out=index, casting="unsafe")
        y = scratch(cache, "y", x.shape, self.entries.dtype)
        return np.take(self.entries, index, out=y, mode="clip")  # what `src` holds is never clipped


class Tabled(Activation):
    """Base of the activations that a table stands for in integers.

    Parameters
    ----------
    index : QFormat, optional
        Format of the table's index, at most 12 bits wide; by default the best for the calibration images.

    Attributes
    ----------
    function : str
        Name of h.
    """

    function: str

    def __init__(self, index: QFormat | None = None):
        if index is not None and index.width > MAX_INDEX_WIDTH:
            raise ValueError(f"a table is indexed by at most {MAX_INDEX_WIDTH} bits, not {index.width}")
        self.index = index

    def h(self, x: np.ndarray) -> np.ndarray:
        """The function, value by value, in float64; of it the table is made."""
        raise NotImplementedError

    def source_format(self, x, y, width):
        return self.index or best_format(x, min(max(width, INDEX_WIDTH), MAX_INDEX_WIDTH), signed=True)

    def entry_format(self, values: np.ndarray, y: np.ndarray, width: int) -> QFormat:
        """Format of the table's entries.

        Parameters
        ----------
        values : ndarray of float
            All that the table is to hold.
        y : ndarray of float
            Outputs for the calibration images.
        width : int
            Bits.
        """
        return best_format(y, width, signed=bool(values.min() < 0))

    def values(self, src: QFormat) -> np.ndarray:
        """h of all inputs of a format, float64, in the order of a table's entries.

        Raises
        ------
        ValueError
            If one is not finite; names the layer.
        """
        codes = np.arange(1 << src.width)
        reals = src.real(np.where(codes > src.max, codes - (1 << src.width), codes))
        with np.errstate(all="ignore"):  # what is not finite is refused, with the value it came from
            values = np.broadcast_to(np.asarray(self.h(reals), dtype=np.float64), reals.shape)
        if not np.isfinite(values).all():
            where = reals[~np.isfinite(values)][0]
            raise ValueError(f"layer {self.name!r}: {self.function} has no finite value at {where}")
        return values

    def target_format(self, src, y, width):
        return self.entry_format(self.values(src), y, width)

    def quantise(self, src: QFormat, dst: QFormat) -> TableSpec:
        return TableSpec(
            name=self.name,
            in_shape=self.in_shape,
            src=src,
            dst=dst,
            function=self.function,
            table=dst.quantise(self.values(src)),
        )
