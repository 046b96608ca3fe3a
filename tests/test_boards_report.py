"""What a report counts as used, of families that name their cells otherwise."""

import pytest

from boards.catalogue import toolchains
from boards.tools.report import Outcome, used_cells


def used(toolchain, placed: dict, netlist: dict | None = None) -> dict:
    """Resources of a report with so many cells."""
    routed = {"utilization": {cell: {"used": count} for cell, count in placed.items()}}
    return used_cells(Outcome(routed, netlist or {}, None, {}, None, "", {}, False), toolchain.cells)


@pytest.mark.parametrize("odd", [0, 1])
def test_gowin_carries_and_small_rams_are_luts_and_narrow_multipliers_halves(odd):
    placed = {
        "LUT4": 100,
        "ALU": 10,
        "RAM16SDP4": 5,
        "DFF": 70,
        "MULT9X9": 6 + odd,
        "MULT18X18": 2,
        "BSRAM": 4,
    }
    assert used(toolchains.APICULA, placed) == {"lut": 130, "ff": 70, "dsp": 5 + odd, "bram": 4}


def test_ice40_flip_flops_come_from_the_netlist():
    placed = {"ICESTORM_LC": 500, "ICESTORM_DSP": 3, "ICESTORM_RAM": 7, "SB_IO": 9}
    netlist = {"SB_DFFER": 40, "SB_DFF": 2, "SB_LUT4": 300, "SB_MAC16": 3}
    assert used(toolchains.ICESTORM, placed, netlist) == {"lut": 500, "ff": 42, "dsp": 3, "bram": 7}


def test_ecp5_has_all_in_its_report():
    placed = {"TRELLIS_COMB": 1, "TRELLIS_FF": 2, "MULT18X18D": 3, "DP16KD": 4}
    assert used(toolchains.TRELLIS, placed) == {"lut": 1, "ff": 2, "dsp": 3, "bram": 4}
