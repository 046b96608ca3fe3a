"""Amaranth's variables in the user's environment change nothing of a build."""

import pytest

from boards.catalogue.targets import find
from boards.shell.design import Design
from boards.shell.trial import trial
from boards.tools.flow import Flow
from hdl.folding.net import Plan
from test_boards_top import tiny_net

ORDERS = {
    "synth_opts": "-dsp",
    "nextpnr_opts": "--seed 9",
    "ecppack_opts": "--compress",
    "icepack_opts": "-v",
    "gowin_pack_opts": "-x",
    "yosys_opts": "-q",
    "script_after_read": "opt",
    "script_after_synth": "opt",
    "read_verilog_opts": "-x",
    "add_preferences": "x",
    "add_constraints": "x",
    "debug_verilog": "1",
    "verbose": "1",
    "toolchain": "x",
}


@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-12f", "tang-nano-9k"])
def test_what_the_tools_are_given_is_ours(board, tmp_path, monkeypatch):
    net, target = tiny_net(), find(board)

    def made():
        flow = Flow(Design.of(target, net, Plan.serial(net), baud=115_200), 1, tmp_path)
        return flow.digest, flow.files, flow.commands

    before = made()
    for name, value in ORDERS.items():
        monkeypatch.setenv(f"AMARANTH_{name}", value)
    assert made() == before
    trial(target)
