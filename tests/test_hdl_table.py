"""Tables: every code, in block RAM and in logic."""

from dataclasses import replace

import numpy as np
import pytest

import stream_sim
from hdl.devices.device import PORTABLE, Device
from hdl.parts.chain import Chain
from hdl.parts.memory import Rom
from hdl.stages.table import TablePipe
from model.arithmetic.qformat import QFormat
from model.layers import TableSpec


class Blocks(Device):
    """All ROMs in block RAM."""

    def rom_style(self, width, depth):
        return "block"


def check(src, dst, device=PORTABLE, lanes=2, component=TablePipe, stalls=(0.2, 0.2)):
    """Every code of `src`, in every lane."""
    codes = list(range(src.min, src.max + 1))
    entries = np.random.default_rng(src.width).integers(dst.min, dst.max + 1, len(codes))
    entries[: min(2, len(codes))] = (dst.min, dst.max)
    spec = TableSpec(name="t", in_shape=(1, 1, lanes), src=src, dst=dst, function="random", table=entries)
    meaning = {code: int(entries[code if code >= 0 else code + len(codes)]) for code in codes}
    beats = [[codes[(n + 3 * lane) % len(codes)] for lane in range(lanes)] for n in range(len(codes))]
    got, _ = stream_sim.run(Chain([("t", component(spec, lanes, device))], device), beats, len(beats), stalls)
    assert stream_sim.values(got) == [[meaning[code] for code in beat] for beat in beats]


@pytest.mark.parametrize("device", [PORTABLE, Blocks()])
@pytest.mark.parametrize("dst", [QFormat(1, 0, False), QFormat(5, 3), QFormat(11, 0, False)])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_every_code(width, signed, dst, device):
    check(QFormat(width, 0, signed), dst, device)


@pytest.mark.parametrize("signed", [False, True])
def test_twelve_bits(signed):
    check(QFormat(12, 0, signed), QFormat(9, 0), lanes=1, stalls=0.0)


def test_both_styles_are_met():
    assert PORTABLE.rom_style(11, 256) == "block" and PORTABLE.rom_style(5, 32) == "logic"


class Offset(TablePipe):
    """Takes the negative half for the first."""

    def __init__(self, spec, lanes, device):
        super().__init__(replace(spec, table=np.roll(spec.table, len(spec.table) // 2)), lanes, device)


class Hasty(Rom):
    latency = 1


def test_mutants_fail(monkeypatch):
    check(QFormat(5, 0), QFormat(5, 0))
    with pytest.raises(AssertionError):
        check(QFormat(5, 0), QFormat(5, 0), component=Offset)
    monkeypatch.setattr("hdl.stages.table.Rom", Hasty)
    with pytest.raises(AssertionError):
        check(QFormat(5, 0), QFormat(5, 0))
