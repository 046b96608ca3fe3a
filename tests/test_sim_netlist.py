"""Netlists in simulation: right ones are as the golden model, and broken ones are told by their layer."""

import re

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from model.arithmetic.qformat import QFormat
from model.cli import Failure
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec, RequantSpec
from sim.bench.accelerator import AcceleratorBench, first_mismatch
from sim.bench.bench import Bench, Broken
from sim.bench.taps import first_difference, stuck
from sim.simulators import netlist
from sim.simulators.cells import cells, models
from sim.simulators.netlist import NETLIST, SOURCE, Recipe


def recipe(*synthesis: str) -> Recipe:
    """Yosys' own synthesis for a family."""
    steps = f"read_rtlil {SOURCE}", *synthesis, f"write_verilog -noattr {NETLIST}"
    return Recipe(synthesis[0].split()[0].partition("_")[2], "\n".join(steps) + "\n")


ON_ECP5 = recipe("synth_ecp5 -top top -run begin:map_luts", "opt_clean -purge", "synth_ecp5 -run map_luts:")
"""As boards.tools.flow has it."""


def wide_convolution() -> ConvSpec:
    """One whose products are wide enough for a multiplier of the iCE40."""
    rng = np.random.default_rng(3)
    return ConvSpec(
        name="conv", in_shape=(4, 5, 1), src=QFormat(8, 8, False), dst=QFormat(9, 4),
        weights=rng.integers(-128, 128, (2, 2, 1, 2)), weight_format=QFormat(8, 6),
        bias=rng.integers(-90, 90, 2),
    )  # fmt: skip


def small_net() -> QNetwork:
    """A convolution and a dense layer on images of 4 x 5."""
    rng = np.random.default_rng(3)
    pixels = QFormat(6, 6, False)
    conv = ConvSpec(
        name="conv", in_shape=(4, 5, 1), src=pixels, dst=QFormat(7, 4),
        weights=rng.integers(-8, 8, (2, 2, 1, 2)), weight_format=QFormat(4, 2), bias=rng.integers(-90, 90, 2),
    )  # fmt: skip
    relu = RequantSpec(name="relu", in_shape=conv.out_shape, src=conv.dst, dst=QFormat(6, 4, False))
    dense = DenseSpec(
        name="dense", in_shape=relu.out_shape, src=relu.dst, dst=QFormat(16, 6),
        weights=rng.integers(-8, 8, (int(np.prod(relu.out_shape)), 3)), weight_format=QFormat(4, 2),
        bias=rng.integers(-90, 90, 3),
    )  # fmt: skip
    return QNetwork("small", pixels, (conv, relu, dense))


ICE40 = Device("ice40", bram_shapes=((256, 16),), lutram_words=0)
"""Without LUT RAM, and with multipliers that synthesis finds."""
NET = small_net()
PLAN = Plan({"conv": StagePlan(4, 1), "dense": StagePlan(2, 1)})
IMAGES = np.random.default_rng(4).integers(0, 64, (30, *NET.in_shape))


def check(bench: AcceleratorBench, stalls: float = 0.3):
    """The first wrong answer and the first wrong layer."""
    result = bench.run(IMAGES, stalls, seed=1)
    answer = first_mismatch(NET.logits(IMAGES), result)
    return answer, first_difference(NET, IMAGES, bench.layers, result.taps)


def test_a_netlist_equals_the_golden_model():
    bench = AcceleratorBench(NET, PLAN, ECP5, recipe=ON_ECP5, tapped=True)
    assert list(bench.layers.values()) == [range(2), range(2, 3), range(2, 3)]
    assert check(bench) == (None, None)
    assert check(bench, 0.0) == (None, None)


def tampered(monkeypatch, change) -> AcceleratorBench:
    """The bench of a netlist that is not as synthesis made it."""
    monkeypatch.setattr(
        "sim.bench.bench.synthesise", lambda *arguments: change(netlist.synthesise(*arguments))
    )
    return AcceleratorBench(NET, PLAN, ECP5, recipe=ON_ECP5, tapped=True)


@pytest.mark.parametrize(
    ("layers", "cell"),
    [
        pytest.param("layers 'conv' to 'relu'", "conv_compute", marks=pytest.mark.slow),
        ("layer 'dense'", "dense_compute"),
    ],
)
def test_a_broken_netlist_is_told_by_its_layer(layers, cell, monkeypatch):
    """A bit of a factor does not reach its multiplier."""

    def change(text):
        cells = (found[0] for found in re.finditer(r"MULT18X18D #\(.*?\);", text, re.DOTALL))
        whole = next(found for found in cells if cell in found)
        broken, count = re.subn(r"\.A1\([^)]+\)", ".A1(1'h0)", whole)
        assert count == 1 and broken != whole
        return text.replace(whole, broken)

    answer, difference = check(tampered(monkeypatch, change))
    assert answer is not None
    assert str(difference).startswith(f"the first stage that differs is {layers}: in frame ")


def test_a_netlist_that_hangs_is_told_by_its_layer(monkeypatch):
    """Credits of the dense layer never come to be."""

    def change(text):
        broken, count = re.subn(r"\.Q\(\\\S*dense_compute\.front\.room \)", ".Q()", text)
        assert count == 1
        return broken

    bench = tampered(monkeypatch, change)
    with pytest.raises(Broken, match="it hangs") as error:
        bench.run(IMAGES)
    assert error.value.hangs
    assert stuck(NET, bench.layers, error.value.handshakes) == "it stands still in layer 'dense'"


def test_yosys_merging_products_is_caught():
    """yosys 0.70 takes two registered products that are added for one multiplier of the iCE40."""
    net = QNetwork("wide", QFormat(8, 8, False), (wide_convolution(),))
    images = np.random.default_rng(5).integers(0, 256, (20, *net.in_shape))
    plan, script = Plan({"conv": StagePlan(2, 1)}), recipe("synth_ice40 -dsp -top top")
    bench = AcceleratorBench(net, plan, ICE40, recipe=script, tapped=True)
    result = bench.run(images)
    assert first_mismatch(net.logits(images), result) is not None
    assert first_difference(net, images, bench.layers, result.taps).layers == "layer 'conv'"


class Memories(wiring.Component):
    """Block RAMs of every shape, each written and read at the same address; no beat does both."""

    SHAPES = {1: 16384, 2: 8192, 4: 4096, 9: 2048, 18: 1024, 36: 512}

    def __init__(self):
        shape = data.StructLayout({"address": 14, "data": 36, "bytes": 4})
        super().__init__(
            {"i": In(stream.Signature(shape)), "o": Out(stream.Signature(sum(self.SHAPES)))},
        )

    def elaborate(self, platform):
        m = Module()
        moves = self.i.valid & self.i.ready
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
        words = []
        for width, depth in self.SHAPES.items():
            rng = np.random.default_rng(width)
            contents = [int(word) for word in rng.integers(0, 1 << width, depth)]
            m.submodules[f"memory{width}"] = store = memory.Memory(
                shape=width, depth=depth, init=contents, attrs={"ram_style": "block"}
            )
            write = store.write_port(granularity=min(width, 9))
            read = store.read_port()
            beat = self.i.payload
            m.d.comb += [
                write.addr.eq(beat.address),
                write.data.eq(beat.data),
                write.en.eq(Mux(moves, beat.bytes, 0)),
                read.addr.eq(beat.address),
                read.en.eq(moves & (beat.bytes == 0)),
            ]
            words.append(read.data)
        m.d.comb += self.o.payload.eq(Cat(words))
        return m


@pytest.mark.slow
def test_block_rams_of_every_shape():
    rng = np.random.default_rng(8)
    count = 6000
    beats = {
        # few addresses, so that most are met again
        "address": rng.integers(0, 40, count) * 409,
        "data": rng.integers(0, 1 << 36, count),
        "bytes": rng.integers(0, 16, count) * rng.integers(0, 2, count),
    }
    netlists, verilog = Bench(Memories(), recipe=ON_ECP5), Bench(Memories())
    ours, theirs = (bench.run(beats, count).beats for bench in (netlists, verilog))
    np.testing.assert_array_equal(ours, theirs)


def test_models_of_a_netlist_are_those_of_yosys():
    text = "// netlist of ice40 cells\nmodule top; SB_LUT4 a(); endmodule\n"
    found = cells(text)
    assert list(found) == ["library.v"] and "module SB_LUT4" in found["library.v"]
    assert "library.v" not in cells("module top; endmodule")
    assert "include" not in models("ecp5") and not re.search(r"module DP16KD", models("ecp5"))


def test_pads_of_one_direction_have_models_of_their_own(tmp_path):
    """One at a port that only reads, or always drives; one that is switched stays what it is."""
    pads = "".join(
        f"SB_IO #(.PIN_TYPE(6'h{kind})) p{number} (.PACKAGE_PIN(pin[{number}]), .OUTPUT_ENABLE({enable}));\n"
        for number, (kind, enable) in enumerate((("01", "1'h0"), ("29", "1'h1"), ("29", "a")))
    )
    source = f"module top(inout [2:0] pin, input a);\n{pads}endmodule\n"
    script = f"read_verilog {SOURCE}\nwrite_verilog -noattr {NETLIST}\n"
    text = netlist.netlist({SOURCE: source, "top.ys": script}, "ice40", tmp_path)
    assert re.findall(r"(SB_IO\w*) #\(", text) == ["SB_IO_INPUT", "SB_IO_OUTPUT", "SB_IO"]
    assert {"sb_io_input.v", "sb_io_output.v"} <= cells(text).keys()


def test_an_unknown_family_is_one_line():
    with pytest.raises(ValueError, match="yosys has no models of asic cells"):
        models("asic")


def test_a_script_that_fails_is_one_line(tmp_path):
    with pytest.raises(Failure, match=r"yosys.* failed: .*ERROR") as error:
        netlist.netlist({"top.ys": "synth_nothing\n"}, "ecp5", tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
