"""Sums with constant weights, hard-wired: shifts and additions, no multiplier."""

from __future__ import annotations

from amaranth.hdl import Module

from hdl.parts.pipe import Pipe, delayed, lanes_of
from hdl.parts.rounding import AveragePipe, RequantPipe
from hdl.products.sharing import adder_graph
from hdl.products.wired import Wired
from model.arithmetic.qformat import QFormat
from model.layers import GreySpec, ReduceSpec
from model.net.prepare import PrepareSpec


class WeighPipe(Pipe):
    """The sum of a window's values with constant weights, lane by lane.

    Latency: the graph's, about ceil(log2(the powers of two in the weights)) cycles. Throughput: one beat a
    cycle.

    Parameters
    ----------
    spec : GreySpec or ReduceSpec
        With `weights`; a value of the beat for each of them and each lane, the lanes of one weight side by
        side.
    lanes : int
    """

    def __init__(self, spec: GreySpec | ReduceSpec, lanes: int):
        self.spec, self.lanes = spec, lanes
        self.graph = adder_graph(spec.weights.reshape(-1, 1), spec.src)
        super().__init__(
            lanes_of(spec.src, spec.weights.size * lanes),
            lanes_of(spec.sum_format, lanes),
            self.graph.latency,
        )

    def elaborate(self, platform):
        m = Module()
        for lane in range(self.lanes):
            m.submodules[f"lane{lane}"] = dots = Wired(self.graph, self.spec.src)
            for tap in range(self.graph.inputs):
                m.d.comb += dots.x[tap].eq(self.i.payload[tap * self.lanes + lane])
            m.d.comb += self.o.payload[lane].eq(dots.sums[0])
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m


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
