"""Layers of nets with any scales and zero points: in integers, in artifacts, and what they refuse."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import reference
from model.arithmetic.qformat import QFormat
from model.arithmetic.rescale import matched
from model.arithmetic.rules import TwoRoundings
from model.files import artifact
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, PoolSpec, RescaleSpec, ResidualSpec, TableSpec
from random_nets import NetDrawer

S8 = QFormat(8, 0)
PLAIN = dict(
    name="scale", in_shape=(2, 3, 2), src=QFormat(20, 0), dst=S8, multipliers=np.array([5, 0]),
    offsets=np.array([[1, -6], [2, -6]]), shifts=np.array([3, 1]), low=-128, high=127,
)  # fmt: skip


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_rescale_is_the_definition(seed):
    drawer = NetDrawer(seed)
    shape = drawer.integer(1, 4), drawer.integer(1, 4), drawer.integer(1, 4)
    src = drawer.format(2, 33)
    spec = drawer.rescale("scale", shape, src)
    x = drawer.values(src, (3, *shape))
    x[0, 0, 0], x[1, 0, 0], x[2, 0, 0] = src.min, src.max, 0
    odds = (spec.offsets if spec.odd is None else spec.odd).T.tolist()
    numbers = list(zip(spec.multipliers.tolist(), spec.shifts.tolist(), spec.offsets.T.tolist(), odds))

    def result(a, m, s, evens, odds):
        even, odd = ((m * a + (offsets[0] if a < 0 else offsets[1])) >> s for offsets in (evens, odds))
        largest = max(even - even % 2, odd if odd % 2 else odd - 1)
        return min(max(largest, spec.low), spec.high)

    expected = [result(a, *of) for pixel in x.reshape(-1, shape[2]).tolist() for a, of in zip(pixel, numbers)]
    np.testing.assert_array_equal(spec.run(x).ravel(), expected)
    np.testing.assert_array_equal(reference.run(spec, x).ravel(), expected)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_sums_beyond_the_span_may_be_clipped(seed):
    """Every sum of a narrow format; and no narrower span would do."""
    drawer = NetDrawer(seed)
    src = drawer.format(2, 10)
    channels = drawer.integer(1, 3)
    spec = drawer.rescale("scale", (1, 1, channels), src)
    x = np.repeat(np.arange(src.min, src.max + 1)[:, None], channels, axis=1).reshape(-1, 1, 1, channels)
    y = spec.run(x)
    assert (np.diff(y, axis=0) >= 0).all()
    low, high = spec.span
    np.testing.assert_array_equal(spec.run(x.clip(low, high)), y)
    if low < high:
        for narrower in ((low + 1, high), (low, high - 1)):
            assert (spec.run(x.clip(*narrower)) != y).any()
    else:
        assert (y == y[0]).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_zero_point_is_padding_and_a_constant_in_the_biases(seed):
    """Products with differences from the zero point, zeros in the padding: what frameworks define."""
    drawer = NetDrawer(seed)
    shape = drawer.integer(1, 6), drawer.integer(1, 6), drawer.integer(1, 3)
    zero = drawer.integer(-128, 127)
    geometry = drawer.spread_geometry(shape)
    weights = drawer.values(S8, (*geometry.kernel, shape[2], 4))
    bias = drawer.rng.integers(-5000, 5000, 4)
    spec = ConvSpec(
        name="conv", in_shape=shape, src=S8, dst=S8, weights=weights, weight_format=S8, fill=zero,
        bias=bias - zero * weights.sum(axis=(0, 1, 2)), stride=geometry.stride, padding=geometry.padding,
        dilation=geometry.dilation,
    )  # fmt: skip
    spec = dataclasses.replace(spec, dst=spec.accumulator)
    x = drawer.values(S8, (2, *shape))
    for image, output in zip(x, spec.run(x)):
        sums = naive.conv(
            (image - zero).tolist(), weights.tolist(), bias.tolist(), spec.stride, spec.padding, spec.dilation
        )
        np.testing.assert_array_equal(output, sums)


def small_net() -> QNetwork:
    """A convolution and a pooling that are rescaled, in an addition of tables that is rescaled."""
    rng = np.random.default_rng(3)
    shape = 5, 4, 3

    def scaled(name, sums, scales, zero):
        channels = sums.out_shape[2]
        low, high = (
            (end.reshape(-1) for end in sums.sum_ranges)
            if sums.kind == "conv"
            else (np.full(channels, end) for end in (sums.dst.min, sums.dst.max))
        )
        form = matched(TwoRoundings.of(scales, zero), low, high, -128, 127)
        return RescaleSpec(
            name=name, in_shape=sums.out_shape, src=sums.dst, dst=S8, multipliers=form.multipliers,
            offsets=form.offsets, shifts=form.shifts, low=form.low, high=form.high,
        )  # fmt: skip

    conv = ConvSpec(
        name="conv", in_shape=shape, src=S8, dst=S8, weights=rng.integers(-127, 128, (3, 3, 3, 3)),
        weight_format=S8, bias=rng.integers(-3000, 3000, 3), padding=((1, 1), (1, 1)), fill=-7,
    )  # fmt: skip
    conv = dataclasses.replace(conv, dst=conv.accumulator)
    tables = [
        TableSpec(
            name=name, in_shape=shape, src=S8, dst=QFormat(20, 0), function="scale",
            table=np.round(np.roll(np.arange(-128, 128), 128) * step).astype(int),
        )
        for name, step in (("table_a", 811.3), ("table_b", 377.7))
    ]  # fmt: skip
    add = ResidualSpec(
        name="add", in_shape=shape, src=S8, dst=S8,
        body=(conv, scaled("conv_out", conv, rng.uniform(5e-4, 3e-3, 3), 11), tables[0]),
        shortcut=(tables[1],),
    )  # fmt: skip
    add = dataclasses.replace(add, dst=add.sum_format)
    pool = PoolSpec(name="pool", in_shape=shape, src=S8, dst=S8, mode="sum", kernel=(2, 2), stride=(2, 2))
    pool = dataclasses.replace(pool, dst=pool.sum_format)
    specs = add, scaled("add_out", add, [1.3e-3] * 3, -3), pool, scaled("pool_out", pool, [0.31] * 3, 5)
    return QNetwork("small", S8, specs)


def test_nets_and_their_artifacts(tmp_path):
    net = small_net()
    images = np.random.default_rng(0).integers(-128, 128, (70, *net.in_shape))
    traced = net.trace(images)
    for ours, expected in zip(traced, reference.trace(net, images)):
        np.testing.assert_array_equal(ours, expected)
    assert len(np.unique(traced[-1])) > 50
    np.testing.assert_array_equal(net.logits(images), traced[-1].reshape(70, -1))
    artifact.save(tmp_path / "net.npz", net)
    again = artifact.load(tmp_path / "net.npz")
    assert again.specs[0].body[0].fill == -7
    np.testing.assert_array_equal(again.logits(images, threads=2), net.logits(images))
    with np.load(tmp_path / "net.npz") as arrays:
        text = json.loads(bytes(arrays["net.json"]))
        assert text["format"] == 4
        text["format"] = 3
        members = {**arrays, "net.json": np.frombuffer(json.dumps(text).encode(), np.uint8)}
    np.savez(tmp_path / "old.npz", **members)
    with pytest.raises(ValueError, match="unknown field 'fill'"):
        artifact.load(tmp_path / "old.npz")


@pytest.mark.parametrize("odd", [None, np.array([[0, -5], [1, -5]])])
def test_artifacts_of_rescales(odd, tmp_path):
    spec = RescaleSpec(**PLAIN, odd=odd)
    artifact.save(tmp_path / "net.npz", QNetwork("net", spec.src, (spec,)))
    (again,) = artifact.load(tmp_path / "net.npz").specs
    for name, value in spec.fields.items():
        np.testing.assert_array_equal(getattr(again, name), value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"multipliers": np.array([1, 2, 3])}, "scale.*do not fit"),
        ({"in_shape": (2, 3, 1)}, "scale.*2 multipliers do not fit 1 channels"),
        ({"multipliers": np.array([-1, 2])}, "scale.*from 0"),
        ({"multipliers": np.array([0.5, 2])}, "scale.*integers"),
        ({"shifts": np.array([-1, 2])}, "scale.*shifts"),
        ({"offsets": np.array([[60, 0], [-9, 0]])}, "scale.*fall where the sum's sign changes"),
        ({"high": 128}, "scale.*outside their format s8.0"),
        ({"low": -129}, "scale.*outside"),
        ({"low": 9, "high": 8}, "scale.*between 9 and 8"),
        ({"high": 12.0}, "scale.*whole numbers"),
        ({"src": QFormat(50, 0), "multipliers": np.array([1 << 20, 0])}, "scale.*64 bits"),
    ],
)
def test_refusals(change, problem):
    with pytest.raises(ValueError, match=problem):
        RescaleSpec(**PLAIN | change)
    spec = RescaleSpec(**PLAIN)
    with pytest.raises(ValueError, match="read-only"):
        spec.offsets[0] = 0


def test_layers_without_a_zero_point_are_what_they_were():
    """A design's hash, and the layout of its weights, are made of these fields."""
    conv = small_net().specs[0].body[0]
    plain = dataclasses.replace(conv, fill=0)
    assert set(conv.fields) - set(plain.fields) == {"fill"}
    assert "fill" not in {field.name for field in artifact.fields_of(plain, plain.since)}


@pytest.mark.parametrize("fill", [128, -129, 1.0, True])
def test_fills_that_are_no_values(fill):
    conv = small_net().specs[0].body[0]
    with pytest.raises(ValueError, match=r"layer 'conv': the padding holds values of s8\.0"):
        dataclasses.replace(conv, fill=fill)
