"""The tools' command lines, versions and the digest of what decides a bitstream."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boards.catalogue import toolchains
from boards.catalogue.targets import find
from boards.shell.design import Design
from boards.tools import flow
from boards.tools.flow import Flow
from hdl.folding.net import Plan
from model.cli import Failure
from stub_shell import prepare
from test_boards_top import tiny_net


def flow_of(board: str, seed: int = 1, **options) -> Flow:
    """The flow of a tiny net."""
    net = tiny_net()
    design = Design.of(find(board), net, Plan.serial(net), baud=115_200, **options)
    return Flow(design, seed, Path("logs"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the accelerator, of which the flow knows nothing."""
    monkeypatch.setattr(Design, "prepare", prepare)


@pytest.fixture
def nano() -> Flow:
    return flow_of("tang-nano-9k")


def test_gowin_is_placed_by_himbaechel(nano):
    names = [tool.name for tool, _ in nano.commands]
    assert names == ["yosys", "nextpnr-himbaechel-gowin", "gowin_pack"]
    _, arguments = nano.commands[1]
    text = " ".join(arguments)
    assert "--vopt family=GW1N-9C" in text and "--vopt cst=top.cst" in text
    assert "--device GW1NR-LV9QN88PC6/I5" in text and "--freq 54" in text
    assert not {"--family", "--cst"} & set(arguments)


def test_a_boot_loaders_suffix_is_left_out():
    """The OrangeCrab's platform asks for dfu-suffix, which nothing here needs."""
    assert [tool.name for tool, _ in flow_of("orangecrab").commands] == ["yosys", "nextpnr-ecp5", "ecppack"]


def test_multipliers_are_never_inferred_for_the_ice40():
    """yosys 0.70 merges two registered products into one SB_MAC16 and computes wrongly."""
    script = flow_of("icebreaker").files["top.ys"].decode()
    assert "synth_ice40" in script and "-dsp" not in script


def test_the_digest_changes_with_all_that_decides_the_bitstream(nano, monkeypatch):
    digests = {
        nano.digest,
        flow_of("tang-nano-9k", seed=2).digest,
        flow_of("tang-nano-9k", clock_mhz=27).digest,
    }
    assert flow_of("tang-nano-9k").digest == nano.digest
    monkeypatch.setattr(flow, "version", lambda tool: "another")
    digests.add(flow_of("tang-nano-9k").digest)
    assert len(digests) == 4


def test_versions_are_those_of_the_packages(nano):
    assert nano.versions.keys() == {"yosys", "nextpnr-himbaechel-gowin", "gowin_pack"}
    assert nano.versions["gowin_pack"].startswith("apycula 0.")


def test_the_version_of_a_program_of_the_users(tmp_path, monkeypatch):
    tool = toolchains.TRELLIS.tools["ecppack"]
    path = tmp_path / "mine"
    path.write_text("#!/bin/sh\necho Version 7\n")
    path.chmod(0o755)
    monkeypatch.setenv("ECPPACK", str(path))
    assert flow.version(tool) == "Version 7"
    path.write_text("#!/bin/sh\necho Version 8 >&2\n")
    assert flow.version(tool) == "Version 8"
    path.write_text("#!/bin/sh\necho unknown option >&2; exit 1\n")
    assert len(flow.version(tool)) == 64


def test_missing_tools_are_named_with_their_package(monkeypatch):
    monkeypatch.setattr(flow.tools, "script", lambda name: None)
    monkeypatch.setenv("PATH", "")
    for toolchain in toolchains.TOOLCHAINS:
        for tool in toolchain.tools.values():
            monkeypatch.delenv(flow.tool_env_var(tool.name), raising=False)
            with pytest.raises(
                ValueError, match=f"{tool.name} is missing: python -m pip install {tool.package}"
            ):
                flow.program(tool)


def test_a_full_disk_is_told_in_place_of_what_a_tool_makes_of_it(tmp_path, monkeypatch, nano):
    path = tmp_path / "yosys"
    path.write_text("#!/bin/sh\necho ERROR: cannot write\nexit 1\n")
    path.chmod(0o755)
    monkeypatch.setenv("YOSYS", str(path))
    tool = toolchains.YOSYS
    with pytest.raises(Failure, match=r"synthesis failed: ERROR: cannot write \(all that yosys said: logs"):
        nano.execute(tmp_path, tool, [])
    usage = flow.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(flow.shutil, "disk_usage", lambda folder: usage._replace(free=100))
    with pytest.raises(Failure, match="synthesis failed: no space left on the disk of"):
        nano.execute(tmp_path, tool, [])


@pytest.mark.parametrize("text", [None, "", "{"])
def test_a_report_that_is_not_whole(tmp_path, text):
    if text is not None:
        (tmp_path / toolchains.REPORT).write_text(text)
    with pytest.raises(Failure, match="place_and_route failed: nextpnr left no whole"):
        flow.routed(tmp_path)


SCRIPT = """
import hashlib, sys
from pathlib import Path
from boards.shell.design import Design
from stub_shell import prepare
from test_boards_flow import find, flow_of
Design.prepare = prepare
flow = flow_of(sys.argv[1])
flow.write(Path("work"))
for tool, arguments in flow.commands:
    flow.execute(Path("work"), tool, arguments)
print(flow.digest, hashlib.sha256(Path("work", find(sys.argv[1]).tools.bitstream).read_bytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "board",
    [
        "hx8k-breakout",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ulx3s-12f", "tang-nano-9k")),
    ],
)
def test_two_builds_give_the_same_bitstream(tmp_path, board):
    """In two folders, by two processes with other hash seeds, one after the other: to the packed bits."""
    found = []
    for number, folder in enumerate((tmp_path / "a", tmp_path / "another" / "folder")):
        folder.mkdir(parents=True)
        path = os.pathsep.join(str(root) for root in (Path(flow.__file__).parents[2], Path(__file__).parent))
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT, board],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": str(number + 1)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(result.stdout.split())
    assert found[0] == found[1]
    assert [len(digest) for digest in found[0]] == [64, 64]
