"""Products with a constant matrix as an adder graph: shifts and additions that its sums share.

Each weight is written as few signed powers of two, and so each sum as terms ``± x << shift``. A pair of
terms that recurs, in the same sum or in others and shifted in any way, becomes one addition that they
share: the one that saves most, as long as there is one (Hartley, "Subexpression sharing in filters using
canonic signed digit multipliers", IEEE Trans. CAS II 43, 1996; here over a whole matrix). What is then
left of each sum is added in a balanced tree.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from hdl.products.graph import Graph, Node, Term, trailing
from model.arithmetic.qformat import QFormat

BLOCK = 256
"""Inputs whose pairs are looked at first; pairs are as many as the square of that."""
NODE_BITS = 20
"""Of a node's number in the number of a pair."""


def adder_graph(matrix: np.ndarray, src: QFormat, constants: np.ndarray | None = None) -> Graph:
    """The graph of the sums ``x @ matrix + constants``; the same one for the same arguments.

    Parameters
    ----------
    matrix : ndarray of int, (K, C)
    src : QFormat
        Of the inputs; its fraction bits do not matter.
    constants : ndarray of int, (C,), optional
        Added to the sums; zeros by default.
    """
    matrix = np.ascontiguousarray(matrix, np.int64)
    constants = np.zeros(matrix.shape[1], np.int64) if constants is None else np.asarray(constants)
    return made(matrix.tobytes(), matrix.shape, src.min, src.max, tuple(constants.tolist()))


@lru_cache(maxsize=256)
def made(weights: bytes, shape: tuple[int, int], low: int, high: int, constants: tuple[int, ...]) -> Graph:
    """See `adder_graph`."""
    builder = Builder(np.frombuffer(weights, np.int64).reshape(shape), low, high, constants)
    builder.share()
    outputs = [builder.add_up(column) for column in range(shape[1])]
    return builder.finish(outputs)


def signed_digits(number: int) -> list[tuple[int, int]]:
    """A number as the fewest signed powers of two: pairs (exponent, 1 or -1), its non-adjacent form."""
    found, exponent = [], 0
    while number:
        if number & 1:
            sign = 2 - (number & 3)
            found.append((exponent, sign))
            number -= sign
        number >>= 1
        exponent += 1
    return found


class Builder:
    """A graph under construction.

    Attributes
    ----------
    columns : list of dict
        What each sum still has to add: whether it is subtracted, by node and shift.
    where : dict of dict
        The same by node: ``(column, shift) -> negative``.
    """

    def __init__(self, matrix: np.ndarray, low: int, high: int, constants: tuple[int, ...]):
        self.constants = constants
        self.inputs, count = matrix.shape
        self.ends = low, high
        self.nodes: list[Node] = []
        self.forms: list[np.ndarray] = []
        self.widths: list[int] = []
        self.known: dict[tuple, int] = {}
        # Each node as factors of the inputs, and a constant.
        for row in np.eye(self.inputs, self.inputs + 1, dtype=np.int64):
            self.nodes.append(Node((), 0, low, high))
            self.forms.append(row)
            self.widths.append(self.nodes[-1].format.width)
        self.where: dict[int, dict[tuple[int, int], bool]] = defaultdict(dict)
        self.columns: list[dict[tuple[int, int], bool]] = [{} for _ in range(count)]
        for column in range(count):
            for node, weight in enumerate(matrix[:, column].tolist()):
                for shift, sign in signed_digits(weight):
                    self.put(column, node, shift, sign < 0)
        # Pairs by what they save, at most; the last are looked at first.
        self.queued: list[deque[int]] = []
        # A term that comes late takes the room of all that a tree could add until then. Sums do not get
        # deeper than the deepest must be: more levels save hardly an addition, and cost registers.
        self.load = [len(terms) + bool(constant) for terms, constant in zip(self.columns, constants)]
        self.most = 1 << max(max(self.load) - 1, 0).bit_length()

    def put(self, column: int, node: int, shift: int, negative: bool) -> None:
        """Add a term to a sum."""
        self.columns[column][node, shift] = negative
        self.where[node][column, shift] = negative

    def take(self, column: int, node: int, shift: int) -> bool:
        """Take a term out of a sum; gives its sign."""
        del self.where[node][column, shift]
        return self.columns[column].pop((node, shift))

    def node(self, terms: tuple[Term, ...], constant: int = 0) -> int:
        """The number of a node, which may be there already."""
        key = (tuple(sorted(terms, key=lambda term: (term.shift, term.negative, term.node))), constant)
        if key in self.known:
            return self.known[key]
        form = sum(term.of(self.forms[term.node]) for term in terms)
        form[-1] += constant
        low, high = self.ends
        up, down = int(np.maximum(form[:-1], 0).sum()), int(np.minimum(form[:-1], 0).sum())
        self.nodes.append(
            Node(
                terms,
                constant,
                up * low + down * high + int(form[-1]),
                up * high + down * low + int(form[-1]),
                1 + max(self.nodes[term.node].time for term in terms),
            )
        )
        self.forms.append(form)
        self.widths.append(self.nodes[-1].format.width)
        self.known[key] = len(self.nodes) - 1
        return self.known[key]

    def share(self) -> None:
        """Make nodes of pairs as long as one saves an addition."""
        self.queue(self.first_pairs())
        while self.queued:
            if not self.queued[-1]:
                self.queued.pop()
                continue
            key = self.queued[-1].popleft()
            found = self.occurrences(key)
            if len(found) < 2:
                continue
            if self.saving(key, len(found)) < len(self.queued) - 1:
                # Other pairs have taken some of them; it will come up again.
                self.queue([(key, len(found))])
            else:
                self.queue(self.replaced(key, found).items())

    def first_pairs(self) -> Iterator[tuple[int, int]]:
        """The pairs that there are at first, within each `BLOCK` of inputs, with how often each occurs."""
        for first in range(0, self.inputs, BLOCK):
            keys = []
            for terms in self.columns:
                listed = sorted(
                    (shift, node, negative)
                    for (node, shift), negative in terms.items()
                    if first <= node < first + BLOCK
                )
                shift, node, negative = np.array(listed, np.int64).reshape(-1, 3).T
                a, b = np.triu_indices(len(listed), 1)
                keys.append(pair_key(node[a], node[b], shift[b] - shift[a], negative[a] ^ negative[b]))
            found = np.unique(np.concatenate(keys), return_counts=True)
            yield from zip(*(array.tolist() for array in found))

    def queue(self, counts: Iterable[tuple[int, int]]) -> None:
        """Queue those pairs that occur more than once, by what they save."""
        for key, count in counts:
            if count > 1:
                saving = self.saving(key, count)
                while len(self.queued) <= saving:
                    self.queued.append(deque())
                self.queued[saving].append(key)

    def saving(self, key: int, count: int) -> int:
        """The adder bits that a pair saves which occurs so often."""
        a, b, shift, _ = pair_of(key)
        return (count - 1) * max(1 + min(self.widths[a] - shift, self.widths[b]), 0)

    def occurrences(self, key: int) -> list[tuple[int, int]]:
        """Columns in which a pair stands, and the shifts of its first term; no term twice."""
        a, b, shift, difference = pair_of(key)
        ours, theirs = self.where[a], self.where[b]
        if len(theirs) < len(ours):
            pairs = [
                (column, at - shift)
                for (column, at), negative in theirs.items()
                if ours.get((column, at - shift)) == negative ^ difference
            ]
        else:
            pairs = [
                (column, at)
                for (column, at), negative in ours.items()
                if theirs.get((column, at + shift)) == negative ^ difference
            ]
        if len(pairs) < 2:
            return pairs
        times = self.nodes[a].time, self.nodes[b].time
        more = (2 << max(times)) - sum(1 << time for time in times)
        loads, used, found = {}, set(), []
        for column, at in pairs:
            load = loads.get(column, self.load[column]) + more
            if load > self.most or (a == b and not used.isdisjoint(((column, at), (column, at + shift)))):
                continue
            loads[column] = load
            used.update(((column, at), (column, at + shift)))
            found.append((column, at))
        return found

    def replaced(self, key: int, found: list[tuple[int, int]]) -> Counter:
        """Put a node in the place of a pair; gives the pairs in which it stands now, with their counts."""
        a, b, shift, difference = pair_of(key)
        node = self.node((Term(a), Term(b, shift, bool(difference))))
        time, counts = self.nodes[node].time, Counter()
        for column, at in found:
            negative = self.take(column, a, at)
            self.take(column, b, at + shift)
            self.load[column] += (1 << time) - (1 << self.nodes[a].time) - (1 << self.nodes[b].time)
            # The new node's number is the largest: among equal shifts it comes second.
            counts.update(
                pair_key(other, node, at - place, sign ^ negative)
                if place <= at
                else pair_key(node, other, place - at, sign ^ negative)
                for (other, place), sign in self.columns[column].items()
            )
            self.put(column, node, at, negative)
        return counts

    def add_up(self, column: int) -> Term | None:
        """Add what is left of a sum, level by level, each time the terms with the nearest shifts."""
        constant = self.constants[column]
        terms = [Term(node, shift, sign) for (node, shift), sign in self.columns[column].items()]
        if not terms:
            return None
        level = 0
        while len(terms) > 1 or constant or terms[0].negative:
            ready = [term for term in terms if self.nodes[term.node].time <= level]
            waiting = [term for term in terms if self.nodes[term.node].time > level]
            ready.sort(key=lambda term: (term.shift, term.node, term.negative))
            if len(ready) % 2 and (constant or len(terms) == 1):
                ready, last = ready[:-1], ready[-1]
                waiting.append(self.with_constant(last, constant))
                constant = 0
            for index in range(0, len(ready) - 1, 2):
                pair = ready[index : index + 2]
                others = waiting + ready[index + 2 :]
                spare = bool(constant) or not all(term.negative for term in others)
                waiting.append(self.sum_of(*pair, spare))
            if len(ready) % 2:
                waiting.append(ready[-1])
            terms, level = waiting, level + 1
        return terms[0]

    def with_constant(self, term: Term, constant: int) -> Term:
        """The sum of a term and a constant; of 0 for what must not be negative."""
        shift = min(term.shift, trailing(constant)) if constant else term.shift
        term = replace(term, shift=term.shift - shift)
        return Term(self.node((term,), constant >> shift), shift)

    def sum_of(self, a: Term, b: Term, spare: bool) -> Term:
        """The sum of two terms; it may be negative where `spare` ones are left that are not."""
        shift = min(a.shift, b.shift)
        a, b = (replace(term, shift=term.shift - shift) for term in (a, b))
        if a.negative and b.negative:
            negative = True
        else:
            low = min(a, b, key=lambda term: (term.shift, term.negative))
            negative = low.negative and spare
        if negative:
            a, b = (replace(term, negative=not term.negative) for term in (a, b))
        return Term(self.node((a, b)), shift, negative)

    def finish(self, outputs: list[Term | None]) -> Graph:
        """The graph, its additions done when that takes the fewest registers."""
        nodes = self.nodes
        latency = max((nodes[term.node].time for term in outputs if term), default=0)
        nodes = scheduled(nodes, outputs, latency)
        ends = [
            (constant, constant) if term is None
            else (nodes[term.node].low << term.shift, nodes[term.node].high << term.shift)
            for term, constant in zip(outputs, self.constants)
        ]  # fmt: skip
        return Graph(
            tuple(nodes),
            self.inputs,
            tuple(outputs),
            self.constants,
            min(low for low, _ in ends),
            max(high for _, high in ends),
            latency,
        )


def pair_key(a, b, shift, difference):
    """A number for the pair of ``a`` and ``± b << shift``; of nodes' numbers, or of arrays of them."""
    return a << 2 * NODE_BITS | b << NODE_BITS | shift << 1 | difference


def pair_of(key: int) -> tuple[int, int, int, int]:
    """What a `pair_key` was made of: nodes a and b, the shift, 1 for a difference."""
    low = key & (1 << NODE_BITS) - 1
    return key >> 2 * NODE_BITS, key >> NODE_BITS & (1 << NODE_BITS) - 1, low >> 1, low & 1


def scheduled(nodes: list[Node], outputs: list[Term | None], latency: int) -> list[Node]:
    """Nodes at later times, where that takes fewer registers: one at a time, until nothing is gained."""
    nodes = list(nodes)
    uses = defaultdict(list)
    for index, node in enumerate(nodes):
        for term in node.terms:
            uses[term.node].append(index)
    ends = {term.node for term in outputs if term}

    def until(index: int, skip: int | None = None) -> int:
        last = latency if index in ends else nodes[index].time
        return max([last, *(nodes[user].time - 1 for user in uses[index] if user != skip)])

    changed = True
    while changed:
        changed = False
        for index in range(len(nodes) - 1, -1, -1):
            node = nodes[index]
            if not node.terms or (not uses[index] and index not in ends):
                continue
            first = 1 + max(nodes[term.node].time for term in node.terms)
            last = min([latency, *(nodes[user].time - 1 for user in uses[index])])
            operands = {term.node for term in node.terms}
            held = {operand: until(operand, index) for operand in operands}
            best = min(
                range(first, last + 1),
                key=lambda time: (
                    sum(max(time - 1, held[n]) * nodes[n].format.width for n in operands)
                    - time * node.format.width
                ),
            )
            if best != node.time:
                nodes[index], changed = replace(node, time=best), True
    return nodes
