"""Sums of shifted integers as a graph, each addition a node; `hdl.products.sharing` finds them.

A register stands behind each addition: `Node.time` says in which cycle it holds its value. Integers only, no
hardware.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.arithmetic.qformat import QFormat


@dataclass(frozen=True)
class Term:
    """A node's value, shifted to the left, with a sign."""

    node: int
    shift: int = 0
    negative: bool = False

    def of(self, value):
        """The term, from its node's value."""
        return -(value << self.shift) if self.negative else value << self.shift


@dataclass(frozen=True)
class Node:
    """An input (no terms), or the sum of two terms, or of a term and a constant.

    Attributes
    ----------
    terms : tuple of Term
        Not both negative.
    constant : int
        0 if there are two terms.
    low, high : int
        The smallest and largest value that the inputs can drive it to, exactly.
    time : int
        Cycles after the inputs.
    """

    terms: tuple[Term, ...]
    constant: int
    low: int
    high: int
    time: int = 0

    @cached_property
    def format(self) -> QFormat:
        """The narrowest integers that hold it."""
        if self.low < 0:
            return QFormat.spanning(self.low, self.high, 0)
        return QFormat(max(self.high.bit_length(), 1), 0, False)

    @property
    def free(self) -> int:
        """Lowest bits that need no adder, as they are those of one of its terms or of the constant."""
        low = min(self.terms, key=lambda term: (term.shift, term.negative))
        if len(self.terms) == 2:
            return 0 if low.negative else max(term.shift for term in self.terms)
        return low.shift or (0 if low.negative else trailing(self.constant))


@dataclass(frozen=True, eq=False)
class Graph:
    """Sums ``x @ matrix + constants``.

    Attributes
    ----------
    nodes : tuple of Node
        The inputs first; each behind those that it is made of.
    inputs : int
    outputs : tuple of Term or None
        One a sum, none negative; None for a sum that is its constant whatever the inputs are.
    constants : tuple of int
        One a sum.
    low, high : int
        Smallest and largest sum.
    latency : int
        Cycles from the inputs to all of the sums.
    """

    nodes: tuple[Node, ...]
    inputs: int
    outputs: tuple[Term | None, ...]
    constants: tuple[int, ...]
    low: int
    high: int
    latency: int

    def run(self, x: np.ndarray) -> np.ndarray:
        """The sums (N, C) of integers (N, K), node by node."""
        values = list(np.asarray(x, np.int64).T)
        for node in self.nodes[self.inputs :]:
            values.append(sum(term.of(values[term.node]) for term in node.terms) + node.constant)
        sums = [
            np.full(len(x), constant) if term is None else term.of(values[term.node])
            for term, constant in zip(self.outputs, self.constants)
        ]
        return np.stack(sums, axis=1)

    @cached_property
    def until(self) -> list[int]:
        """The last cycle in which each node's value is needed."""
        return last_uses(self.nodes, self.outputs, self.latency)

    @cached_property
    def widths(self) -> list[int]:
        """Bits of each addition through which a carry runs."""
        return [node.format.width - node.free for node in self.nodes[self.inputs :]]

    @cached_property
    def registers(self) -> int:
        """Bits of the registers: behind additions, and where values wait."""
        return sum(
            node.format.width * (until - node.time + bool(node.terms))
            for node, until in zip(self.nodes, self.until)
        )


def last_uses(nodes, outputs, latency: int) -> list[int]:
    """The last cycle in which each node's value is needed; that of the node itself if it never is."""
    until = [node.time for node in nodes]
    for node in nodes:
        for term in node.terms:
            until[term.node] = max(until[term.node], node.time - 1)
    for term in outputs:
        if term:
            until[term.node] = latency
    return until


def trailing(number: int) -> int:
    """Zeros at the end of a number that is not 0; none of 0."""
    return (number & -number).bit_length() - 1 if number else 0
