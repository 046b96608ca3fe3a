"""A fault of yosys that no simulation of Verilog shows: selections from signed values lose the sign."""

import re

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, signed

from boards.catalogue import targets
from boards.shell.design import Design
from hdl.planning.search import default
from test_boards_top import tiny_net

SELECTION = re.compile(r"cell \$shiftx? .*?\n(.*?)\n *end", re.S)


def signed_selections(text):
    """Shifts of signed values by an amount that is no constant, in RTLIL."""
    return [cell for cell in SELECTION.findall(text) if re.search(r"\\A_SIGNED 1", cell)]


def byte_of(shape):
    """RTLIL of a byte of a 15-bit value, selected by a number."""
    m = Module()
    value, wide = Signal(signed(15), name="value"), Signal(shape, name="wide")
    index, byte = Signal(1, name="index"), Signal(8, name="byte")
    m.d.comb += [wide.eq(value), byte.eq(wide.word_select(index, 8))]
    return rtlil.convert(m, ports=[value, index, byte], name="top")


@pytest.mark.parametrize("board", ["ulx3s", "icebreaker"])
def test_no_board_selects_from_a_signed_value(board):
    net = tiny_net()
    design = Design.of(targets.find(board), net, default(net))
    text = design.prepare().files["top.il"]
    assert SELECTION.search(text) and not signed_selections(text)


def test_a_mutant_that_does_is_found():
    assert signed_selections(byte_of(signed(16))) and not signed_selections(byte_of(16))
