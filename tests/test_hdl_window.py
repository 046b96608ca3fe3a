"""Line buffer and window against plain loops."""

import numpy as np
import pytest
from amaranth.hdl import Const
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.parts import counting
from hdl.parts import window as module
from hdl.parts.memory import Ram
from hdl.parts.window import Window, pace
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from mutants import Deaf, Fickle, Rotated

COMMON = settings(derandomize=True, deadline=None, max_examples=120)


def windows_of(images, geometry, groups, fill, parts=1):
    """Beats of all windows, each image's channels split into groups, by loops over output pixels."""
    (top, bottom), (left, right) = geometry.padding
    (rows, columns), (down, across) = geometry.kernel, geometry.stride
    (below, beside), (tall, wide) = geometry.dilation, geometry.extent
    beats = []
    for image in images:
        height, width, channels = image.shape
        lanes = channels // groups
        for y in range(-top, height + bottom - tall + 1, down):
            for x in range(-left, width + right - wide + 1, across):
                for group in range(groups):
                    beat = []
                    for part in range(parts):
                        for i, j in np.ndindex(rows, columns):
                            dy, dx = y + i * below, x + j * beside
                            for lane in range(part * lanes // parts, (part + 1) * lanes // parts):
                                inside = 0 <= dy < height and 0 <= dx < width
                                beat.append(int(image[dy, dx, group * lanes + lane]) if inside else fill)
                    beats.append(beat)
    return beats


def check(
    shape,
    geometry,
    fmt,
    groups,
    fill,
    parts=1,
    ahead=0,
    *,
    frames=3,
    seed=0,
    stalls=0.2,
    wrap=lambda part: part,
):
    """Several frames back to back; gives the cycles of the output beats."""
    lanes = shape[2] // groups
    images = np.random.default_rng(seed).integers(fmt.min, fmt.max + 1, (frames, *shape))
    expected = windows_of(images, geometry, groups, fill, parts)
    window = wrap(Window(shape, geometry, fmt, lanes, fill, PORTABLE, parts, ahead))
    got, cycles = stream_sim.run(
        window, images.reshape(-1, lanes).tolist(), len(expected), stalls, seed, longest=4, limit=1000
    )
    assert stream_sim.values(got) == expected
    return cycles


@st.composite
def cases(draw):
    """Shapes up to 6 x 6 x 4, also a kernel larger than the image where the padding makes room for it."""
    channels = draw(st.integers(1, 4))
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)), channels)
    kernel, padding = [], []
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3), (3, 2)]))
    for size, d in zip(shape, dilation):
        kernel.append(draw(st.integers(1, 4 if d == 1 else 3)))
        k = (kernel[-1] - 1) * d + 1
        before = draw(st.integers(0, k - 1))
        padding.append((before, draw(st.integers(max(k - size - before, 0), max(k - 1, 0)))))
    stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    signed = draw(st.booleans())
    fmt = QFormat(draw(st.integers(1, 5)), 0, signed)
    fill = draw(st.sampled_from([0, fmt.min, fmt.max]))
    lanes = channels // groups
    parts = draw(st.sampled_from([n for n in range(1, lanes + 1) if lanes % n == 0]))
    ahead = draw(st.sampled_from([0, 2, 9]))
    return shape, Geometry(tuple(kernel), stride, tuple(padding), dilation), fmt, groups, fill, parts, ahead


@COMMON
@given(cases(), st.integers(0, 99), st.sampled_from([0.0, 0.2, (0.0, 0.4), (0.5, 0.0)]))
def test_any_geometry(case, seed, stalls):
    check(*case, seed=seed, stalls=stalls)


U4 = QFormat(4, 0, False)
SAME = ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("shape", "groups", "geometry"),
    [
        ((1, 1, 1), 1, Geometry((1, 1))),
        ((1, 1, 3), 3, Geometry((1, 1))),
        ((1, 1, 2), 1, Geometry((3, 3), (1, 1), SAME)),
        ((1, 1, 2), 2, Geometry((3, 3), (2, 2), SAME)),
        ((5, 1, 1), 1, Geometry((3, 1))),
        ((5, 1, 2), 2, Geometry((3, 1))),
        ((5, 1, 1), 1, Geometry((2, 1), (2, 3))),
        ((1, 6, 1), 1, Geometry((1, 3), (1, 2))),
        ((2, 2, 1), 1, Geometry((4, 4), (1, 1), ((1, 3), (2, 1)))),
    ],
)
def test_edges(shape, groups, geometry):
    check(shape, geometry, U4, groups, 5)


def test_a_position_every_cycle_and_two_cycles_from_the_last_pixel():
    made = []
    cycles = check(
        (4, 5, 2), Geometry((3, 2)), U4, 2, 0, stalls=0.0, wrap=lambda part: made.append(part) or part
    )
    assert pace((4, 5, 2), Geometry((3, 2))) == (20, 10)
    ends = [
        frame * 40 + (y * 5 + x) * 2 + group
        for frame in range(3)
        for y in (2, 3)
        for x in range(1, 5)
        for group in range(2)
    ]
    assert cycles == [end + 2 for end in ends]


def test_lanes_that_do_not_divide():
    with pytest.raises(ValueError, match="2 lanes do not divide 3 channels"):
        Window((4, 4, 3), Geometry((1, 1)), U4, 2, 0, PORTABLE)


class Restless(Ram):
    """Reads without being told to."""

    def elaborate(self, platform):
        self.read_en = Const(1)
        return super().elaborate(platform)


class Shifted(Ram):
    """Writes to the wrong word."""

    def elaborate(self, platform):
        self.write_addr = self.write_addr ^ 1
        return super().elaborate(platform)


GEOMETRY = Geometry((3, 2), (2, 1), ((1, 1), (1, 0)))
CASE = ((5, 4, 2), GEOMETRY, U4, 2, 7)


@pytest.mark.parametrize("mutant", [Deaf, Fickle, Rotated])
def test_faults_around_it_fail(mutant):
    check(*CASE)
    with pytest.raises(AssertionError):
        check(*CASE, wrap=mutant)


@pytest.mark.parametrize("case", [CASE, ((4, 3, 1), Geometry((2, 2)), U4, 1, 0)])
def test_mutants_fail(case, monkeypatch):
    check(*case)
    on_grid, within = counting.on_grid, counting.within

    def late(m, position, size, first, *rest):
        return on_grid(m, position, size, first - 1, *rest)

    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(counting, "on_grid", late)
        check(*case)
    if any(max(sides) for sides in case[1].padding):
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(counting, "within", lambda position, start, size: within(position, start + 1, size))
            check(*case)
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(counting, "between", lambda geometry: tuple(map(min, geometry.padding)))
            check(*case)
    for mutant in (Restless, Shifted):
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(module, "Ram", mutant)
            check(*case)
