"""Beats of other sizes."""

import numpy as np
import pytest

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.parts.chain import Chain
from hdl.parts.repack import repack
from model.arithmetic.qformat import QFormat
from mutants import Deaf, Fickle, Rotated

FORMATS = [QFormat(1, 0, False), QFormat(3, 0), QFormat(8, 0, False)]


def check(have: int, want: int, stalls=(0.2, 0.25), longest=4, wrap=lambda part: part):
    """A hundred or so values in beats of `have` come out in beats of `want`, in order."""
    fmt = FORMATS[(have + want) % 3]
    common = np.lcm(have, want)
    total = common * -(-60 // common)
    values = np.random.default_rng(have * 10 + want).integers(fmt.min, fmt.max + 1, total)
    parts = Chain([("x", part) for part in map(wrap, repack(fmt, have, want))], PORTABLE)
    got, cycles = stream_sim.run(
        parts, values.reshape(-1, have).tolist(), total // want, stalls, have, longest=longest
    )
    assert stream_sim.values(got) == values.reshape(-1, want).tolist()
    return cycles


PAIRS = [(have, want) for have in range(1, 9) for want in range(1, 9) if have != want]


@pytest.mark.parametrize(("have", "want"), PAIRS)
def test_all_pairs(have, want):
    check(have, want)


@pytest.mark.parametrize(("have", "want"), [(1, 4), (4, 1), (2, 6), (6, 2), (3, 2), (2, 3)])
def test_no_cycle_is_lost(have, want):
    cycles = check(have, want, 0.0)
    # the narrower side moves a beat every cycle
    assert cycles[-1] - cycles[0] == (len(cycles) - 1) * want // min(have, want)


def test_equal_lanes_need_nothing():
    assert repack(FORMATS[0], 4, 4) == []


@pytest.mark.parametrize("mutant", [Deaf, Fickle, Rotated])
@pytest.mark.parametrize(("have", "want"), [(4, 2), (2, 4), (3, 2)])
def test_mutants_fail(mutant, have, want):
    with pytest.raises(AssertionError):
        check(have, want, wrap=mutant)
