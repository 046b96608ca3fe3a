"""Sums with constant weights, hard-wired: shifts and additions, no multiplier."""

from __future__ import annotations

from amaranth.hdl import Module, Signal

from hdl.pipe import Pipe, delayed, lanes_of, tree, tree_latency
from hdl.pool import AveragePipe
from hdl.requant import RequantPipe
from model.layers import GreySpec, ReduceSpec
from model.prepare import PrepareSpec
from model.qformat import QFormat


def digits(number: int) -> list[tuple[int, int]]:
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


class WeighPipe(Pipe):
    """The sum of a window's values with constant weights, lane by lane.

    Each weight is a few signed powers of two. What they add and what they subtract is summed by a tree
    each, and then the difference taken.

    Latency: ceil(log2(the larger count of powers of two)) cycles, and 1 if any is negative.
    Throughput: one beat a cycle.

    Parameters
    ----------
    spec : GreySpec or ReduceSpec
        With `weights`; a value of the beat for each of them and each lane, the lanes of one weight side by
        side.
    lanes : int
    """

    def __init__(self, spec: GreySpec | ReduceSpec, lanes: int):
        self.spec, self.lanes = spec, lanes
        weights = spec.weights.ravel().tolist()
        terms = [(tap, *digit) for tap, weight in enumerate(weights) for digit in digits(weight)]
        self.added = [(tap, exponent) for tap, exponent, sign in terms if sign > 0]
        self.subtracted = [(tap, exponent) for tap, exponent, sign in terms if sign < 0]
        self.deepest = tree_latency(max(len(self.added), len(self.subtracted)))
        super().__init__(
            lanes_of(spec.src, len(weights) * lanes),
            lanes_of(spec.sum_format, lanes),
            self.deepest + bool(self.subtracted),
        )

    def elaborate(self, platform):
        m = Module()
        for lane in range(self.lanes):
            added = self.total(m, self.added, lane, f"added{lane}")
            if self.subtracted:
                difference = Signal.like(self.o.payload[lane], name=f"difference{lane}", reset_less=True)
                m.d.sync += difference.eq(added - self.total(m, self.subtracted, lane, f"subtracted{lane}"))
                added = difference
            m.d.comb += self.o.payload[lane].eq(added)
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m

    def total(self, m: Module, terms: list[tuple[int, int]], lane: int, name: str):
        """The sum of some terms of a lane, `deepest` cycles later."""
        if not terms:
            return 0
        values = [self.i.payload[tap * self.lanes + lane].shift_left(exponent) for tap, exponent in terms]
        value, latency = tree(m, values, lambda a, b: a + b, name)
        return delayed(m, value, self.deepest - latency, f"{name}_late")


def floor_parts(spec: PrepareSpec, lanes: int) -> list[Pipe]:
    """From exact sums to the output: divided, rounded down, saturated.

    By a power of two that is a shift; by other divisors a multiplication with their reciprocal.
    """
    shift = spec.divisor.bit_length() - 1
    if spec.divisor != 1 << shift:
        return [AveragePipe(spec, lanes)]
    source, target = spec.sum_format, spec.dst
    return [
        RequantPipe(
            QFormat(source.width, shift), QFormat(target.width, 0, target.signed), lanes, rounded=True
        )
    ]


def weigh_parts(spec: GreySpec | ReduceSpec, lanes: int) -> list[Pipe]:
    """From windows or pixels to the output of a layer with constant weights."""
    return [WeighPipe(spec, lanes), *floor_parts(spec, lanes)]
