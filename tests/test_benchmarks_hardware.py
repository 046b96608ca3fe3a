"""The points that the benchmark of the hardware measures."""

import json

import numpy as np
import pytest

from benchmarks import hardware
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from hdl.planning.cost import bound_cycles, planned_cycles
from model import cli
from model.files import artifact
from model.quantisation.quantise import quantise
from model.training.nets import NETS
from sim.bench.accelerator import Figures


@pytest.fixture(scope="module", params=sorted(NETS))
def net(request, tmp_path_factory):
    """The file of a shipped net's shape with its first weights: a plan does not depend on them."""
    rng = np.random.default_rng(0)
    network = NETS[request.param].network((28, 28, 1), 10, rng)
    path = tmp_path_factory.mktemp("nets") / "net.npz"
    images = rng.integers(0, 256, (16, 28, 28, 1)).astype(np.uint8)
    artifact.save(path, quantise(network, images, name=request.param))
    return str(path)


def test_from_one_multiplier_to_a_pixel_a_cycle(net):
    points = list(hardware.distinct([net], [*hardware.COUNTS, 1 << 20], hardware.BUSY))
    assert len(points) >= 9
    counts = [plan.multipliers for _, plan in points]
    assert counts[0] == 1 and counts == sorted(counts)
    efficiencies = [bound_cycles(*point) / planned_cycles(*point) for point in points]
    assert min(efficiencies) >= 0.95
    # Rows of padding take their cycles, at one pixel a cycle.
    assert planned_cycles(*points[-1]) in (28 * 28, 29 * 28)


def test_a_measured_row():
    net = artifact.load("lenet")
    plan = Plan({"conv1": StagePlan(25, 6, "a"), "conv2": StagePlan(25, 4, "a"), "dense1": StagePlan(8, 1)})
    row = hardware.row(net, plan)
    assert row["multipliers"] == 158 and row["shared"] == [["conv1", "conv2"]]
    assert row["ii_cycles"] == row["planned_cycles"] == 24 * 28 + 64 * 6 * 4
    assert row["efficiency"] == round(row["bound_cycles"] / row["ii_cycles"], 4)
    assert row["latency_cycles"] > row["cycles_after_last_pixel"] > 0


def test_routed_rows(monkeypatch, capsys, tmp_path):
    """With tools that only say what they reach: a clock may be missed, and tools may fail.

    What is too large is not built.
    """
    asked = []

    def build(design, need, out, seed):
        asked.append((design.target.name, out.name, seed))
        if need.dsp == 2:
            raise cli.Failure("no legal placement")
        used = {"lut": need.lut + 1, "ff": 7, "dsp": need.dsp, "bram": need.bram}
        return {
            "clock": {"fmax_mhz": 50.0, "met": False},
            "throughput": {"ii_cycles": 1000},
            "resources": {name: {"used": count} for name, count in used.items()},
        }

    figures = Figures(ii_cycles=1000, latency_cycles=90, cycles_after_last_pixel=12, bound_cycles=30)
    monkeypatch.setattr(hardware, "build", build)
    monkeypatch.setattr(hardware, "measure", lambda net, plan: figures)
    path = tmp_path / "rows.json"
    options = ["--net", "lenet", "--multipliers", "1", "2", "512", "--place", "ulx3s-12f", "--seed", "3"]
    assert cli.run(hardware.main, [*options, "--json", str(path)]) == 0
    small, failed, large = json.loads(path.read_text())["rows"]
    assert asked == [("ulx3s-12f", f"lenet-{count}", 3) for count in (1, 2)] and large["placed"] is None
    assert failed["placed"] == {"board": "ulx3s-12f", "seed": 3, "failed": "no legal placement"}
    placed = small["placed"]
    assert (placed["board"], placed["seed"], placed["ff"], placed["dsp"]) == ("ulx3s-12f", 3, 7, 1)
    assert (placed["fmax_mhz"], placed["frames_per_second"]) == (50.0, 50_000.0)
    printed = capsys.readouterr().out
    assert "too large" in printed and "failed" in printed
    assert cli.run(hardware.main, options[:4]) == 0 and "MHz" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [["--multipliers", "0"], ["--busy", "1.5"], ["--net", "none"], ["--place", "none"]],
)
def test_bad_options(options, capsys):
    assert cli.run(hardware.main, options) == 2
    assert capsys.readouterr().err.count("\n") == 1
