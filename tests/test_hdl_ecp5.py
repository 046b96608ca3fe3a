"""The ECP5's multiplier in place of the portable one, in Verilator with a model of the cell."""

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import PORTABLE
from hdl.devices.ecp5 import ECP5, Ecp5
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from hdl.network import Accelerator
from hdl.parts.pipe import delayed
from model.arithmetic.qformat import QFormat
from model.cli import Failure
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec
from random_nets import NetDrawer
from sim.bench.accelerator import AcceleratorBench, first_mismatch
from sim.bench.bench import Bench, Stalls
from sim.simulators.verilog import emit

CELLS = [
    (signed(18), signed(18)),
    (unsigned(17), unsigned(17)),
    (signed(8), unsigned(8)),
    (unsigned(17), signed(3)),
    (unsigned(1), signed(1)),
    (unsigned(1), unsigned(1)),
]
FABRIC = [(unsigned(18), signed(4)), (signed(5), signed(19))]
"""Too wide for the cell."""
PAIRS = CELLS + FABRIC


class Unsigned(Ecp5):
    """Forgets the sign of the first factor."""

    def multiply(self, m, a, b, name):
        return super().multiply(m, a.as_unsigned(), b, name)


class Products(wiring.Component):
    """A product of each pair of shapes, and one of a mutant."""

    def __init__(self):
        pairs = {f"{side}{n}": shape for n, pair in enumerate(PAIRS) for side, shape in zip("ab", pair)}
        products = {f"p{n}": (Signal(a) * Signal(b)).shape() for n, (a, b) in enumerate(PAIRS)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(pairs), always_ready=True)),
                "o": Out(
                    stream.Signature(data.StructLayout({**products, "wrong": signed(36)}), always_ready=True)
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given, out = self.i.payload, self.o.payload
        for n in range(len(PAIRS)):
            product = ECP5.multiply(m, given[f"a{n}"], given[f"b{n}"], f"product{n}")
            assert product.shape() == out[f"p{n}"].shape()
            m.d.comb += out[f"p{n}"].eq(product)
        m.d.comb += out.wrong.eq(Unsigned().multiply(m, given.a2, given.b2, "mutant"))
        valid = delayed(m, self.i.valid, ECP5.product_latency, "valid", reset_less=False)
        m.d.comb += self.o.valid.eq(valid)
        return m


def ends(shape):
    """Smallest and largest value."""
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    return low, low + (1 << shape.width) - 1


def test_products_of_all_signs_and_widths():
    rng, factors, products = np.random.default_rng(0), {}, {}
    for n, (a, b) in enumerate(PAIRS):
        corners = np.array([(x, y) for x in ends(a) for y in ends(b)])
        drawn = [rng.integers(low, high + 1, 300) for low, high in (ends(a), ends(b))]
        factors[f"a{n}"], factors[f"b{n}"] = (np.r_[corners[:, k], drawn[k]] for k in (0, 1))
        products[f"p{n}"] = [int(x) * int(y) for x, y in zip(factors[f"a{n}"], factors[f"b{n}"])]
    component = Products()
    result = Bench(component).run(factors, 304)
    for name, expected in products.items():
        np.testing.assert_array_equal(result.beats[name], expected)
    assert not np.array_equal(result.beats["wrong"], products["p2"])


def test_wide_factors_stay_in_the_fabric():
    assert emit(Products()).count("MULT18X18D") == len(CELLS) + 1


def test_an_accelerator_with_hard_multipliers():
    rng = np.random.default_rng(1)
    pixels, hidden = QFormat(8, 8, False), QFormat(5, 1)
    first = ConvSpec(
        name="conv", in_shape=(6, 5, 2), src=pixels, dst=hidden, weight_format=QFormat(8, 3),
        weights=rng.integers(-128, 128, (3, 3, 2, 4)), bias=rng.integers(-999, 999, 4),
        padding=((1, 1), (0, 1)),
    )  # fmt: skip
    last = NetDrawer(2).weighted(
        DenseSpec, "dense", first.out_shape, hidden, (int(np.prod(first.out_shape)), 5), True
    )
    net = QNetwork("hard", pixels, (first, last))
    plan = Plan({"conv": StagePlan(6, 2), "dense": StagePlan(4, 1)})
    assert emit(Accelerator(net, plan, ECP5)).count("MULT18X18D #") == plan.multipliers
    images = rng.integers(0, 256, (40, *net.in_shape))
    result = AcceleratorBench(net, plan, ECP5).run(images, 0.05, seed=1)
    assert first_mismatch(net.logits(images), result) is None


TABLES = [(1, 1024), (8, 300), (18, 1024), (19, 513), (36, 512), (37, 512), (100, 40), (7, 2000)]
"""(bits, words): two ports, one, several blocks, and more words than a block has."""


class Tables(wiring.Component):
    """A word of each of `TABLES`, and one of a mutant, two cycles after its address."""

    def __init__(self, contents):
        self.contents = contents
        words = {f"t{n}": unsigned(width) for n, (width, _) in enumerate(TABLES)}
        super().__init__(
            {
                "i": In(stream.Signature(11, always_ready=True)),
                "o": Out(
                    stream.Signature(
                        data.StructLayout({**words, "wrong": unsigned(TABLES[0][0])}), always_ready=True
                    )
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for n, (width, depth) in enumerate(TABLES):
            part = Module()
            addr = Signal(range(depth))
            m.d.comb += addr.eq(self.i.payload % depth)
            m.d.comb += self.o.payload[f"t{n}"].eq(ECP5.block_rom(part, addr, self.contents[n], width))
            m.submodules[f"table{n}"] = part
        mutant = Module()
        swapped = [self.contents[0][n ^ 512] for n in range(1024)]
        m.d.comb += self.o.payload.wrong.eq(
            ECP5.block_rom(mutant, self.i.payload[:10], swapped, TABLES[0][0])
        )
        m.submodules.mutant = mutant
        valid = Signal()
        m.d.sync += [valid.eq(self.i.valid), self.o.valid.eq(valid)]
        return m


def test_tables_in_block_ram():
    rng = np.random.default_rng(3)
    contents = [
        [int.from_bytes(rng.bytes(16), "little") % (1 << width) for _ in range(depth)]
        for width, depth in TABLES
    ]
    addresses = rng.permutation(2048)
    component = Tables(contents)
    verilog = emit(component)
    blocks = sum(ECP5.rom_brams(width, depth) for width, depth in TABLES if depth <= 1024)
    assert verilog.count("DP16KD #(") == blocks + 1
    result = Bench(Tables(contents)).run(addresses, len(addresses))
    for n, (width, depth) in enumerate(TABLES):
        expected = [contents[n][address % depth] for address in addresses]
        got = [int(word) for word in result.beats[f"t{n}"]]
        assert got == expected, (width, depth)
    assert [int(word) for word in result.beats["wrong"]] != [contents[0][a % 1024] for a in addresses]


FORMS = (ECP5, PORTABLE)
MEMORIES = [(8, 1568), (9, 2048), (18, 1024), (20, 600), (40, 1500), (3, 2)]
"""(bits, words): blocks of both shapes, one and several."""


class Delays(wiring.Component):
    """Words out of memories in both forms, read ``words - 1`` beats after they were written; the output
    register stalls with what is behind it, but for a mutant's.
    """

    def __init__(self, memories, mutant=False):
        self.memories, self.mutant = memories, mutant
        shape = {
            f"{device.name}{n}": unsigned(width) for n, (width, _) in enumerate(memories) for device in FORMS
        }
        super().__init__(
            {"i": In(stream.Signature(unsigned(40))), "o": Out(stream.Signature(data.StructLayout(shape)))}
        )

    def elaborate(self, platform):
        m = Module()
        held, step, out_en = Signal(), Signal(), Signal()
        m.d.comb += [
            out_en.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(~held | out_en),
            step.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += held.eq(self.i.valid)
        with m.If(out_en):
            m.d.sync += self.o.valid.eq(held)
        for n, (width, depth) in enumerate(self.memories):
            place, following = Signal(range(depth)), Signal(range(depth))
            m.d.comb += following.eq(Mux(place == depth - 1, 0, place + 1))
            with m.If(step):
                m.d.sync += place.eq(following)
            write, read = (place, self.i.payload[:width], step), (following, step)
            for device in FORMS:
                m.submodules[f"{device.name}{n}"] = part = Module()
                word = device.block_ram(part, depth, write, read, Const(1) if self.mutant else out_en)
                m.d.comb += self.o.payload[f"{device.name}{n}"].eq(word)
        return m


def test_memories_read_in_two_cycles():
    values = [int(value) for value in np.random.default_rng(4).integers(0, 1 << 40, 2500)]
    stalls = Stalls(0.2, 5)
    component = Delays(MEMORIES)
    assert emit(component).count("DP16KD #(") == sum(ECP5.ram_brams(*shape) for shape in MEMORIES)
    result = Bench(component).run(values, len(values), stalls_in=stalls, stalls_out=stalls, seed=3)
    for n, (width, depth) in enumerate(MEMORIES):
        expected = [value % (1 << width) for value in [0] * (depth - 1) + values][: len(values)]
        for device in FORMS:
            assert [int(word) for word in result.beats[f"{device.name}{n}"]] == expected, (device.name, n)


def test_a_memory_whose_output_does_not_wait_fails():
    with pytest.raises(Failure, match="changed before it was taken"):
        Bench(Delays(MEMORIES[-1:], mutant=True)).run(range(50), 50, stalls_out=Stalls(0.2, 5))
