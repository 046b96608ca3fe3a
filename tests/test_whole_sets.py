"""The long runs: the whole test set through every shipped net, and netlists of builds that ship."""

import json

import pytest

from model import cli
from model.files import artifact
from sim import verify

FAST = {"lecture": 354, "lenet": 354, "tiny": 182, "large": 512}
"""Multipliers at which a run is short: about a pixel a cycle. Other nets bring plans of their own."""


def run(tmp_path, *options) -> dict:
    """What the command reports."""
    report = tmp_path / "verify.json"
    assert cli.run(verify.main, [*options, "--json", str(report)]) == 0
    return json.loads(report.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("net", artifact.names())
def test_every_logit_of_the_test_set(net, tmp_path):
    plan = ["--multipliers", str(FAST[net])] if net in FAST else []
    result = run(tmp_path, "--net", net, "--frames", "10000", *plan)
    assert (result["frames"], result["mismatches"]) == (10000, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "board", "frames", "pins"), [("lenet", "ulx3s", 200, 4), ("tiny", "icebreaker", 50, 2)]
)
def test_netlist_of_a_build(net, board, frames, pins, tmp_path):
    """The accelerator's netlist, and the whole board's through its serial pins."""
    options = ["--level", "netlist", "--frames", str(frames), "--pins", str(pins)]
    result = run(tmp_path, "--net", net, "--board", board, *options)
    assert (result["frames"], result["mismatches"], result["pins"]) == (frames, 0, pins)
    assert result["level"] == "netlist"
