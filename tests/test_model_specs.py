"""The integer layers against loops over Python's integers."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import reference
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from model.layers import ConvSpec, DenseSpec, GreySpec, PoolSpec, ReduceSpec, RequantSpec, TableSpec
from random_nets import NetDrawer


def bordered(pixels, spec):
    """Pixels with what stands in the padding round them."""
    (top, bottom), (left, right) = spec.padding
    rows = [[spec.fill] * spec.in_shape[2]] * (left + spec.in_shape[1] + right)
    side = [[spec.fill] * spec.in_shape[2]]
    return [rows] * top + [side * left + row + side * right for row in pixels] + [rows] * bottom


def expected(spec, image):
    """One image through one layer, by definition."""
    pixels = image.tolist()
    if spec.kind in ("conv", "dense"):
        scales = 2**spec.shifts
        weights, bias = (spec.weights * scales).tolist(), (spec.bias * scales).tolist()
    if spec.kind == "conv":
        whole = bordered(pixels, spec)
        sums = naive.conv(whole, weights, bias, spec.stride, ((0, 0), (0, 0)), spec.dilation, spec.groups)
        return naive.requanted(sums, QFormat(1, spec.src.frac + spec.weight_format.frac), spec.dst)
    if spec.kind == "dense":
        sums = naive.dense(pixels, weights, bias)
        return naive.requanted(sums, QFormat(1, spec.src.frac + spec.weight_format.frac), spec.dst)
    if spec.kind == "pool":
        # A window may lie wholly in the padding: it sees the least of all values there.
        if spec.mode == "max":
            whole = bordered(pixels, spec)
            return np.array(naive.pool(whole, "max", spec.kernel, spec.stride, ((0, 0), (0, 0))))
        pooled = naive.pool(pixels, spec.mode, spec.kernel, spec.stride, spec.padding)
        return naive.requanted(pooled, spec.src, spec.dst)
    if spec.kind == "grey":
        return np.array([[[naive.grey(pixel, spec.mode)] for pixel in row] for row in pixels])
    if spec.kind == "reduce":
        weights = [[Fraction(weight, spec.divisor) for weight in row] for row in spec.weights.tolist()]
        return np.array(naive.reduced(pixels, weights, spec.stride, spec.padding, spec.src.min, spec.src.max))
    if spec.kind == "requant":
        return naive.requanted(pixels, spec.src, spec.dst)
    assert spec.kind == "table"
    entries = spec.table.tolist()
    return np.array([[[entries[value % len(entries)] for value in pixel] for pixel in row] for row in pixels])


@pytest.mark.parametrize("kind", ["grey", "reduce", "conv", "general", "dense", "pool", "requant", "table"])
@given(seed=st.integers(0, 2**32 - 1), last=st.booleans())
@settings(max_examples=40, deadline=None)
def test_run_is_the_definition(kind, seed, last):
    drawer = NetDrawer(seed)
    shape = drawer.integer(1, 6), drawer.integer(1, 6), 3 if kind == "grey" else drawer.integer(1, 3)
    src = drawer.format(1, 8)
    spec = drawer.layer(kind, "layer", shape, src, last)
    images = drawer.values(src, (2, *shape))
    result = spec.run(images)
    assert result.dtype == np.int64 and result.shape == (2, *spec.out_shape)
    assert spec.dst.contains(result)
    for image, output in zip(images, result):
        np.testing.assert_array_equal(output, expected(spec, image))
    np.testing.assert_array_equal(reference.run(spec, images), result)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_accumulator_range_is_reached_and_never_left(seed):
    drawer = NetDrawer(seed)
    src = drawer.format(1, 8)
    spec = drawer.layer("dense", "layer", (1, 2, 3), src, last=True)
    low, high = spec.accumulator_range
    corners = np.where(spec.matrix > 0, src.max, src.min).T, np.where(spec.matrix > 0, src.min, src.max).T
    sums = [spec.run(corner.reshape(-1, 1, 2, 3)).reshape(len(corner), -1) for corner in corners]
    assert max(int(np.diag(sums[0]).max()), 0) == max(high, 0)
    assert int(np.diag(sums[1]).min()) == low
    assert spec.accumulator.contains([low, high])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (2, 2), (3, 3), (3, 5), (7, 1), (4, 6), (11, 13)])
@pytest.mark.parametrize("up", [-3, -1, 0, 1, 4])
def test_average_is_rounded_exactly(signed, kernel, up):
    """Every sum a window can have (or a thousand of them, and the extremes), half up."""
    src = QFormat(6, 2, signed)
    area = kernel[0] * kernel[1]
    spec = PoolSpec(
        name="pool", in_shape=(*kernel, 1), src=src, dst=QFormat(16, 2 + up), mode="avg", kernel=kernel,
        stride=(1, 1),
    )  # fmt: skip
    low, high = area * src.min, area * src.max
    sums = np.unique(np.linspace(low, high, 1000).astype(int))
    images = np.array([spread(total, area) for total in sums]).reshape(-1, *kernel, 1)
    assert src.contains(images)
    exact = [naive.requant(Fraction(int(total), area), 2, 16, 2 + up, True) for total in sums]
    np.testing.assert_array_equal(spec.run(images).ravel(), exact)


def spread(total, area):
    """`area` integers, as equal as can be, that add up to `total`."""
    return [total // area + (i < total % area) for i in range(area)]


FORMAT = QFormat(8, 4)
CONV = dict(
    name="conv1", in_shape=(5, 5, 2), src=FORMAT, dst=FORMAT, weights=np.ones((3, 3, 2, 4), int),
    weight_format=FORMAT, bias=np.zeros(4, int),
)  # fmt: skip
POOL = dict(
    name="pool1", in_shape=(5, 5, 2), src=FORMAT, dst=FORMAT, mode="max", kernel=(2, 2), stride=(2, 2)
)
TABLE = dict(
    name="table1", in_shape=(5, 5, 2), src=FORMAT, dst=FORMAT, function="f", table=np.zeros(256, int)
)
GREY = dict(name="grey1", in_shape=(5, 5, 3), src=FORMAT, dst=FORMAT, mode="average")
REDUCE = dict(
    name="reduce1", in_shape=(5, 5, 2), src=FORMAT, dst=FORMAT, weights=np.ones((2, 2), int), divisor=4,
    stride=(2, 2),
)  # fmt: skip
DENSE = CONV | dict(name="dense1", weights=np.ones((50, 4), int))


@pytest.mark.parametrize(
    "spec, change, problem",
    [
        (ConvSpec, CONV | {"weights": np.ones((3, 3, 2, 4))}, "conv1.*integers"),
        (ConvSpec, CONV | {"weights": np.full((3, 3, 2, 4), 128)}, "conv1.*s8.4"),
        (ConvSpec, CONV | {"weights": np.ones((3, 3, 1, 4), int)}, "conv1.*2 input channels"),
        (ConvSpec, CONV | {"weights": np.ones((3, 2, 4), int)}, "conv1.*2 input channels"),
        (ConvSpec, CONV | {"weights": np.ones((6, 3, 2, 4), int)}, "conv1.*does not fit"),
        (ConvSpec, CONV | {"weights": np.ones((), int)}, "conv1.*no weights"),
        (ConvSpec, CONV | {"dilation": (3, 1)}, "conv1.*7 x 3 does not fit"),
        (ConvSpec, CONV | {"dilation": (0, 1)}, "conv1.*dilation"),
        (ConvSpec, CONV | {"dilation": (1, 1, 1)}, "conv1.*dilation"),
        (ConvSpec, CONV | {"groups": 2}, "conv1.*2 input channels in 2 groups"),
        (ConvSpec, CONV | {"groups": 3}, "conv1.*3 groups do not divide 2 input channels"),
        (ConvSpec, CONV | {"groups": 0}, "conv1.*groups"),
        (ConvSpec, CONV | {"groups": 1.0}, "conv1.*groups"),
        (
            ConvSpec,
            CONV | {"groups": 2, "weights": np.ones((3, 3, 1, 3), int), "bias": np.zeros(3, int)},
            "conv1.*2 groups do not divide 3 output channels",
        ),
        (ConvSpec, CONV | {"bias": np.zeros((3, 3, 1), int)}, "conv1.*biases"),
        (ConvSpec, CONV | {"bias": np.zeros((5, 5, 4), int)}, "conv1.*biases"),
        (ConvSpec, CONV | {"bias": np.zeros(3, int)}, "conv1.*biases"),
        (ConvSpec, CONV | {"stride": (0, 1)}, "conv1.*stride"),
        (ConvSpec, CONV | {"padding": ((3, 0), (0, 0))}, "conv1.*padding"),
        (ConvSpec, CONV | {"bias": np.full(4, 2**60)}, r"conv1.*too wide"),
        (ConvSpec, CONV | {"shifts": np.zeros(3, int)}, "conv1.*shifts"),
        (ConvSpec, CONV | {"shifts": np.array([0, 0, 0, -1])}, "conv1.*shifts.*-1"),
        (ConvSpec, CONV | {"shifts": np.array([0, 33, 0, 0])}, "conv1.*shifts.*0 to 32"),
        (ConvSpec, CONV | {"shifts": np.zeros(4)}, "conv1.*shifts.*integers"),
        (DenseSpec, DENSE | {"weights": np.ones((49, 4), int)}, "dense1.*50 inputs"),
        (DenseSpec, DENSE | {"bias": np.zeros((4, 1), int)}, "dense1.*biases"),
        (PoolSpec, POOL | {"mode": "median"}, "pool1.*median"),
        (PoolSpec, POOL | {"kernel": (6, 1)}, "pool1.*does not fit"),
        (PoolSpec, POOL | {"dst": QFormat(7, 4)}, "pool1.*keeps its format"),
        (GreySpec, GREY | {"mode": "luma"}, "grey1.*luma"),
        (GreySpec, GREY | {"mode": ["average"]}, "grey1.*average"),
        (GreySpec, GREY | {"in_shape": (5, 5, 1)}, "grey1.*3 channels.*not 1"),
        (GreySpec, GREY | {"dst": QFormat(7, 4)}, "grey1.*keeps its format"),
        (GreySpec, GREY | {"src": QFormat(62, 4), "dst": QFormat(62, 4)}, "grey1.*too wide"),
        (ReduceSpec, REDUCE | {"weights": np.ones((2, 2))}, "reduce1.*integers"),
        (ReduceSpec, REDUCE | {"weights": np.ones((2, 2, 1), int)}, "reduce1.*rows and columns"),
        (ReduceSpec, REDUCE | {"weights": np.ones((0, 2), int)}, "reduce1.*rows and columns"),
        (ReduceSpec, REDUCE | {"weights": np.zeros((2, 2), int)}, "reduce1.*zero"),
        (ReduceSpec, REDUCE | {"weights": np.full((2, 2), 1 << 23)}, "reduce1.*8388607"),
        (ReduceSpec, REDUCE | {"weights": np.full((2, 2), 2**64 - 1, np.uint64)}, "reduce1.*8388607"),
        (ReduceSpec, REDUCE | {"weights": np.ones((6, 2), int)}, "reduce1.*does not fit"),
        (ReduceSpec, REDUCE | {"divisor": 0}, "reduce1.*divisor.*not 0"),
        (ReduceSpec, REDUCE | {"divisor": 2.0}, "reduce1.*divisor.*not 2.0"),
        (ReduceSpec, REDUCE | {"divisor": 65537}, "reduce1.*divisor.*not 65537"),
        (ReduceSpec, REDUCE | {"stride": (0, 1)}, "reduce1.*stride"),
        (ReduceSpec, REDUCE | {"padding": ((2, 0), (0, 0))}, "reduce1.*padding"),
        (ReduceSpec, REDUCE | {"src": QFormat(61, 4), "dst": QFormat(61, 4)}, "reduce1.*too wide"),
        (TableSpec, TABLE | {"table": np.zeros(255, int)}, "table1.*256 integers"),
        (TableSpec, TABLE | {"table": np.full(256, 200)}, "table1.*outside"),
        (TableSpec, TABLE | {"src": QFormat(13, 0)}, "table1.*at most 12 bits"),
    ],
)
def test_specs_refuse_by_name(spec, change, problem):
    with pytest.raises(ValueError, match=problem):
        spec(**change)


def test_specs_are_frozen():
    spec = ConvSpec(**CONV)
    with pytest.raises(ValueError, match="read-only"):
        spec.weights[0] = 0
    given_weights = CONV["weights"]
    assert given_weights.flags.writeable, "the caller's own array stays writable"
    assert RequantSpec(name="a", in_shape=(1, 1, 1), src=FORMAT, dst=FORMAT).out_shape == (1, 1, 1)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 6))
@settings(deadline=None)
def test_same_padding(size, kernel, stride):
    geometry = Geometry.resolve((size, size, 1), kernel, stride, "same")
    assert geometry.positions((size, size, 1)) == (-(-size // stride),) * 2
    (before, after), _ = geometry.padding
    assert 0 <= after - before <= 1
    if before + after:  # not more than needed
        assert (-(-size // stride) - 1) * stride + kernel == size + before + after


@pytest.mark.parametrize(
    "padding, sides",
    [("valid", ((0, 0), (0, 0))), (1, ((1, 1), (1, 1))), ((1, 2), ((1, 1), (2, 2))),
     (((0, 1), (2, 0)), ((0, 1), (2, 0)))],
)  # fmt: skip
def test_explicit_padding(padding, sides):
    assert Geometry.resolve((8, 8, 1), 3, 1, padding).padding == sides


@pytest.mark.parametrize("padding", ["full", (1, 2, 3), 3, -1, ((1,), (1, 2))])
def test_impossible_padding(padding):
    with pytest.raises(ValueError):
        Geometry.resolve((8, 8, 1), 3, 1, padding)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
@settings(deadline=None)
def test_positions(size, kernel, stride):
    geometry = Geometry(kernel, stride)
    counts = tuple(naive.positions(n, k, s, 0, 0) for n, k, s in zip(size, kernel, stride))
    if 0 in counts:
        with pytest.raises(ValueError, match="does not fit"):
            geometry.positions((*size, 1))
    else:
        assert geometry.positions((*size, 1)) == counts


@pytest.mark.parametrize("frac", [12, 2, 0, -1, -3, -12, -21])
def test_shifts_take_no_bit_of_a_float(frac):
    """Sums up to float32's last integer, moved far to the left: exact, with every rounding half."""
    rng = np.random.default_rng(frac + 99)
    src, shifts = QFormat(8, 0, False), np.array([0, 1, 3, 20])
    weights = rng.integers(-128, 128, (500, 4))
    weights[:, 0] = 127
    spec = DenseSpec(
        name="d", in_shape=(1, 1, 500), src=src, dst=QFormat(40, frac), weights=weights,
        weight_format=QFormat(8, 0), bias=rng.integers(-500_000, 500_000, 4), shifts=shifts,
    )  # fmt: skip
    if -3 <= frac <= 0:
        assert replace(spec, dst=QFormat(20, frac)).dtype is np.float32
    x = rng.integers(0, 256, (20, 1, 1, 500))
    x[:2] = np.array([0, 255]).reshape(2, 1, 1, 1)
    for dst in (spec.dst, QFormat(20, frac), QFormat(9, frac, False)):
        changed = replace(spec, dst=dst)
        results = changed.run(x)
        for image, output in zip(x, results):
            np.testing.assert_array_equal(output, expected(changed, image))
