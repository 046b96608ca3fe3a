"""The accelerator in Verilator, and the command that verifies it."""

import json

import numpy as np
import pytest

from hdl.devices.ecp5 import ECP5
from hdl.folding.net import Plan
from hdl.planning.cost import bound_cycles, cost
from hdl.planning.search import default
from idx import encode
from model import cli
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec, PoolSpec, RequantSpec
from sim import verify
from sim.bench import accelerator
from sim.bench.accelerator import AcceleratorBench, Mismatch, first_mismatch, measure, wrong

KEYS = {"net", "plan", "simulator", "level", "frames", "mismatches", "ii_cycles", "latency_cycles", "seconds"}


def small_net(seed=0) -> QNetwork:
    """A net of every kind of step on images of 10 x 8 with two channels, with random integers."""
    rng = np.random.default_rng(seed)
    pixels = QFormat(8, 8, False)
    conv = ConvSpec(
        name="conv", in_shape=(10, 8, 2), src=pixels, dst=QFormat(8, 3),
        weights=rng.integers(-8, 8, (3, 3, 2, 4)), weight_format=QFormat(4, 2),
        bias=rng.integers(-500, 500, 4),
    )  # fmt: skip
    pool = PoolSpec(
        name="pool", in_shape=conv.out_shape, src=conv.dst, dst=conv.dst, mode="max", kernel=(2, 2),
        stride=(2, 2),
    )  # fmt: skip
    relu = RequantSpec(name="relu", in_shape=pool.out_shape, src=pool.dst, dst=QFormat(7, 3, False))
    dense = DenseSpec(
        name="dense", in_shape=relu.out_shape, src=relu.dst, dst=QFormat(12, 3),
        weights=rng.integers(-8, 8, (int(np.prod(relu.out_shape)), 5)), weight_format=QFormat(4, 2),
        bias=rng.integers(-500, 500, 5),
    )  # fmt: skip
    return QNetwork("small", pixels, (conv, pool, relu, dense), {"accuracy": None})


NET = small_net()
IMAGES = np.random.default_rng(5).integers(0, 256, (40, 10, 8, 2)).astype(np.uint8)


@pytest.fixture(scope="module")
def bench():
    return AcceleratorBench(NET, default(NET))


@pytest.mark.parametrize("stalls", [0.0, 0.25, 0.8])
def test_every_logit_equals_the_golden_model(bench, stalls):
    result = bench.run(IMAGES, stalls, seed=int(stalls * 10))
    np.testing.assert_array_equal(result.beats["logits"], NET.logits(IMAGES))
    np.testing.assert_array_equal(result.beats["cls"], NET.classify(IMAGES))
    assert result.others == {"dropped": 0}


def test_figures(bench):
    result = bench.run(IMAGES)
    figures = bench.figures(result)
    stages = cost(NET, bench.plan)
    assert figures.bound_cycles == bound_cycles(NET, bench.plan)
    assert max(stage.cycles for stage in stages) <= figures.ii_cycles <= 2 * sum(s.cycles for s in stages)
    assert 0 < figures.cycles_after_last_pixel < figures.latency_cycles
    assert 0 < figures.efficiency <= 1
    assert measure(NET, bench.plan) == figures


def test_measure_refuses_wrong_answers(bench, monkeypatch):
    other = small_net(1)
    monkeypatch.setattr(accelerator, "AcceleratorBench", lambda *_: bench)
    with pytest.raises(cli.Failure, match=r"frame 0: logit \d is -?\d+, the golden model says -?\d+"):
        measure(other, bench.plan)


def test_multipliers_of_the_chip():
    plan = Plan.serial(NET)
    result = AcceleratorBench(NET, plan, ECP5).run(IMAGES[:6], 0.3)
    np.testing.assert_array_equal(result.beats["logits"], NET.logits(IMAGES[:6]))


def test_the_first_mismatch_is_named(bench):
    result, expected = bench.run(IMAGES), NET.logits(IMAGES)
    assert first_mismatch(expected, result) is None
    expected[3, 2] += 1
    expected[7, 0] -= 1
    assert np.flatnonzero(wrong(expected, result)).tolist() == [3, 7]
    assert first_mismatch(expected, result) == Mismatch(3, 2, expected[3, 2] - 1, expected[3, 2])
    result.beats["cls"][1] ^= 1
    assert str(first_mismatch(expected, result)).startswith("frame 1: class is ")


def write_data(folder, images):
    """A folder of IDX files whose test images these are."""
    folder.mkdir()
    for part, some in (("train", images[:2]), ("t10k", images)):
        (folder / f"{part}-images-idx4-ubyte").write_bytes(encode(some))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(encode(np.arange(len(some)) % 5))
    return str(folder)


@pytest.fixture
def given(tmp_path):
    """Options: the net as an artifact, and the images as a data set."""
    path = tmp_path / "small.npz"
    artifact.save(path, NET)
    return ["--net", str(path), "--data", write_data(tmp_path / "data", IMAGES)]


def test_command(given, tmp_path, capsys):
    report = tmp_path / "out" / "verify.json"
    plan = tmp_path / "plan.json"
    default(NET).save(plan)
    options = [*given, "--frames", "40", "--plan", str(plan), "--json", str(report)]
    assert cli.run(verify.main, options) == 0
    result = json.loads(report.read_text())
    assert result.keys() >= KEYS
    assert (result["frames"], result["mismatches"], result["level"]) == (40, 0, "rtl")
    assert result["efficiency"] == result["bound_cycles"] / result["ii_cycles"]
    assert result["plan"] == str(plan) and "Verilator" in result["simulator"]
    output = capsys.readouterr()
    assert "cycles between frames" in output.out and output.err == ""


@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
def test_both_simulators_see_the_same_cycles(given, tmp_path, simulator):
    report = tmp_path / "verify.json"
    assert cli.run(verify.main, [*given, "--simulator", simulator, "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    assert result["simulator"].lower().startswith(simulator)
    assert (result["frames"], result["mismatches"]) == (40, 0)
    figures = measure(NET, default(NET))
    assert (result["ii_cycles"], result["latency_cycles"]) == (figures.ii_cycles, figures.latency_cycles)


def test_cover(given, tmp_path, capsys):
    report = tmp_path / "verify.json"
    assert cli.run(verify.main, [*given, "--cover", "--json", str(report)]) == 0
    cover = json.loads(report.read_text())["cover"]
    assert cover["conv"]["within"] > 0 and cover["frames"]["the next begins at once"] > 0
    assert "argmax" in capsys.readouterr().out


@pytest.mark.parametrize("net", artifact.names())
def test_shipped_nets(net, tmp_path):
    """Whole nets on the test images that ship, without stalls and with."""
    report = tmp_path / "verify.json"
    assert cli.run(verify.main, ["--net", net, "--frames", "40", "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    assert (result["net"], result["frames"], result["mismatches"]) == (net, 40, 0)


@pytest.mark.parametrize("frames", [1, 3])
def test_few_frames_are_enough(given, tmp_path, frames):
    report = tmp_path / "verify.json"
    assert cli.run(verify.main, [*given, "--frames", str(frames), "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    assert (result["frames"], result["ii_cycles"]) == (frames, measure(NET, default(NET)).ii_cycles)


def test_a_mismatch_is_failed_work(given, tmp_path, monkeypatch, capsys):
    golden = QNetwork.logits

    def tampered(net, images):
        logits = golden(net, images)
        logits[4, 1] += 1
        return logits

    monkeypatch.setattr(QNetwork, "logits", tampered)
    report = tmp_path / "verify.json"
    assert cli.run(verify.main, [*given, "--frames", "9", "--json", str(report)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: 1 of 9 frames are wrong; without stalls, frame 4: logit 1 is ")
    assert error.count("\n") == 1
    assert json.loads(report.read_text())["mismatches"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--net", "nothing"], "no net 'nothing'"),
        (["--frames", "0"], "--frames: '0' is no whole number from 1"),
        (["--frames", "41"], "the test set has only 40 images"),
        (["--stalls", "1"], "0 <= P < 1"),
        (["--stalls", "nan"], "0 <= P < 1"),
        (["--data", "no_folder"], "no_folder"),
        (["--plan", "missing.json"], "missing.json"),
        (["--json", "."], "name a file to write"),
        (["--plan", __file__], "cannot use plan"),
        (["--plan", "p.json", "--multipliers", "3"], "--plan and --multipliers exclude each other"),
        (["--multipliers", "0"], "--multipliers: '0' is no whole number from 1"),
        (["--level", "netlist"], "--level netlist needs --board"),
        (["--level", "netlist", "--board", "nowhere"], "unknown board 'nowhere'"),
        (["--pins", "-1"], "--pins: '-1' is no whole number from 0"),
        (["--simulator", "cxxrtl", "--cover"], "--simulator cxxrtl runs the portable Verilog alone"),
    ],
)
def test_bad_input(given, options, message, monkeypatch, capsys):
    monkeypatch.setattr("sim.simulators.build.execute", lambda *_: pytest.fail("a tool was started"))
    assert cli.run(verify.main, [*given, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(("error: ", "python -m sim.verify: error: argument "))
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("options", [["--frames", "many"], ["--level", "gates"], ["--gates"], ["surplus"]])
def test_unknown_options(options, capsys):
    assert cli.run(verify.main, options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and options[0].lstrip("-") in error


def test_images_of_another_size(given, tmp_path, capsys):
    other = write_data(tmp_path / "other", IMAGES[:, :9])
    assert cli.run(verify.main, [*given, "--data", other]) == 2
    assert "takes images of 10x8x2" in capsys.readouterr().err


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as status:
        verify.main(["--help"])
    assert status.value.code == 0 and "python -m sim.verify --net lecture" in capsys.readouterr().out
