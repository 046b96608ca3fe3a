"""What the estimate takes synthesis to make of memories and products, against synthesis itself."""

import json
import subprocess

import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Module, Shape, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.catalogue.toolchains import TRELLIS
from boards.tools.flow import program
from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.parts.memory import Ram, Rom
from hdl.parts.rounding import AveragePipe
from hdl.planning.pieces import ram, rom
from hdl.planning.products import resources
from hdl.stages.rescale import RescalePipe
from model.arithmetic.qformat import QFormat
from model.layers import PoolSpec, RescaleSpec
from sim.simulators.verilog import emit_rtlil

WIDEST = 64
PRODUCTS = [
    (unsigned(18), unsigned(18)),
    (unsigned(18), signed(8)),
    (signed(19), signed(8)),
    (signed(20), signed(8)),
    (unsigned(19), unsigned(19)),
    (unsigned(20), unsigned(20)),
    (signed(37), signed(20)),
    (signed(38), unsigned(17)),
    (unsigned(36), signed(3)),
]
"""Wider than a multiplier: parts of one bit and of more, and unsigned factors that get a sign."""
ROMS = [
    # width, depth, columns that are 0, columns that are 1
    (32, 4932, 0, 0),
    (32, 4932, 0xFFFF0000, 0),
    (32, 4932, 0x0000FFF0, 0xF00F0000),
    (20, 1500, 0, 0),
    (9, 3000, 0, 0x180),
    (1, 9000, 0, 0),
    (37, 600, 0, 0),
    (40, 500, 0xFF00000000, 0),
]
RAMS = [(8, 1568), (40, 1500), (24, 3000), (13, 700), (36, 300), (3, 9000), (17, 129)]
AVERAGES = [
    # bits, signed, kernel, fraction bits that go
    (8, False, (3, 3), 0),
    (8, False, (2, 2), 0),
    (12, True, (3, 3), 0),
    (14, False, (3, 3), 0),
    (14, False, (5, 5), 2),
    (16, True, (2, 3), 1),
]
RESCALES = [
    # bits of a sum, bits of a multiplier, channels, lanes
    (20, 23, 4, 4),
    (18, 17, 4, 2),
    (18, 18, 6, 1),
    (24, 1, 3, 3),
    (36, 24, 2, 1),
    (21, 22, 256, 4),
]
"""One multiplier a lane, two, four, none, six; constants in wires, in LUTs and in block RAM."""


class Product(wiring.Component):
    """A product in the family's form."""

    def __init__(self, a: Shape, b: Shape):
        super().__init__({"a": In(a), "b": In(b), "product": Out(2 * WIDEST)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.product.eq(ECP5.multiply(m, self.a, self.b, "cell"))
        return m


class Apart(wiring.Component):
    """Parts side by side, whose inputs and outputs are all used."""

    def __init__(self, parts: list[wiring.Component]):
        self.parts = parts
        sizes = [[len(Cat(values)) for values in members(part)] for part in parts]
        outputs = {f"o{n}": Out(made) for n, (_, made) in enumerate(sizes)}
        super().__init__({"i": In(max(given for given, _ in sizes)), **outputs})

    def elaborate(self, platform):
        m = Module()
        for n, part in enumerate(self.parts):
            m.submodules[f"part{n}"] = part
            given, made = members(part)
            m.d.comb += [Cat(given).eq(self.i), getattr(self, f"o{n}").eq(Cat(made))]
        return m


def members(part: wiring.Component) -> tuple[list[Value], list[Value]]:
    """Inputs and outputs, but for those that are constant."""
    flows = {In: [], Out: []}
    for _, member, value in part.signature.flatten(part):
        if not isinstance(value := Value.cast(value), Const):
            flows[member.flow].append(value)
    return flows[In], flows[Out]


def synthesised(parts: list[wiring.Component], folder) -> list[dict[str, int]]:
    """Cells that each part becomes."""
    names = [f"top.part{n}" for n in range(len(parts))]
    (folder / "top.il").write_text(emit_rtlil(Apart(parts)))
    (folder / "top.ys").write_text(
        f"read_rtlil top.il; setattr -mod -set keep_hierarchy 1 {' '.join(names)}\n"
        "synth_ecp5 -top top -run begin:map_gates; tee -q -o cells.json stat -json\n"
    )
    command = [program(TRELLIS.tools["yosys"]), "-q", "top.ys"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    modules = json.loads((folder / "cells.json").read_text())["modules"]
    return [modules[f"\\{name}"]["num_cells_by_type"] for name in names]


def pool(bits: int, has_sign: bool, kernel: tuple[int, int], fewer: int) -> PoolSpec:
    """An average whose quotients have fewer fraction bits."""
    src, dst = (QFormat(bits, bits - gone, has_sign) for gone in (0, fewer))
    fields = {"name": "pool", "in_shape": (10, 12, 1), "src": src, "dst": dst, "mode": "avg"}
    return PoolSpec(**fields, kernel=kernel, stride=kernel)


def rescale(rng, bits: int, width: int, channels: int) -> RescaleSpec:
    """Any constants, but a widest multiplier of so many bits."""
    multipliers = rng.integers(1 << width >> 1, 1 << width, channels)
    offsets = np.sort(rng.integers(-(1 << bits), 1 << bits, (2, channels)), axis=0)
    shifts = rng.integers(bits, bits + 4, channels)
    return RescaleSpec(
        name="scale", in_shape=(2, 2, channels), src=QFormat(bits, 0), dst=QFormat(8, 0), low=-128, high=127,
        multipliers=multipliers, offsets=offsets, shifts=shifts,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """What synthesis makes of all of them: of products, ROMs, RAMs, averages, rescales."""
    rng = np.random.default_rng(7)
    contents = [
        [int.from_bytes(rng.bytes(8), "little") % (1 << width) & ~zeros | ones for _ in range(depth)]
        for width, depth, zeros, ones in ROMS
    ]
    groups = [
        [Product(*shapes) for shapes in PRODUCTS],
        [Rom(width, words, ECP5) for (width, *_), words in zip(ROMS, contents)],
        [Ram(width, depth, ECP5) for width, depth in RAMS],
        [AveragePipe(pool(*given), 1) for given in AVERAGES],
        [RescalePipe(rescale(rng, *given), lanes, ECP5) for *given, lanes in RESCALES],
    ]
    found = iter(synthesised([part for group in groups for part in group], tmp_path_factory.mktemp("yosys")))
    return groups, [[next(found) for _ in group] for group in groups]


def blocks(found: dict[str, int]) -> int:
    """Block RAMs among cells, in either form."""
    return found.get("DP16KD", 0) + found.get("PDPW16KD", 0)


def test_wide_products(cells):
    counted = [found.get("MULT18X18D", 0) for found in cells[1][0]]
    assert counted == [ECP5.multipliers(1, *shapes) for shapes in PRODUCTS] == [1, 1, 1, 2, 1, 4, 4, 3, 2]


def test_averages(cells):
    counted = [found.get("MULT18X18D", 0) for found in cells[1][3]]
    assert counted == [resources(pipe, ECP5).dsp for pipe in cells[0][3]]
    assert set(counted) >= {0, 1, 2}


def test_rescales(cells):
    counted = [(found.get("MULT18X18D", 0), blocks(found)) for found in cells[1][4]]
    told = [resources(pipe, ECP5) for pipe in cells[0][4]]
    assert counted == [(tally.dsp, tally.bram) for tally in told]
    per_lane = [hard // lanes for (hard, _), (*_, lanes) in zip(counted, RESCALES)]
    assert per_lane[:5] == [4, 1, 2, 0, 6] and counted[-1][1] > 0


def test_roms_and_columns_that_are_constant(cells):
    counted = [blocks(found) for found in cells[1][1]]
    assert counted == [rom(part.width, part.words, ECP5).bram for part in cells[0][1]]
    # not what the shape alone asks for: ends and starts of parts lie in one block
    assert counted[:3] == [9, 5, 4]


def test_rams(cells):
    counted = [blocks(found) for found in cells[1][2]]
    assert counted == [ram(width, depth, ECP5).bram for width, depth in RAMS]
    # bytes stay whole where words are written
    assert Device.brams(ECP5, 13, 2000) == 2 > Device.brams(ECP5, 13, 1000)
