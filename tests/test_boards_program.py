"""Programs that load boards: which command for which board, and one line when something is missing."""

import dataclasses
from pathlib import Path

import pytest

from boards.catalogue import targets
from boards.catalogue.board import Programmer
from boards.tools import program
from model.cli import Failure

LOAD = {
    "ulx3s-85f": "openFPGALoader --board ulx3s",
    "orangecrab-25f": "dfu-util -d 1209:5af0 -a 0 -D",
    "colorlight-5a75b": "openFPGALoader --cable ft232 --board colorlight",
    "icebreaker": "iceprog",
    "hx8k-breakout": "iceprog -S",
    "icesugar-pro": "icesprog",
    "tang-nano-9k": "openFPGALoader --board tangnano9k",
}
FLASH = {
    "ulx3s-85f": "openFPGALoader --board ulx3s --write-flash",
    "orangecrab-25f": "dfu-util -d 1209:5af0 -a 0 -D",
    "hx8k-breakout": "iceprog",
    "tang-nano-9k": "openFPGALoader --board tangnano9k --write-flash",
}


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Makes a program that says and returns what a test wants, and tells what it was called with."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(name: str, says: str = "", status: int = 0) -> Path:
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho "{says}" >&2\nexit {status}\n')
        path.chmod(0o755)
        return tmp_path / "called"

    return make


@pytest.mark.parametrize(("keep", "commands"), [(False, LOAD), (True, FLASH)])
def test_each_board_has_its_command(tools, keep, commands):
    for board, words in commands.items():
        name, *arguments = words.split()
        called = tools(name)
        target = targets.find(board)
        command = program.command(target, keep=keep)
        program.load(command, Path("top.bit"), target)
        assert called.read_text().split() == [*arguments, "top.bit"]


def test_every_board_can_be_loaded_and_keep_it():
    for target in targets.TARGETS.values():
        assert target.programmer.flash
        assert (target.programmer.load or target.programmer.flash)[0] in program.SOURCES


@pytest.mark.parametrize(("board", "tool"), [("ulx3s", "openFPGALoader"), ("orangecrab", "dfu-util")])
def test_a_missing_program_is_named_with_where_to_get_it(monkeypatch, board, tool):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=f"--flash needs {tool}, which is not installed: see https://"):
        program.command(targets.find(board), keep=True)


def test_the_environment_may_name_the_program(tools, monkeypatch):
    monkeypatch.setenv("DFU_UTIL", "mine")
    with pytest.raises(ValueError, match="--program needs mine, which is not installed"):
        program.command(targets.find("orangecrab"), keep=False)
    tools("mine")
    assert program.command(targets.find("orangecrab"), keep=False)[0].endswith("/mine")


def test_a_board_without_a_command():
    bare = dataclasses.replace(targets.find("ulx3s"), programmer=Programmer(load=("openFPGALoader",)))
    with pytest.raises(ValueError, match="--flash: ulx3s-85f names no command for it"):
        program.command(bare, keep=True)


@pytest.mark.parametrize(
    ("says", "missing"),
    [
        ("unable to open ftdi device: -3 (device not found)", True),
        ("No DFU capable USB device available", True),
        ("Can't find iCE FTDI USB device (vendor_id 0x0403, device_id 0x6010 or 0x6014).", True),
        ("fail to open JTAG cable", True),
        ("wrong IDCODE", False),
        ("", False),
    ],
)
def test_failures_are_one_line(tools, says, missing):
    tools("openFPGALoader", f"busy\n{says}", 3)
    target = targets.find("ulx3s")
    with pytest.raises(Failure) as caught:
        program.load(program.command(target, keep=False), Path("top.bit"), target)
    line = str(caught.value)
    assert line.startswith(f"openFPGALoader failed: {says or 'busy'}")
    assert ("is the ulx3s-85f plugged in" in line) == missing
    assert "\n" not in line
