"""Proofs of what computes: each pipe's output is its formula, for all inputs of small formats."""

from __future__ import annotations

from functools import partial, reduce

import numpy as np
from amaranth.hdl import Const, Mux, Signal, Value

import hdl.devices.device
import hdl.parts.rounding
import hdl.products.dots
import hdl.products.weigh
import hdl.stages.classify
import hdl.stages.grey
import hdl.stages.pool
import hdl.stages.rescale
import hdl.stages.residual
import hdl.stages.table
from hdl.devices.device import PORTABLE
from model.arithmetic.qformat import QFormat
from model.layers import GreySpec, PoolSpec, ReduceSpec, RequantSpec, RescaleSpec, ResidualSpec
from model.layers.table import TableSpec
from sim.proofs.bench import VALUES, Bench
from sim.proofs.proof import Proof
from sim.proofs.streams import stage


def both(conditions) -> Value:
    """All of some conditions."""
    return reduce(lambda a, b: a & b, conditions)


def nearest(numerator, divisor: int, result, dst: QFormat) -> Value:
    """Whether a result is ``floor(numerator / divisor)``, kept within a format."""
    return within(numerator, divisor, result, dst.min, dst.max)


def within(numerator, divisor: int, result, low: int, high: int) -> Value:
    """Whether a result is ``floor(numerator / divisor)``, kept within limits.

    Said with products, so that no shift, rounding or comparison is written as the hardware has it.
    """
    exact = (result * divisor <= numerator) & (numerator < (result + 1) * divisor)
    exact &= (result >= low) & (result <= high)
    over = (result == high) & (numerator >= (high + 1) * divisor)
    under = (result == low) & (numerator < low * divisor)
    return exact | over | under


def requantised(value, src: QFormat, dst: QFormat, result) -> Value:
    """Whether a result is a value in another format: rounded half up, then saturated."""
    down, up = 1 << max(src.frac - dst.frac, 0), 1 << max(dst.frac - src.frac, 0)
    return nearest(2 * value * up + down, 2 * down, result, dst)


def of_pipe(dut, relation) -> Bench:
    """A bench of a pipe, whose beats stand in a relation lane by lane."""
    bench = Bench(dut)
    bench.pipe(dut, lambda beat, out: both(relation(beat, out[lane], lane) for lane in range(dut.lanes)))
    return bench


def requant(src: QFormat, dst: QFormat) -> Bench:
    dut = hdl.parts.rounding.RequantPipe(src, dst, 2)
    return of_pipe(dut, lambda beat, out, lane: requantised(beat[lane], src, dst, out))


def seeded(src: QFormat, dst: QFormat) -> Bench:
    """The half was added before."""
    dut = hdl.parts.rounding.RequantPipe(src, dst, 1, rounded=True)
    return of_pipe(dut, lambda beat, out, lane: nearest(beat[lane], 1 << src.frac - dst.frac, out, dst))


def rescaled(src: QFormat, offsets, shifts, low: int, high: int, odd=None) -> Bench:
    """Two channels with multipliers of 5 and 3."""
    multipliers = np.array([5, 3])
    spec = RescaleSpec(
        name="s", in_shape=(1, 1, 2), src=src, dst=QFormat(5, 0), multipliers=multipliers,
        offsets=np.array(offsets), shifts=np.array(shifts), low=low, high=high,
        odd=None if odd is None else np.array(odd),
    )  # fmt: skip
    dut = hdl.stages.rescale.RescalePipe(spec, 2, hdl.devices.device.PORTABLE)

    def total(value, lane, of):
        negative, other = (int(offset) for offset in of[:, lane])
        return value * int(multipliers[lane]) + Mux(value < 0, negative, other)

    def relation(beat, out, lane):
        return within(total(beat[lane], lane, spec.offsets), 1 << int(shifts[lane]), out, low, high)

    def by_parity(beat, out, lane):
        """The largest result that the offsets of its parity reach: the next two are not reached."""
        even, uneven = (total(beat[lane], lane, of) for of in (spec.offsets, spec.odd))

        def reached(result):
            return Mux(result[0], uneven, even) >= result * (1 << int(shifts[lane]))

        largest = both((out + more > high) | ~reached(out + more) for more in (1, 2))
        return (out >= low) & (out <= high) & ((out == low) | reached(out)) & largest

    return of_pipe(dut, relation if odd is None else by_parity)


def pooled(mode: str, kernel, src: QFormat, dst: QFormat) -> Bench:
    spec = PoolSpec(
        name="p", in_shape=(*kernel, 2), src=src, dst=dst, mode=mode, kernel=kernel, stride=kernel
    )
    dut = hdl.stages.pool.ReducePipe(spec, 2)

    def relation(beat, out, lane):
        values = [beat[tap * 2 + lane] for tap in range(kernel[0] * kernel[1])]
        if mode == "sum":
            return out == sum(values)
        found = [out == value for value in values]
        return both(out >= value for value in values) & reduce(lambda a, b: a | b, found)

    return of_pipe(dut, relation)


def average(kernel, src: QFormat, dst: QFormat) -> Bench:
    spec = PoolSpec(
        name="p", in_shape=(*kernel, 1), src=src, dst=dst, mode="avg", kernel=kernel, stride=kernel
    )
    dut, taps = hdl.parts.rounding.AveragePipe(spec, 1), kernel[0] * kernel[1]
    down, up = taps << max(src.frac - dst.frac, 0), 1 << max(dst.frac - src.frac, 0)
    low, high = taps * src.min, taps * src.max

    def relation(beat, out, lane):
        reachable = (beat[lane] >= low) & (beat[lane] <= high)
        return ~reachable | nearest(2 * beat[lane] * up + down, 2 * down, out, dst)

    return of_pipe(dut, relation)


def add(body: QFormat, shortcut: QFormat) -> Bench:
    def made(name, fmt):
        return (RequantSpec(name=name, in_shape=(1, 1, 2), src=body, dst=fmt),)

    spec = ResidualSpec(
        name="r", in_shape=(1, 1, 2), src=body, dst=body, body=made("a", body), shortcut=made("b", shortcut)
    )
    dut, finer = hdl.stages.residual.AddPipe(spec, 2), max(body.frac, shortcut.frac)
    left, right = 1 << finer - body.frac, 1 << finer - shortcut.frac

    def relation(beat, out, lane):
        return out == beat["body"][lane] * left + beat["shortcut"][lane] * right

    return of_pipe(dut, relation)


def table(src: QFormat, dst: QFormat) -> Bench:
    entries = np.random.default_rng(0).integers(dst.min, dst.max + 1, 1 << src.width)
    spec = TableSpec(name="t", in_shape=(1, 1, 2), src=src, dst=dst, function="drawn", table=entries)
    dut = hdl.stages.table.TablePipe(spec, 2, PORTABLE)

    def relation(beat, out, lane):
        return both(
            (Value.cast(beat[lane]) != index) | (out == int(entry)) for index, entry in enumerate(entries)
        )

    return of_pipe(dut, relation)


def weighed(weights, src: QFormat) -> Bench:
    weights = np.array(weights)
    spec = ReduceSpec(
        name="w", in_shape=(*weights.shape, 1), src=src, dst=src, weights=weights, divisor=1, stride=(1, 1)
    )
    dut = hdl.products.weigh.WeighPipe(spec, 1)
    numbers = weights.ravel().tolist()
    return of_pipe(dut, lambda beat, out, _: out == sum(beat[n] * w for n, w in enumerate(numbers)))


def dots(src: QFormat, weights: list[list[int]], width: int) -> Bench:
    """Sums of products with a step's weights, by multipliers."""
    words = [
        sum((weight % (1 << width)) << width * lane for lane, weight in enumerate(row)) for row in weights
    ]
    dut = hdl.products.dots.Dots(
        src, QFormat(width, 0), len(weights[0]), 1, words, hdl.devices.device.PORTABLE
    )
    bench = Bench(dut)
    index, x = bench.any(range(len(weights)), "index"), bench.any(len(Value.cast(dut.x)), "x")
    bench.m.d.comb += [dut.index.eq(index), Value.cast(dut.x).eq(x)]
    came = Const(1)
    for cycle in range(dut.latency):
        later = [
            Signal.like(Value.cast(value), name=f"{name}_{cycle}")
            for name, value in (("came", came), ("index", index), ("x", x))
        ]
        bench.m.d.sync += [new.eq(old) for new, old in zip(later, (came, index, x))]
        came, index, x = later
    for number, row in enumerate(weights):
        right = sum(x.word_select(lane, src.width) * weight for lane, weight in enumerate(row))
        bench.hold(VALUES, ~came | (index != number) | (dut.dots[0] == right))
    return bench


def lightness(src: QFormat) -> Bench:
    spec = GreySpec(name="g", in_shape=(1, 1, 3), src=src, dst=src, mode="lightness")
    dut = hdl.stages.grey.ExtremesPipe(spec)
    bench = Bench(dut)

    def relation(beat, out):
        low = high = beat[0]
        for value in (beat[1], beat[2]):
            low, high = Mux(value < low, value, low), Mux(value > high, value, high)
        return out[0] == low + high

    bench.pipe(dut, relation)
    return bench


def argmax(fmt: QFormat, count: int) -> Bench:
    dut = hdl.stages.classify.Argmax(fmt, count)
    bench = stage(dut)

    def relation(beats, _, out):
        values = [
            beats[0][n * fmt.width :][: fmt.width].as_signed()
            if fmt.signed
            else beats[0][n * fmt.width :][: fmt.width]
            for n in range(count)
        ]
        wins = [
            both(value > other if n < index else value >= other for n, other in enumerate(values))
            for index, value in enumerate(values)
        ]
        chosen = Const(0)
        for index, win in enumerate(wins):
            chosen = chosen | (win & (out.cls == index))
        return chosen & (Value.cast(out.logits) == beats[0])

    bench.frames(dut.i, dut.o, 1, 1, relation, flight=1, settle=count + 3)
    return bench


S, U = partial(QFormat, signed=True), partial(QFormat, signed=False)
PROOFS = [
    Proof("Requant s6.3 to s3.1", partial(requant, S(6, 3), S(3, 1)), "rounded", fast=True),
    Proof("Requant s8.4 to u4.2", partial(requant, S(8, 4), U(4, 2)), "saturated", fast=True),
    Proof("Requant u8.4 to s5.4", partial(requant, U(8, 4), S(5, 4))),
    Proof("Requant s4.1 to s6.4", partial(requant, S(4, 1), S(6, 4)), "shifted"),
    Proof("Requant s16.10 to s8.3", partial(requant, S(16, 10), S(8, 3))),
    Proof("Requant s20.12 to u8.4", partial(requant, S(20, 12), U(8, 4))),
    Proof("Requant s21.14 to s8.5, seeded", partial(seeded, S(21, 14), S(8, 5))),
    Proof(
        "RescalePipe, s6 by sign",
        partial(rescaled, S(6, 0), [[-7, -4], [9, -4]], [3, 2], -6, 11),
        "rescaled",
        fast=True,
    ),
    Proof(
        "RescalePipe, s5, halves to even",
        partial(rescaled, S(5, 0), [[3, 1], [4, 2]], [3, 2], -6, 7, [[4, 2], [3, 2]]),
        "to_even",
        fast=True,
    ),
    Proof("RescalePipe, u8", partial(rescaled, U(8, 0), [[0, 5], [0, 5]], [4, 6], 0, 15)),
    Proof("ReducePipe, maximum of 2x2 s4", partial(pooled, "max", (2, 2), S(4, 0), S(4, 0)), "maximum"),
    Proof("ReducePipe, sum of 3x1 u2", partial(pooled, "sum", (3, 1), U(2, 0), S(8, 0)), "sum"),
    Proof("AveragePipe, 2x2 u4", partial(average, (2, 2), U(4, 0), U(4, 0)), "average"),
    Proof("AveragePipe, 3x3 s4.1 to s5.2", partial(average, (3, 3), S(4, 1), S(5, 2))),
    Proof("AddPipe, s4.3 + u3.1", partial(add, S(4, 3), U(3, 1)), "add", fast=True),
    Proof("TablePipe, s4 to s3", partial(table, S(4, 0), S(3, 0)), "table", fast=True),
    Proof("WeighPipe, 7 -3 0 5", partial(weighed, [[7, -3], [0, 5]], U(2, 0)), "weigh", fast=True),
    Proof("Dots, u3 by 3 -4 and -1 2", partial(dots, U(3, 0), [[3, -4], [-1, 2]], 3), "dots", fast=True),
    Proof("ExtremesPipe, 3 of u4", partial(lightness, U(4, 0)), "lightness", fast=True),
    Proof("Argmax, 3 of s3", partial(argmax, S(3, 0), 3), "argmax", fast=True),
    Proof("Argmax, 4 of u2", partial(argmax, U(2, 0), 4)),
]
