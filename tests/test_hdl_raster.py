"""Windows for pipes, and patient ones, against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.parts import raster as module
from hdl.parts.chain import Chain
from hdl.parts.counting import across, down
from hdl.parts.pipe import FAN, lanes_of, shares
from hdl.parts.raster import Raster, SlidePipe, SweepPipe, window_parts
from hdl.parts.window import Window
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from mutants import Deaf, Fickle, Rotated
from test_hdl_window import windows_of

U4 = QFormat(4, 0, False)
CASE = ((5, 4, 2), Geometry((3, 2), (2, 1), ((1, 1), (0, 0))), U4, 2, 7)


def check(
    shape, geometry, fmt, groups, fill, parts=1, *, patient=False, seed=0, stalls=0.2, wrap=lambda p: p
):
    """Three frames back to back; gives the cycles of the output beats."""
    lanes = shape[2] // groups
    images = np.random.default_rng(seed).integers(fmt.min, fmt.max + 1, (3, *shape))
    expected = windows_of(images, geometry, groups, fill, parts)
    given_ = shape, geometry, fmt, lanes, fill, PORTABLE, parts
    if patient:
        dut = Window(*given_, patient=True)
    else:
        dut = Chain([("window", part) for part in window_parts(*given_)], PORTABLE)
    got, cycles = stream_sim.run(
        wrap(dut), images.reshape(-1, lanes).tolist(), len(expected), stalls, seed, longest=4, limit=1000
    )
    assert stream_sim.values(got) == expected
    return cycles


@st.composite
def cases(draw):
    """Shapes up to 6 x 6 x 4 without padding beside a row, unless it is a patient window's."""
    channels, patient = draw(st.integers(1, 4)), draw(st.booleans())
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)), channels)
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2)]))
    kernel, padding = [], []
    for axis, (size, d) in enumerate(zip(shape, dilation)):
        padded = patient or axis == 0
        kernel.append(draw(st.integers(1, 4 if padded else (size - 1) // d + 1)))
        k = (kernel[-1] - 1) * d + 1
        before = draw(st.integers(0, k - 1)) if padded else 0
        padding.append((before, draw(st.integers(max(k - size - before, 0), k - 1)) if padded else 0))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    fmt = QFormat(draw(st.integers(1, 5)), 0, draw(st.booleans()))
    lanes = channels // groups
    parts = draw(st.sampled_from([n for n in range(1, lanes + 1) if lanes % n == 0]))
    return patient, (
        shape,
        Geometry(tuple(kernel), stride, tuple(padding), dilation),
        fmt,
        groups,
        fmt.max,
        parts,
    )


@settings(derandomize=True, deadline=None, max_examples=60)
@given(cases(), st.integers(0, 99), st.sampled_from([0.0, 0.2, (0.0, 0.4), (0.5, 0.0)]))
def test_any_geometry(case, seed, stalls):
    patient, given_ = case
    check(*given_, patient=patient, seed=seed, stalls=stalls)


def test_a_position_every_cycle():
    cycles = check((4, 5, 2), Geometry((3, 2)), U4, 1, 0, stalls=0.0)
    row = [10, 11, 12, 13, 15, 16, 17, 18]
    assert [at - cycles[0] for at in cycles] == [at - row[0] + 20 * n for n in range(3) for at in row]


def test_wide_windows_have_several_enables():
    assert shares(2 * FAN + 1) == [slice(0, FAN), slice(FAN, 2 * FAN), slice(2 * FAN, 2 * FAN + 1)]
    assert shares(7, FAN // 2) == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 7)]
    check((4, 4, 12), Geometry((3, 3)), U4, 1, 0, patient=True)


@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("mutant", [Deaf, Fickle, Rotated])
def test_faults_around_it_fail(mutant, patient):
    check(*CASE, patient=patient)
    with pytest.raises(AssertionError):
        check(*CASE, patient=patient, wrap=mutant)


def test_mutants_fail(monkeypatch):
    check(*CASE)

    def early(*arguments):
        inside, address, ends = down(*arguments)
        return inside, address, ends | inside

    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(module, "down", early)
        check(*CASE)
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(module, "across", lambda *arguments: (across(*arguments)[0], 1))
        check(*CASE)


def test_what_a_window_does_better_is_left_to_it():
    padded = Geometry((3, 3), padding=((1, 1), (1, 1)))
    assert isinstance(window_parts((4, 4, 2), padded, U4, 2, 0, PORTABLE)[0], Window)
    assert isinstance(window_parts((4, 4, 2), padded, U4, 4, 0, PORTABLE)[1], SweepPipe)
    front, pipe = window_parts((4, 4, 2), Geometry((2, 2)), U4, 2, 0, PORTABLE)
    assert isinstance(front, Raster) and isinstance(pipe, SlidePipe)
    assert lanes_of(U4, 8) == pipe.o.payload.shape()
