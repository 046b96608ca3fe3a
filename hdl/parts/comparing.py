"""Comparisons by the sign of a difference.

It is the last sum of one carry chain. Where synthesis is left to compare, it takes the carry out of the
chain, which costs a cell and its wires, and looks at both values' signs behind that.
"""

from __future__ import annotations

from amaranth.hdl import Mux, Value


def exceeds(a: Value, b: Value) -> Value:
    """Whether `a` is larger than `b`."""
    return (b - a)[-1]


def larger(a: Value, b: Value) -> Value:
    """The larger of two values."""
    return Mux(exceeds(a, b), a, b)


def smaller(a: Value, b: Value) -> Value:
    """The smaller of two values."""
    return Mux(exceeds(a, b), b, a)
