"""Every board: its pins are where they should be, and its top can be made, and synthesised."""

import re

import pytest

from boards.catalogue import targets
from boards.catalogue.board import Pin, chip_name
from boards.catalogue.fitting import default_plan
from boards.shell.design import Design
from boards.tools import flow
from boards.tools.flow import Flow
from boards.tools.steps import cells_of
from hdl.devices import chips
from hdl.folding.net import Plan
from model.files import artifact
from stub_shell import prepare
from test_boards_top import tiny_net

TARGETS = targets.TARGETS
CONSTRAINTS = {
    "Trellis": ("top.lpf", r'LOCATE COMP "(\S+)" SITE "(\S+)";'),
    "IceStorm": ("top.pcf", r"set_io (\S+) (\S+)"),
    "Apicula": ("top.cst", r'IO_LOC "(\S+)" (\S+);'),
}
"""File and form of the lines that place a port."""
PINS = {
    # board: oscillator, rx, tx, from the boards' schematics and documentation
    "ulx3s-12f": ("G2", "M1", "L4"),
    "ulx3s-25f": ("G2", "M1", "L4"),
    "ulx3s-45f": ("G2", "M1", "L4"),
    "ulx3s-85f": ("G2", "M1", "L4"),
    "orangecrab-25f": ("A9", "N17", "M18"),
    "orangecrab-85f": ("A9", "N17", "M18"),
    "colorlight-5a75b": ("P6", "M13", "P11"),
    "icepi-zero": ("M1", "K16", "K15"),
    "butterstick": ("B12", "G2", "J3"),
    "ecpix5-45f": ("K23", "R26", "R24"),
    "ecpix5-85f": ("K23", "R26", "R24"),
    "versa-ecp5": ("P3", "C11", "A11"),
    "icesugar-pro": ("P6", "A9", "B9"),
    "logicbone-45f": ("M19", "A6", "B8"),
    "logicbone-85f": ("M19", "A6", "B8"),
    "icebreaker": ("35", "6", "9"),
    "icebreaker-bitsy": ("35", "47", "44"),
    "upduino3": ("20", "15", "14"),
    "hx8k-breakout": ("J3", "B10", "B12"),
    "icesugar": ("35", "4", "6"),
    "tang-nano-9k": ("52", "18", "17"),
    "tang-primer-20k": ("H11", "T13", "M11"),
}
PRIMITIVES = {
    "dsp": ("MULT18X18D", "SB_MAC16", "MULT18X18"),
    "bram": ("DP16KD", "SB_RAM40", "SDPB", "SDPX9B", "DPB", "DPX9B", "pROM", "SPX9", "SP"),
}
"""Cells of the kinds of which chips have few."""
SUPPORT = {"butterstick": 4}
"""Pins that a board needs besides its clock, serial port, LEDs, reset and `high`."""


def design_of(target) -> Design:
    """A board with a net that is never looked at."""
    net = tiny_net()
    return Design.of(target, net, Plan.serial(net))


def port(target, pin) -> str:
    """Name of a pin's port."""
    return design_of(target).port(pin)


def test_there_are_the_boards_of_the_documentation():
    assert PINS.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_pins_are_where_they_should_be(name):
    target = TARGETS[name]
    assert len(name) <= 16 and name.isascii()
    assert chip_name(target.base) == target.chip.name
    file, form = CONSTRAINTS[target.tools.name]
    placed = dict(re.findall(form, prepare(design_of(target)).files[file]))
    serial = [target.uart._replace(part=part) for part in ("rx", "tx")]
    used = [Pin(target.oscillator), *serial]
    assert tuple(placed[port(target, pin)] for pin in used) == PINS[name]
    others = [*target.lights, *target.high, *([target.reset] if target.reset else [])]
    assert all(port(target, pin) in placed for pin in others)
    assert len(placed) == 3 + len(others) + SUPPORT.get(name, 0)


@pytest.mark.parametrize("name", TARGETS)
def test_default_rates_are_possible(name):
    target = TARGETS[name]
    net = artifact.load(target.net)
    design = Design.of(target, net, Plan.serial(net))
    assert target.baud <= target.max_baud
    assert design.link.baud.rate == target.baud
    assert design.pll.output_mhz == target.clock_mhz


@pytest.mark.parametrize("name", ["ulx3s-12f", "icebreaker", "upduino3", "tang-nano-9k"])
def test_outputs_have_their_polarity(name):
    """LEDs that shine at 0 are inverted, what is held high is not."""
    target = TARGETS[name]
    design = design_of(target)
    low = {"ulx3s-12f": False, "icebreaker": True, "upduino3": True, "tang-nano-9k": True}[name]
    assert all(design.active_low(light) == low for light in target.lights)
    assert not any(design.active_low(pin) for pin in target.high)


def test_names_and_their_short_forms():
    assert targets.find("OrangeCrab").name == "orangecrab-25f"
    assert set(chips.ALIASES.values()) <= TARGETS.keys()
    with pytest.raises(ValueError, match=r"unknown board 'orangcrab' \(did you mean orangecrab\?\)"):
        targets.find("orangcrab")


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_every_board_is_synthesised(name, tmp_path):
    """Its own net with its own plan, by yosys; and no cell is left that the chip has not."""
    target = TARGETS[name]
    net = artifact.load(target.net)
    made = Flow(Design.of(target, net, default_plan(net, target)), 1, tmp_path)
    made.write(tmp_path)
    tool, arguments = made.commands[0]
    made.execute(tmp_path, tool, arguments)
    cells = cells_of(tmp_path / target.tools.netlist)
    for name, kind in (("dsp", "multipliers"), ("bram", "block RAMs")):
        used = sum(count for cell, count in cells.items() if cell.startswith(PRIMITIVES[name]))
        assert used <= getattr(target.budget, name), kind


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_every_board_is_packed(name, tmp_path, monkeypatch):
    """With a stub for a shell: the tools take its chip, pins and PLL, as far as the bitstream."""
    monkeypatch.setattr(Design, "prepare", prepare)
    target = TARGETS[name]
    made = Flow(design_of(target), 1, tmp_path)
    made.write(tmp_path)
    for tool, arguments in made.commands:
        made.execute(tmp_path, tool, arguments)
    assert (tmp_path / target.tools.bitstream).stat().st_size > 1000
    assert flow.routed(tmp_path)["fmax"]
