"""Dot products with constant weights, a bit of every input a cycle: sums of tables, and no multiplier.

Distributed arithmetic (S. A. White, "Applications of distributed arithmetic to digital signal processing",
IEEE ASSP Magazine 6(3), 1989). A dot product is a sum over the bits of its inputs, and what a bit of `TAPS`
inputs adds is one of ``2**TAPS`` sums of weights: a table, one LUT for each of its bits. All outputs of a
vector are done in as many cycles as an input has bits. A layer whose inputs stay that long anyway, because
its output channels take turns, needs a fraction of the LUTs of hard-wired products.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hdl.parts.pipe import delayed, lanes_of, shape_of, tree, tree_latency
from model.arithmetic.qformat import QFormat

TAPS = 4
"""Inputs of a table: those of a LUT."""
NEAR = 16
"""Inputs whose bits one counter selects: one for all would drive a far-flung, slow net."""


class SerialDots(wiring.Component):
    """`Dots` with constant weights whose steps are all output channels of one input vector in turn.

    All channels sum up at once, from the lowest bit; those of a later step begin a cycle later, so that bits
    are handed on from channels to channels, and no net goes to all.

    Latency: src.width + 3 + ceil(log2(inputs / 4)) + ceil(log2(steps)) cycles. Throughput: one step a cycle.
    Once a vector's first step is in, the others follow without a pause, and `x` stays.

    Parameters
    ----------
    src : QFormat
        Of the inputs.
    weights : ndarray of int, (inputs, outputs)
    output_lanes : int
        Outputs of a step, a divisor of all.

    Members
    -------
    x : in, all inputs
    valid : in
        There is a step.
    dots : out, `output_lanes` sums

    Raises
    ------
    ValueError
        If a vector has fewer steps than an input has bits.
    """

    def __init__(self, src: QFormat, weights: np.ndarray, output_lanes: int):
        self.src, self.weights, self.output_lanes = src, weights, output_lanes
        inputs, outputs = weights.shape
        self.steps, self.tables = outputs // output_lanes, -(-inputs // TAPS)
        if self.steps < src.width:
            raise ValueError(
                f"{self.steps} steps for an input vector are too few for a bit of it each: inputs have"
                f" {src.width} bits"
            )
        super().__init__(
            {
                "x": In(lanes_of(src, inputs)),
                "valid": In(1),
                "dots": Out(data.ArrayLayout(signed(self.width), output_lanes)),
            }
        )

    @property
    def width(self) -> int:
        """Bits of a sum, its sign included."""
        ends = np.stack([self.weights * self.src.min, self.weights * self.src.max])
        low, high = ends.min(0).sum(0).min(), ends.max(0).sum(0).max()
        return len(Signal(signed_range(int(low), int(high))))

    @property
    def latency(self) -> int:
        """Cycles from a step to its sums."""
        return self.src.width + 3 + tree_latency(self.tables) + tree_latency(self.steps)

    def elaborate(self, platform):
        m = Module()
        bits, phase = self.selected(m)
        # From the selection's first register to the sums of tables; the next step's flag comes a cycle
        # before.
        depth = 2 + tree_latency(self.tables)
        first = delayed(m, phase[0], depth, "first")
        last = delayed(m, phase[self.src.width - 1] & self.valid, depth + 1, "last")
        results = [[] for _ in range(self.output_lanes)]
        for step in range(self.steps):
            if step:
                bits = delayed(m, bits, 1, f"bits{step}")
                first, last = delayed(m, first, 1, f"first{step}"), delayed(m, last, 1, f"last{step}")
            done = delayed(m, last, 1, f"done{step}")
            for lane, shown in enumerate(results):
                column = self.weights[:, step * self.output_lanes + lane]
                total = self.summed(m, bits, column, first, last, f"{step}_{lane}")
                shown.append(Mux(done, total, 0))
        for lane, shown in enumerate(results):
            m.d.comb += self.dots[lane].eq(tree(m, shown, or_, f"shown{lane}")[0].as_signed())
        return m

    def selected(self, m: Module) -> tuple[Signal, Signal]:
        """One bit of every input, two cycles after its step, and which step there is, one hot."""
        width = self.src.width
        phase, chosen = ring(m, "phase", self.steps, self.valid), []
        for number, start in enumerate(range(0, len(self.x), NEAR)):
            near = ring(m, f"phase{number}", self.steps, self.valid)
            for index in range(start, min(start + NEAR, len(self.x))):
                value = Value.cast(self.x[index])
                if self.src.signed:
                    # The highest bit counts negative: its complement counts, and `bound` takes the rest off.
                    value = Cat(value[:-1], ~value[-1])
                pairs = Signal(-(-width // 2), name=f"pairs{index}", reset_less=True)
                for pair in range(len(pairs)):
                    two = slice(2 * pair, min(2 * pair + 2, width))
                    m.d.sync += pairs[pair].eq((value[two] & near[two]).any())
                chosen.append(pairs.any())
        bits = Signal(len(chosen), reset_less=True)
        m.d.sync += bits.eq(Cat(chosen))
        return bits, phase

    def summed(self, m: Module, bits: Signal, column: np.ndarray, first, last, name: str) -> Signal:
        """One output, from the cycle after `last` on.

        Parameters
        ----------
        m : Module
        bits : Signal
        column : ndarray of int, (inputs,)
            Weights of the output.
        first, last : Value
            The next bits are the vector's first; the present ones are its last.
        name : str
        """
        width = self.src.width
        share, low, high = narrow_tree(m, list(tables(m, bits, column, name)), name)
        # The sum moves right by a bit each cycle, so its adder is hardly wider than the table's sums.
        start = -int(column.sum()) << (width - 1) if self.src.signed else 0
        least = most = start
        below = above = start
        for _ in range(width):
            below, above = below + low, above + high
            least, most = min(least, below), max(most, above)
            below, above = below >> 1, above >> 1
        moved = Signal(signed_range(least, most), name=f"moved_{name}", init=start, reset_less=True)
        total = Signal.like(moved, name=f"total_{name}")
        passed = Signal(width - 1, name=f"passed_{name}", reset_less=True)
        result = Signal(signed(self.width), name=f"result_{name}", reset_less=True)
        m.d.comb += total.eq(moved + share)
        m.d.sync += [moved.eq(Mux(first, start, total >> 1)), passed.eq(Cat(passed, total[0])[1:])]
        with m.If(last):
            m.d.sync += result.eq(Cat(passed, total).as_signed())
        return result


def ring(m: Module, name: str, count: int, advance: Value) -> Signal:
    """A one-hot counter. It follows from no other, so synthesis does not merge it with its like."""
    place = Signal(count, name=name, init=1)
    with m.If(advance):
        m.d.sync += place.eq(place.rotate_left(1))
    return place


def tables(m: Module, bits: Signal, column: np.ndarray, name: str):
    """What each `TAPS` bits add, a cycle later, with its least and largest value; none that is always 0."""
    for number, start in enumerate(range(0, len(column), TAPS)):
        sums = entries(column[start : start + TAPS])
        shape = signed_range(min(sums), max(sums))
        entry = Signal(shape, name=f"entry_{name}_{number}", reset_less=True)
        words = [word & (1 << len(entry)) - 1 for word in sums]
        storage = memory.Memory(shape=len(entry), depth=len(sums), init=words, attrs={"rom_style": "logic"})
        m.submodules[f"table_{name}_{number}"] = storage
        port = storage.read_port(domain="comb")
        m.d.comb += port.addr.eq(bits[start : start + TAPS])
        m.d.sync += entry.eq(port.data.as_signed())
        yield entry, min(sums), max(sums)


def entries(weights: np.ndarray) -> list[int]:
    """The sums of all choices of a few weights: bit n of an entry's number says whether weight n is in it."""
    chosen = np.arange(1 << len(weights))[:, None] >> np.arange(len(weights)) & 1
    return (chosen @ weights).tolist()


def table_luts(sums: list[int]) -> int:
    """LUTs of a table: one for each bit that is no constant, no input and like no other."""
    size = len(sums)
    width = signed_range(min(sums), max(sums)).width
    bits = {sum((entry >> bit & 1) << number for number, entry in enumerate(sums)) for bit in range(width)}
    inputs = {
        sum((number >> tap & 1) << number for number in range(size)) for tap in range(size.bit_length() - 1)
    }
    return len(bits - inputs - {0, (1 << size) - 1})


def narrow_tree(m: Module, terms: list[tuple[Signal, int, int]], name: str) -> tuple[Signal, int, int]:
    """The sum of values, a register after each level; each sum is as wide as its least and largest value.

    Parameters
    ----------
    m : Module
    terms : list of (Signal, int, int)
        Values with their ranges.
    name : str

    Returns
    -------
    (Signal, int, int)
        The sum, ``tree_latency(len(terms))`` cycles later, and its range.
    """
    level = 0
    while len(terms) > 1:
        above = []
        for number in range(0, len(terms), 2):
            pair = terms[number : number + 2]
            low, high = sum(term[1] for term in pair), sum(term[2] for term in pair)
            total = Signal(signed_range(low, high), name=f"sum_{name}_{level}_{number // 2}", reset_less=True)
            m.d.sync += total.eq(reduce(lambda a, b: a + b, [term[0] for term in pair]))
            above.append((total, low, high))
        terms, level = above, level + 1
    return terms[0]


def signed_range(low: int, high: int) -> Shape:
    """The narrowest signed shape of a range."""
    return shape_of(QFormat.spanning(low, high, 0))
