"""Proofs of what schedules: credits, sequencers and their sums, shared multipliers, loaded weights."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from unittest import mock

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

import hdl.loadable.loader
import hdl.loadable.loading
import hdl.loadable.loadrom
import hdl.parts.chain
import hdl.parts.pipe
import hdl.parts.rounding
import hdl.products.mac
import hdl.products.share
import hdl.stages.conv
import hdl.stages.pool
import hdl.stages.residual
from hdl.devices.device import PORTABLE
from hdl.folding.layer import Folding, LoadableFolding
from hdl.folding.stage import SERIAL, WIRED, StagePlan
from model.arithmetic.qformat import QFormat
from model.layers import ConvSpec, DenseSpec, PoolSpec, RequantSpec, ResidualSpec
from sim.proofs.arithmetic import both, requantised
from sim.proofs.bench import OUTPUTS, VALUES, Bench
from sim.proofs.proof import Proof
from sim.proofs.streams import stage

BIT = QFormat(1, 0, False)
SETTLE = 18
"""Cycles in which a short chain of pipes is empty, or goes on."""


class Inverter(wiring.Component):
    """The shortest pipe there is: a bit, inverted a cycle later."""

    latency = 1

    def __init__(self):
        self.in_shape = self.out_shape = 1
        super().__init__(
            {
                "i": In(stream.Signature(1, always_ready=True)),
                "o": Out(stream.Signature(1, always_ready=True)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.o.payload.eq(~self.i.payload), self.o.valid.eq(self.i.valid)]
        return m


def shallow(chain, depth: int):
    """A chain whose elastic parts have room for few beats: fewer than full rate takes, so often full."""
    for _, part in chain.stages:
        if isinstance(part, hdl.parts.pipe.Elastic):
            part.depth = max(depth, part.front.burst)
    return chain


def elastic(count: int, depth: int) -> Bench:
    """Credits: the FIFO behind pipes that never stall takes all that comes out of them."""
    dut = hdl.parts.pipe.Elastic([Inverter() for _ in range(count)], PORTABLE)
    dut.depth = depth
    bench = stage(dut)
    bench.no_overflow()
    # the promise of `Elastic`: its input's ready is a register
    (ready,) = (ready for ready, valid in bench.apart)
    bench.apart.append((ready, dut.i.ready))
    bench.frames(
        dut.i, dut.o, 1, 1, lambda beats, _, out: out == (beats[0] ^ count % 2), flight=dut.depth + count + 1,
        settle=SETTLE,
    )  # fmt: skip
    return bench


def layer(inputs: int, outputs: int, shifts=None, seed: int = 0, src: QFormat = BIT) -> DenseSpec:
    """A dense layer of small inputs and weights, whose sums come out as they are."""
    rng = np.random.default_rng(seed)
    spec = DenseSpec(
        name="d", in_shape=(1, 1, inputs), src=src, dst=src, weights=rng.integers(-2, 2, (inputs, outputs)),
        weight_format=QFormat(2, 0), bias=rng.integers(-2, 2, outputs), shifts=shifts,
    )  # fmt: skip
    return replace(spec, dst=spec.accumulator)


def values_of(spec, beats: list[Value]) -> list[Value]:
    """The numbers in some beats."""
    bits, width = Cat(beats), spec.src.width
    parts = [bits[start : start + width] for start in range(0, len(bits), width)]
    return [part.as_signed() if spec.src.signed else part for part in parts]


def sums(spec, values: list[Value]) -> list[Value]:
    """The sums that a layer makes of a vector."""
    return [
        (
            int(spec.bias[output])
            + sum(value * int(weight) for value, weight in zip(values, spec.matrix[:, output]))
        )
        * (1 << int(spec.shifts[output]))
        for output in range(len(spec.bias))
    ]


def dense(spec: DenseSpec, plan: StagePlan) -> Bench:
    parts = hdl.products.mac.mac_parts(spec, plan, PORTABLE, whole=False)
    dut = shallow(hdl.parts.chain.Chain([("d", part) for part in parts], PORTABLE), 2)
    bench = stage(dut)
    bench.no_overflow()
    weighed(bench, dut.i, dut.o, spec, plan)
    return bench


def weighed(bench: Bench, i, o, spec: DenseSpec, plan: StagePlan, *, settle: int = SETTLE) -> None:
    """The outputs of a dense layer between two streams."""
    lanes, inputs = plan.output_lanes, len(spec.weights)

    def relation(beats, number, out):
        expected = sums(spec, values_of(spec, beats))[number * lanes :][:lanes]
        return both(value == right for value, right in zip(out, expected))

    bench.frames(i, o, inputs // plan.input_lanes, len(spec.bias) // lanes, relation, flight=7, settle=settle)


class Shared(wiring.Component):
    """Two layers and the multipliers that they share."""

    def __init__(self, specs, plans):
        foldings = {name: Folding(spec, plan) for name, spec, plan in zip("ab", specs, plans)}
        self.array = hdl.products.share.Array(foldings, PORTABLE)
        self.chains = [
            shallow(
                hdl.parts.chain.Chain(
                    [
                        (name, part)
                        for part in hdl.products.mac.mac_parts(spec, plan, PORTABLE, client, whole=False)
                    ],
                    PORTABLE,
                ),
                2,
            )
            for (name, client), spec, plan in zip(self.array.clients.items(), specs, plans)
        ]
        super().__init__(
            {
                f"{side}{name}": flow(stream.Signature(getattr(chain, side).payload.shape()))
                for name, chain in zip("ab", self.chains)
                for side, flow in (("i", In), ("o", Out))
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = self.array
        for name, chain in zip("ab", self.chains):
            m.submodules[name] = chain
            wiring.connect(m, wiring.flipped(getattr(self, f"i{name}")), chain.i)
            wiring.connect(m, chain.o, wiring.flipped(getattr(self, f"o{name}")))
        return m


def shared(specs, plans) -> Bench:
    dut = Shared(specs, plans)
    bench = Bench(dut)
    first, last = dut.array.clients.values()
    for name, spec, plan in zip("ab", specs, plans):
        i, o = getattr(dut, f"i{name}"), getattr(dut, f"o{name}")
        bench.feed(i, f"feed_{name}")
        bench.drain(o, f"drain_{name}")
        # the first layer may wait for the last as long as that has work
        weighed(bench, i, o, spec, plan, settle=SETTLE if name == "b" else 0)
    bench.no_overflow()
    bench.hold(OUTPUTS, ~(first.turn & last.turn))
    bench.hold(OUTPUTS, (first.turn | last.turn) == (first.asks | last.asks))
    return bench


def scaled() -> Bench:
    """Each output is shifted by what the memory of its beat holds."""
    spec = layer(1, 2, np.array([0, 3]))
    folding = LoadableFolding(spec, StagePlan(), scaled=True)
    shares = {share.name: share for share in hdl.loadable.loading.shares_of(spec, {"d": folding})}
    loads = hdl.loadable.loading.Loads(
        shares,
        {name: (Signal(hdl.loadable.loadrom.LINK), Signal(hdl.loadable.loadrom.LINK)) for name in shares},
        {},
    )
    dut = hdl.products.mac.ScalePipe(folding, PORTABLE, loads)
    bench = Bench(dut)
    second = Signal()
    with bench.m.If(dut.o.valid):
        bench.m.d.sync += second.eq(~second)
    bench.pipe(dut, lambda beat, out: out[0] == Mux(second, beat[0] * 8, beat[0]))
    return bench


def conv() -> Bench:
    """A whole convolution: 1 x 2 kernels on 1 x 3 pixels."""
    rng = np.random.default_rng(1)
    spec = ConvSpec(
        name="c", in_shape=(1, 3, 1), src=BIT, dst=BIT, weights=rng.integers(-2, 2, (1, 2, 1, 1)),
        weight_format=QFormat(2, 0), bias=np.array([1]),
    )  # fmt: skip
    spec = replace(spec, dst=spec.accumulator)
    parts = hdl.stages.conv.conv_parts(spec, StagePlan(2, 1), 1, PORTABLE)
    dut = shallow(hdl.parts.chain.Chain([("c", part) for part in parts], PORTABLE), 2)
    bench = stage(dut)
    bench.no_overflow()
    bench.frames(
        dut.i, dut.o, 3, 2, lambda beats, n, out: out[0] == sums(spec, beats[n : n + 2])[0], flight=7,
        owed=[0, 1], settle=SETTLE,
    )  # fmt: skip
    return bench


def pool() -> Bench:
    """A whole pooling: the maximum of 2 x 1 of 2 x 2 pixels."""
    spec = PoolSpec(name="p", in_shape=(2, 2, 1), src=BIT, dst=BIT, mode="max", kernel=(2, 1), stride=(2, 1))
    parts = hdl.stages.pool.pool_parts(spec, 1, PORTABLE)
    dut = shallow(hdl.parts.chain.Chain([("p", part) for part in parts], PORTABLE), 2)
    bench = stage(dut)
    bench.no_overflow()
    bench.frames(
        dut.i, dut.o, 4, 2, lambda beats, n, out: out[0] == (beats[n] | beats[n + 2]), flight=7,
        owed=[0, 0, 1], settle=SETTLE,
    )  # fmt: skip
    return bench


def branches() -> Bench:
    """From the fork to the join, one branch with a pipe in it."""
    src, dst = QFormat(2, 1, False), QFormat(1, 0, False)
    body = RequantSpec(name="q", in_shape=(1, 1, 1), src=src, dst=dst)
    spec = ResidualSpec(name="r", in_shape=(1, 1, 1), src=src, dst=src, body=(body,))
    pipe = hdl.parts.rounding.RequantPipe(src, dst, 1)
    dut = hdl.stages.residual.Branches(spec, (([("q", pipe)], 1), ([], 1)), 1, PORTABLE)
    for chain in dut.chains:
        shallow(chain, 2)
    bench = stage(dut)

    def relation(beats, _, out):
        return (Value.cast(out.shortcut) == beats[0]) & requantised(beats[0], src, dst, out.body[0])

    bench.frames(dut.i, dut.o, 1, 1, relation, flight=7, settle=SETTLE)
    return bench


def loadrom(width: int, words: int) -> Bench:
    """A memory takes its bytes of a set, keeps them, and passes on what comes behind."""
    share = hdl.loadable.loadrom.Share("m", width, tuple(range(words)))
    dut = hdl.loadable.loadrom.LoadRom(share, PORTABLE)
    # the address stands behind the last word when the share is full; reading goes on while bytes come in
    bench = Bench(dut, loose=("address",), meets=True)
    m = bench.m
    start, valid = bench.any(1, "start"), bench.any(1, "valid")
    byte, address = bench.any(8, "byte"), bench.any(range(words), "address")
    m.d.comb += [dut.i.start.eq(start), dut.i.valid.eq(valid & ~start), dut.i.data.eq(byte)]
    m.d.comb += dut.addr[0].eq(address)
    # The bytes of the set that are in, and the word that a choice made before looks at.
    count, begun, picked = Signal(range(share.length + 1)), Signal(), Signal(range(words))
    noted, calm, looked = Signal(8 * share.column_bytes), Signal(range(8)), Signal(2)
    takes = dut.i.valid & begun & (count != share.length)
    with m.If(start):
        m.d.sync += [begun.eq(1), count.eq(0), picked.eq(address)]
    with m.Elif(takes):
        m.d.sync += count.eq(count + 1)
        with m.If(count // share.column_bytes == picked):
            m.d.sync += noted.eq(Cat(noted, byte)[8:])
    with m.If(start | takes):
        m.d.sync += calm.eq(0)
    with m.Elif(calm != 7):
        m.d.sync += calm.eq(calm + 1)
    m.d.sync += looked.eq(Cat(address == picked, looked[0]))
    whole = begun & (count == share.length) & (calm == 7)
    bench.hold(VALUES, ~(whole & looked[1]) | (dut.data[0] == noted[:width]))
    passes, late = Signal(), Signal(8)
    m.d.sync += [passes.eq(dut.i.valid & (count == share.length) & begun), late.eq(byte)]
    bench.hold(OUTPUTS, ~begun | (dut.o.valid == passes))
    bench.hold(VALUES, ~dut.o.valid | (dut.o.data == late))
    return bench


def loader() -> Bench:
    """Nothing but a whole and right set is kept; a layout of 2 bytes, one of weights, a checksum of one."""
    crc, layout = catalog.CRC8_AUTOSAR, b"\xa5\x3c"
    small = {"LAYOUT_BYTES": len(layout), "CRC_BYTES": 1, "CRC": crc}
    with mock.patch.multiple(hdl.loadable.loader, **small):
        dut = hdl.loadable.loader.Loader(layout, 1, 2)
        # it is counted below zero as a load ends
        bench = Bench(dut, loose=("left",))
    m = bench.m
    bench.feed(dut.i)
    keep, idle = bench.any(1, "keep"), bench.any(1, "idle")
    m.d.comb += [dut.keep.eq(keep), dut.idle.eq(idle)]
    taken, byte = dut.i.valid & dut.i.ready, dut.i.payload
    # The bytes since the last mark.
    count, noted = Signal(range(5)), Signal(32)
    with m.If(taken):
        with m.If(byte.first):
            m.d.sync += [count.eq(1), noted.eq(Cat(noted[8:], byte.data))]
        with m.Elif((count != 0) & (count != 4)):
            m.d.sync += [count.eq(count + 1), noted.eq(Cat(noted[8:], byte.data))]
    right = (noted[:16] == int.from_bytes(layout, "little")) & (
        checksum(m, list(noted[:24]), crc) == noted[24:]
    )
    bench.hold(VALUES, ~dut.done | ((count == 4) & right))
    was, offered = Signal(), Signal()
    m.d.sync += [was.eq(dut.whole), offered.eq(dut.hold & idle)]
    known = Signal()
    m.d.sync += known.eq(1)
    done = Signal()
    m.d.sync += done.eq(dut.done)
    bench.hold(OUTPUTS, ~(known & dut.whole & ~was) | done)
    bench.hold(OUTPUTS, dut.whole | dut.hold)
    bench.hold(OUTPUTS, ~(dut.link.start | dut.link.valid) | ~dut.whole)
    bench.hold(OUTPUTS, ~dut.link.start | offered)
    return bench


def checksum(m: Module, bits: list[Value], crc) -> Value:
    """A CRC by the definition: bit by bit, the highest of each byte first."""
    state = Const(crc.initial_crc, 8)
    for start in range(0, len(bits), 8):
        for bit in reversed(bits[start : start + 8]):
            following = Signal(8, name="remainder")
            m.d.comb += following.eq((state << 1)[:8] ^ Mux(state[7] ^ bit, crc.polynomial, 0))
            state = following
    return state ^ crc.xor_output


PROOFS = [
    Proof("Elastic around 1 pipe, FIFO of 3", partial(elastic, 1, 3)),
    Proof("Elastic around 3 pipes, FIFO of 2", partial(elastic, 3, 2), "elastic", fast=True),
    Proof("dense 2 to 2, 1 x 1 lanes", partial(dense, layer(2, 2), StagePlan(1, 1)), "dense"),
    Proof("dense 2 to 2, 2 x 1 lanes", partial(dense, layer(2, 2), StagePlan(2, 1))),
    Proof(
        "dense 2 to 2, hard-wired",
        partial(dense, layer(2, 2, src=QFormat(2, 0)), StagePlan(2, 2, weights=WIRED)),
        "wired",
    ),
    Proof(
        "dense 2 to 1, hard-wired, 2 digits",
        partial(dense, layer(2, 1, src=QFormat(2, 0, False)), StagePlan(2, 1, weights=WIRED, digits=2)),
        "digits",
    ),
    Proof("dense 2 to 2, bit by bit", partial(dense, layer(2, 2), StagePlan(2, 1, weights=SERIAL)), "serial"),
    Proof("dense 2 to 1, 2 x 1 lanes", partial(dense, layer(2, 1), StagePlan(2, 1))),
    Proof(
        "dense 1 to 2, scales by channel",
        partial(dense, layer(1, 2, np.array([0, 1])), StagePlan(1, 1)),
        "align",
    ),
    Proof("ScalePipe, shifts of 0 and 3", scaled, "scale", fast=True),
    Proof(
        "two layers, one multiplier",
        partial(shared, (layer(2, 1), layer(1, 2, seed=3)), (StagePlan(), StagePlan())),
        "share",
        {VALUES: 20},
    ),
    Proof("convolution 1x2 on 1x3", conv, "conv", {VALUES: 20}),
    Proof("max-pooling 2x1 on 2x2", pool, "pool"),
    Proof("Branches, a pipe and none", branches, "branches", {OUTPUTS: 30}),
    Proof("LoadRom, 3 words of 5 bits", partial(loadrom, 5, 3), "loadrom"),
    Proof("LoadRom, 2 words of 12 bits", partial(loadrom, 12, 2)),
    Proof("Loader", loader, "loader", {VALUES: 12}),
]
