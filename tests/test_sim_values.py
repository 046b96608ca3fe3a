"""Nets whose answers are values and no classes, from the file to the board's netlist."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hdl.devices.ecp5 import ECP5
from hdl.planning.search import search
from model import classify, cli, describe
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec
from random_nets import NetDrawer
from sim import verify
from sim.bench import bench as benches
from sim.bench.accelerator import AcceleratorBench, first_mismatch, wrong
from sim.bench.taps import first_difference
from test_sim_verify import write_data


def small_map(name="map") -> QNetwork:
    """Convolutions that make a map of an image, whose first values are there before the last pixels came."""
    rng = np.random.default_rng(3)
    pixels = QFormat(8, 8, False)
    conv = ConvSpec(
        name="conv", in_shape=(5, 4, 2), src=pixels, dst=QFormat(7, 3),
        weights=rng.integers(-8, 8, (3, 3, 2, 6)), weight_format=QFormat(4, 2),
        bias=rng.integers(-500, 500, 6), padding=((1, 1), (1, 1)),
    )  # fmt: skip
    last = ConvSpec(
        name="last", in_shape=conv.out_shape, src=conv.dst, dst=QFormat(11, 3),
        weights=rng.integers(-8, 8, (1, 1, 6, 3)), weight_format=QFormat(4, 2), bias=rng.integers(-50, 50, 3),
    )  # fmt: skip
    return QNetwork(name, pixels, (conv, last), classifies=False)


MAP = small_map()
IMAGES = np.random.default_rng(5).integers(0, 256, (30, 5, 4, 2)).astype(np.uint8)


@pytest.mark.parametrize("multipliers", [1, 9, 500])
def test_every_value_of_a_map(multipliers):
    bench = AcceleratorBench(MAP, search(MAP, multipliers), ECP5, tapped=True)
    expected = MAP.logits(IMAGES)
    for stalls in (0.0, 0.3, 0.9):
        result = bench.run(IMAGES, stalls, seed=int(10 * stalls))
        assert result.beats.keys() == {"logits"} and first_mismatch(expected, result) is None
        assert first_difference(MAP, IMAGES, bench.layers, result.taps) is None
        assert [numbers[-1] for numbers in bench.layers.values()][-1] == 1
    expected[3, 7] += 1
    assert np.flatnonzero(wrong(expected, result)).tolist() == [3]
    assert re.match(r"frame 3: value 7 is -?\d+, the golden", str(first_mismatch(expected, result)))
    result.taps[list(bench.layers)[-1]].ravel()[8] ^= 1
    assert str(first_difference(MAP, IMAGES, bench.layers, result.taps)).startswith(
        "the first stage that differs is layer 'last': in frame 0 the value at row 0, column 2, channel 2"
    )


@pytest.mark.parametrize("seed", range(4))
def test_drawn_nets(seed):
    """Any last layer, any number of lanes, and the rate of the same net that classifies."""
    drawer = NetDrawer(seed + 100)
    net = drawer.net(drawer.integer(2, 4), largest=7)
    plan, images = drawer.plan(net), drawer.images(net, 8)
    benches = [AcceleratorBench(replace(net, classifies=kind), plan) for kind in (False, True)]
    figures = []
    for bench in benches:
        for stalls in (0.0, 0.4):
            result = bench.run(images, stalls, seed)
            assert not wrong(net.logits(images), result).any()
            figures += [] if stalls else [bench.figures(result)]
    values, classes = figures
    assert values.ii_cycles <= classes.ii_cycles and values.latency_cycles <= classes.latency_cycles + 4


def test_a_mark_in_the_wrong_place_is_noticed(monkeypatch):
    bench = AcceleratorBench(MAP, search(MAP, 9))
    run = benches.Bench.run

    def shifted(*args, **options):
        result = run(*args, **options)
        result.beats["last"][:] = np.roll(result.beats["last"], -1)
        return result

    monkeypatch.setattr(benches.Bench, "run", shifted)
    with pytest.raises(cli.Failure, match="frame 0 of the answers: the mark 'last'"):
        bench.run(IMAGES[:6])


@pytest.fixture
def given(tmp_path):
    artifact.save(tmp_path / "map.npz", MAP)
    return ["--net", str(tmp_path / "map.npz"), "--data", write_data(tmp_path / "data", IMAGES)]


def test_verify(given, tmp_path, capsys):
    assert cli.run(verify.main, [*given, "--cover", "--json", str(tmp_path / "out.json")]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["frames"], result["mismatches"]) == (30, 0)
    assert "argmax" not in result["cover"] and "conv" in result["cover"]
    assert "argmax" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_boards_netlist_to_its_pins(given, tmp_path):
    words = ["--level", "netlist", "--board", "ulx3s", "--json", str(tmp_path / "out.json")]
    assert cli.run(verify.main, [*given, *words]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["frames"], result["mismatches"], result["pins"]) == (30, 0, 2)


def test_describe_and_classify(given, tmp_path, capsys):
    assert cli.run(describe.main, [given[1]]) == 0
    assert "to 5 x 4 x 3 = 60 values" in capsys.readouterr().out
    gray = replace(small_map(), specs=(replace(MAP.specs[0], in_shape=(5, 4, 1),
                   weights=MAP.specs[0].weights[:, :, :1]), MAP.specs[1]))  # fmt: skip
    artifact.save(tmp_path / "grey.npz", gray)
    Image.fromarray(IMAGES[0, :, :, 0]).save(tmp_path / "picture.png")
    words = ["--json", tmp_path / "out.json", "--values", tmp_path / "v.npy"]
    assert (
        cli.run(classify.main, list(map(str, [tmp_path / "grey.npz", tmp_path / "picture.png", *words]))) == 0
    )
    expected = gray.logits(IMAGES[:1, :, :, :1])
    (answer,) = json.loads((tmp_path / "out.json").read_text())["answers"]
    assert answer == {"picture": str(tmp_path / "picture.png"), "values": expected[0].tolist()}
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), expected.reshape(1, 5, 4, 3))
    out = capsys.readouterr().out
    assert f"{expected.min() / 8:.4g}" in out and f"{expected.max() / 8:.4g}" in out
