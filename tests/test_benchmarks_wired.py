"""What hard-wired layers take, as Yosys counts it."""

import json

import numpy as np
import pytest

from benchmarks import wired
from hdl.folding.net import weighted
from model import cli
from model.arithmetic.grid import Grid
from model.files import artifact


def test_a_layer(tmp_path, monkeypatch):
    net = artifact.load("tiny")
    monkeypatch.setattr(wired, "weighted", lambda net: weighted(net)[:1])
    path = tmp_path / "rows.json"
    assert cli.run(wired.main, ["--net", "tiny", "--bits", "2", "--json", str(path)]) == 0
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["net"], row["layer"], row["inputs"], row["outputs"], row["products"]) == (
        *("tiny", "conv1"),
        *weighted(net)[0].matrix.shape,
        weighted(net)[0].weights.size,
    )
    places = row["lut"] + 4 * row["additions"]
    assert places > 0 and abs(places - row["estimated_lut"]) <= 0.05 * places
    assert 0.9 * row["estimated_ff"] < row["ff"] <= row["estimated_ff"]


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_weights_of_fewer_bits(bits):
    for spec in weighted(artifact.load("lenet"))[:2]:
        real = spec.weights * 2.0 ** (spec.shifts - spec.weight_format.frac)
        fewer = wired.rounded(spec, bits)
        steps = 2.0 ** (fewer.shifts - fewer.weight_format.frac)
        assert np.array_equal(fewer.weights * steps, Grid.best(real, bits, True).codes(real) * steps)
        frac = spec.src.frac + np.array([spec.weight_format.frac, fewer.weight_format.frac])
        old, new = spec.bias * 2.0 ** (spec.shifts - frac[0]), fewer.bias * 2.0 ** (fewer.shifts - frac[1])
        assert np.abs(old - new).max() <= 2.0 ** (fewer.shifts.max() - frac[1]) / 2
