"""Pooling against plain loops and exact fractions."""

from dataclasses import fields
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.parts.chain import Chain
from hdl.parts.rounding import AveragePipe
from hdl.stages.pool import ReducePipe, pool_parts
from model.arithmetic.qformat import QFormat
from model.layers import PoolSpec


def pooled(spec, image, y, x, channel) -> int:
    """One output, in Python's integers and fractions."""
    (top, _), (left, _) = spec.padding
    found = []
    for row in range(y * spec.stride[0] - top, y * spec.stride[0] - top + spec.kernel[0]):
        for column in range(x * spec.stride[1] - left, x * spec.stride[1] - left + spec.kernel[1]):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                found.append(int(image[row, column, channel]))
    if spec.mode == "max":
        return max(found, default=spec.src.min)
    area = spec.kernel[0] * spec.kernel[1] if spec.mode == "avg" else 1
    steps = Fraction(sum(found), area) * Fraction(2) ** (spec.dst.frac - spec.src.frac)
    return min(max(floor(steps + Fraction(1, 2)), spec.dst.min), spec.dst.max)


def check(spec, images, lanes, stalls=(0.1, 0.2), seed=0):
    channels = spec.in_shape[2]
    height, width, _ = spec.out_shape
    expected = [
        [pooled(spec, image, y, x, group + lane) for lane in range(lanes)]
        for image in images
        for y in range(height)
        for x in range(width)
        for group in range(0, channels, lanes)
    ]
    parts = Chain([("pool", part) for part in pool_parts(spec, lanes, PORTABLE)], PORTABLE)
    got, _ = stream_sim.run(
        parts, images.reshape(-1, lanes).tolist(), len(expected), stalls, seed, longest=6, limit=1000
    )
    assert stream_sim.values(got) == expected
    np.testing.assert_array_equal(spec.run(images).reshape(-1, lanes), expected)


def formats(signed=None):
    return st.builds(
        QFormat, st.integers(2, 7), st.integers(-1, 5), st.booleans() if signed is None else st.just(signed)
    )


@st.composite
def specs(draw):
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 4)))
    kernel, padding = [], []
    for size in shape[:2]:
        k = draw(st.integers(1, min(3, size + 1)))
        kernel.append(k)
        padding.append((draw(st.integers(max(k - size, 0), k - 1)), draw(st.integers(0, k - 1))))
    mode = draw(st.sampled_from(["max", "avg", "avg", "sum"]))
    src = draw(formats())
    dst = src if mode == "max" else draw(formats())
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return PoolSpec(
        name="p", in_shape=shape, src=src, dst=dst, mode=mode, kernel=tuple(kernel),
        stride=stride, padding=tuple(padding),
    )  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=70)
@given(specs(), st.data(), st.integers(0, 99))
def test_any_pooling(spec, data, seed):
    channels = spec.in_shape[2]
    lanes = data.draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    images = np.random.default_rng(seed).integers(spec.src.min, spec.src.max + 1, (3, *spec.in_shape))
    check(spec, images, lanes, seed=seed)


def every_sum(kernel, src, dst, mode="avg", seed=0):
    """A spec with windows side by side that reach every sum there is."""
    area = kernel[0] * kernel[1]
    sums = range(area * src.min, area * src.max + 1)
    spec = PoolSpec(
        name="p", in_shape=(kernel[0], kernel[1] * len(sums), 1), src=src, dst=dst, mode=mode,
        kernel=kernel, stride=kernel,
    )  # fmt: skip
    windows = []
    for total in sums:
        low, more = divmod(total, area)
        windows.append(np.array([low + (n < more) for n in range(area)]).reshape(kernel))
    return spec, np.concatenate(windows, axis=1)[None, ..., None]


EVERY = [
    ((2, 2), QFormat(5, 0), QFormat(5, 0)),
    ((2, 3), QFormat(4, 0), QFormat(6, 2)),
    ((3, 3), QFormat(4, 0), QFormat(4, 0)),
    ((3, 3), QFormat(5, 3, False), QFormat(3, 1, False)),
    ((1, 7), QFormat(4, 0), QFormat(3, -2)),
    ((5, 3), QFormat(3, 1), QFormat(8, 5)),
]


@pytest.mark.parametrize(("kernel", "src", "dst"), EVERY)
def test_the_average_of_every_sum(kernel, src, dst):
    check(*every_sum(kernel, src, dst), 1, stalls=0.0)


@pytest.mark.parametrize("src", [QFormat(1, 0, False), QFormat(1, 0), QFormat(9, 0), QFormat(12, 4, False)])
@pytest.mark.parametrize("mode", ["max", "avg", "sum"])
def test_extremes(src, mode):
    spec = PoolSpec(
        name="p", in_shape=(6, 3, 2), src=src, dst=src, mode=mode, kernel=(3, 3), stride=(3, 1),
        padding=((0, 0), (1, 1)),
    )  # fmt: skip
    images = np.stack([np.full(spec.in_shape, value) for value in (src.min, src.max, src.min, src.max)])
    check(spec, images, 2)


def exact_sum(spec):
    """The same pooling with its sums kept whole: nothing behind the adders."""
    return PoolSpec(
        name="p", in_shape=spec.in_shape, src=spec.src, dst=spec.sum_format, mode="sum",
        kernel=spec.kernel, stride=spec.stride, padding=spec.padding,
    )  # fmt: skip


def test_a_sum_without_requantising():
    for kernel, src, dst in EVERY[:3]:
        spec, images = every_sum(kernel, src, dst)
        check(exact_sum(spec), images, 1)


def altered(spec, **replaced):
    """The spec with some of what it derives replaced."""
    kind = type("Altered", (PoolSpec,), replaced)
    return kind(**{field.name: getattr(spec, field.name) for field in fields(spec)})


class Truncated(AveragePipe):
    """The quotient rounded down."""

    def __init__(self, spec, lanes):
        factor, _, shift = spec.reciprocal
        super().__init__(altered(spec, reciprocal=(factor, 0, shift)), lanes)


class Unsigned(ReducePipe):
    """Compares as if there were no signs."""

    def __init__(self, spec, lanes):
        plain = QFormat(spec.src.width, spec.src.frac, False)
        super().__init__(
            PoolSpec(
                name="p", in_shape=spec.in_shape, src=plain, dst=plain, mode="max",
                kernel=spec.kernel, stride=spec.stride, padding=spec.padding,
            ),
            lanes,
        )  # fmt: skip


def test_mutants_fail(monkeypatch):
    average, images = every_sum((3, 3), QFormat(4, 0), QFormat(4, 0))
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr("hdl.stages.pool.AveragePipe", Truncated)
        check(average, images, 1)
    with pytest.raises(AssertionError):
        # sums of one bit less than needed
        check(altered(average, sum_format=QFormat(average.sum_format.width - 1, 0)), images, 1)
    largest = PoolSpec(
        name="p", in_shape=(2, 4, 1), src=QFormat(4, 0), dst=QFormat(4, 0), mode="max", kernel=(2, 2),
        stride=(1, 1),
    )  # fmt: skip
    images = np.arange(-8, 8).reshape(2, 2, 4, 1)
    check(largest, images, 1)
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr("hdl.stages.pool.ReducePipe", Unsigned)
        check(largest, images, 1)
