"""Netlists in simulation: right ones are as the golden model, and broken ones are told by their layer."""

import re

import numpy as np
import pytest

from hdl.device import PORTABLE
from hdl.ecp5 import ECP5
from hdl.folding import StagePlan
from hdl.netplan import Plan
from model.cli import Failure
from model.layers import ConvSpec, DenseSpec, RequantSpec
from model.qformat import QFormat
from model.qnetwork import QNetwork
from sim import netlist
from sim.accelerator import AcceleratorBench, first_mismatch
from sim.bench import Broken
from sim.cells import cells, models
from sim.netlist import NETLIST, SOURCE, Recipe
from sim.taps import first_difference


def recipe(*synthesis: str) -> Recipe:
    """Yosys' own synthesis for a family."""
    steps = f"read_rtlil {SOURCE}", *synthesis, f"write_verilog -noattr {NETLIST}"
    return Recipe(synthesis[0].split()[0].partition("_")[2], "\n".join(steps) + "\n")


ON_ECP5 = recipe("synth_ecp5 -top top -run begin:map_luts", "opt_clean -purge", "synth_ecp5 -run map_luts:")
"""As boards.flow has it."""


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
    assert list(bench.layers.values()) == [1, 2, 2]
    assert check(bench) == (None, None)
    assert check(bench, 0.0) == (None, None)


@pytest.mark.parametrize(("layer", "cell"), [("relu", "conv_compute"), ("dense", "dense_compute")])
def test_a_broken_netlist_is_told_by_its_layer(layer, cell, monkeypatch):
    """One multiplier takes a factor's sign for a digit."""
    synthesise = netlist.synthesise

    def broken(*arguments):
        text = synthesise(*arguments)
        places = [
            found for found in re.finditer(r"MULT18X18D #\(.*?\);", text, re.DOTALL) if cell in found[0]
        ]
        whole = places[0][0]
        assert whole.count(".SIGNEDB(1'h1)") == 1
        return text.replace(whole, whole.replace(".SIGNEDB(1'h1)", ".SIGNEDB(1'h0)"))

    monkeypatch.setattr("sim.bench.synthesise", broken)
    answer, difference = check(AcceleratorBench(NET, PLAN, ECP5, recipe=ON_ECP5, tapped=True))
    assert answer is not None
    assert difference.layer == layer
    assert f"the first stage that differs is layer '{layer}'" in str(difference)


def test_a_netlist_that_hangs_is_told_by_its_layer(monkeypatch):
    """A flip-flop of the dense layer's front never loads."""
    synthesise = netlist.synthesise

    def broken(*arguments):
        text = synthesise(*arguments)
        found = re.search(r"dense_compute\S*room\b", text)
        assert found
        name = re.escape(found[0])
        return re.sub(rf"\.Q\((\\\S*{name} )\)", r".Q()", text)

    monkeypatch.setattr("sim.bench.synthesise", broken)
    bench = AcceleratorBench(NET, PLAN, ECP5, recipe=ON_ECP5, tapped=True)
    with pytest.raises(Broken, match="it hangs") as error:
        bench.run(IMAGES)
    difference = first_difference(NET, IMAGES, bench.layers, error.value.taps)
    assert (difference.layer, difference.got) == ("dense", None)


def test_yosys_merging_products_is_caught():
    """yosys 0.70 takes two registered products that are added for one multiplier of the iCE40."""
    wrong = AcceleratorBench(NET, PLAN, PORTABLE, recipe=recipe("synth_ice40 -dsp -top top"), tapped=True)
    answer, difference = check(wrong)
    assert answer is not None and difference is not None
    right = AcceleratorBench(NET, PLAN, PORTABLE, recipe=recipe("synth_ice40 -top top"), tapped=True)
    assert check(right) == (None, None)


def test_models_of_a_netlist_are_those_of_yosys():
    text = "// netlist of ice40 cells\nmodule top; SB_LUT4 a(); endmodule\n"
    found = cells(text)
    assert list(found) == ["library.v"] and "module SB_LUT4" in found["library.v"]
    assert "library.v" not in cells("module top; endmodule")
    assert "include" not in models("ecp5") and not re.search(r"module DP16KD", models("ecp5"))


def test_an_unknown_family_is_one_line():
    with pytest.raises(ValueError, match="yosys has no models of asic cells"):
        models("asic")


def test_a_script_that_fails_is_one_line(tmp_path):
    with pytest.raises(Failure, match=r"yosys.* failed: .*ERROR") as error:
        netlist.netlist({"top.ys": "synth_nothing\n"}, "ecp5", tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
