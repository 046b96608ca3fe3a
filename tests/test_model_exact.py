"""The golden model's integers in floats against plain int64, up to the last number that a float holds."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import naive
import reference
from model.arithmetic import exact
from model.arithmetic.exact import FLOAT32_EXACT, FLOAT64_EXACT, INT64_EXACT, narrowest
from model.arithmetic.qformat import MAX_WIDTH, QFormat, Requant
from model.golden import qchain
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.layers import ConvSpec, DenseSpec, GreySpec, PoolSpec, ReduceSpec
from random_nets import INNER, NetDrawer

SEEDS = st.integers(0, 2**32 - 1)
EDGES = [
    (FLOAT32_EXACT - 1, np.float32, 8),
    (FLOAT32_EXACT, np.float64, 8),
    (FLOAT64_EXACT - 1, np.float64, 20),
    (FLOAT64_EXACT, np.int64, 30),
    (INT64_EXACT - 1024, np.int64, 34),
]
"""Largest integers on the way to an output, the types that are to hold them, and widths of weights."""


def largest(spec: WeightedSpec) -> int:
    """Largest magnitude on the way from a sum's first product to its rounding, in Python's integers."""
    weights = spec.weights.reshape(-1, spec.weights.shape[-1]).T.tolist()
    inputs = max(-spec.src.min, spec.src.max)
    biases = spec.bias.reshape(-1, len(weights)).tolist()
    return max(
        sum(map(abs, w)) * inputs + abs(b) + half_of(spec, channel)
        for row in biases
        for channel, (w, b) in enumerate(zip(weights, row))
    )


def half_of(spec: WeightedSpec, channel: int) -> int:
    """Half a step of the output, in those of a channel's sums."""
    shift = spec.src.frac + spec.weight_format.frac - spec.dst.frac - int(spec.shifts[channel])
    return 1 << shift >> 1 if shift > 0 else 0


def at(spec: WeightedSpec, target: int, bits: int, shift: int, width: int, drawer: NetDrawer) -> WeightedSpec:
    """The layer with other weights, and one bias that makes the target its `largest` integer.

    Its output has `shift` fraction bits fewer than the sum, or so many that no channel moves left, and the
    given width.
    """
    shifts = spec.shifts if target <= FLOAT64_EXACT else spec.shifts * 0
    weight_format = QFormat(bits, spec.weight_format.frac)
    frac = spec.src.frac + weight_format.frac - max(shift, int(shifts.max()))
    weights = drawer.values(weight_format, spec.weights.shape)
    bias = np.zeros_like(spec.bias)
    fields = dict(weights=weights, weight_format=weight_format, shifts=shifts, dst=QFormat(width, frac))
    spec = dataclasses.replace(spec, bias=bias, **fields)
    alone = np.abs(weights[..., 0]).sum() * max(-spec.src.min, spec.src.max)
    first = (0,) * bias.ndim
    bias[first] = (target - half_of(spec, 0) - int(alone)) * drawer.rng.choice([-1, 1])
    return dataclasses.replace(spec, bias=bias)


def extremes(spec: Spec, rng) -> np.ndarray:
    """Images that drive sums far up and far down, and some that were drawn."""
    src, shape = spec.src, spec.in_shape
    corners = rng.choice([src.min, src.max], (8, *shape))
    drawn = rng.integers(src.min, src.max + 1, (4, *shape))
    return np.concatenate([[np.full(shape, src.min), np.full(shape, src.max)], corners, drawn])


def check_layer(spec: Spec, images: np.ndarray) -> None:
    """A layer's integers, for two chunks that share a cache; what it is given stays as it is."""
    cache = {}
    for part in (images, images[::-1]):
        x = np.ascontiguousarray(part.transpose(1, 3, 2, 0)).astype(narrowest(spec.src.magnitude))
        kept = x.copy()
        y = spec.apply(x, cache)
        np.testing.assert_array_equal(x, kept)
        np.testing.assert_array_equal(y.transpose(3, 0, 2, 1).astype(np.int64), reference.run(spec, part))


@pytest.mark.parametrize("kind", ["conv", "general", "dense"])
@pytest.mark.parametrize(("target", "dtype", "bits"), EDGES)
@given(seed=SEEDS)
@settings(max_examples=12)
def test_sums_at_the_edge_of_a_type(kind, target, dtype, bits, seed):
    drawer = NetDrawer(seed)
    shape = drawer.integer(1, 5), drawer.integer(1, 5), drawer.integer(1, 3)
    spec = drawer.layer(kind, "layer", shape, drawer.format(1, 8), last=True)
    spec = at(spec, target, bits, drawer.integer(0, 20), MAX_WIDTH, drawer)
    assert largest(spec) == target and spec.dtype is dtype
    check_layer(spec, extremes(spec, drawer.rng))


@pytest.mark.parametrize("first", EDGES)
@pytest.mark.parametrize("last", EDGES)
@given(seed=SEEDS)
@settings(max_examples=4)
def test_nets_at_the_edges_of_types(first, last, seed):
    (reach, _, bits), (last_reach, _, last_bits) = first, last
    drawer = NetDrawer(seed)
    src = drawer.format(1, 8)
    conv = drawer.layer("conv", "conv", (drawer.integer(3, 6), drawer.integer(3, 6), 2), src)
    conv = at(conv, reach, bits, drawer.integer(0, reach.bit_length() - 4), 8, drawer)
    specs = [conv]
    if min(conv.out_shape[:2]) > 1:
        specs.append(max_pool(conv.out_shape, conv.dst))
    dense = drawer.layer("dense", "dense", specs[-1].out_shape, conv.dst, last=True)
    specs.append(at(dense, last_reach, last_bits, drawer.integer(0, 5), MAX_WIDTH, drawer))
    assert (specs[0].dtype, specs[-1].dtype) == (first[1], last[1])
    check_net(QNetwork("net", src, tuple(specs)), extremes(conv, drawer.rng))


def max_pool(shape, src: QFormat, **fields) -> PoolSpec:
    fields = dict(mode="max", kernel=(2, 2), stride=(2, 2), dst=src) | fields
    return PoolSpec(name="pool", in_shape=shape, src=src, **fields)


def check_net(net: QNetwork, images: np.ndarray) -> None:
    """Every layer's integers, and those of the shorter way."""
    expected = reference.trace(net, images)
    for spec, got, whole in zip(net.specs, net.trace(images), expected, strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, whole, spec.name)
    logits = net.logits(images)
    assert logits.dtype == np.int64
    np.testing.assert_array_equal(logits, expected[-1].reshape(len(images), -1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@given(seed=SEEDS, prepared=st.booleans())
@settings(max_examples=40)
def test_nets_in_every_type(dtype, seed, prepared):
    """The same nets in their own type, and in those that they do not need."""
    with pytest.MonkeyPatch.context() as patch:
        for limit, narrower in (("FLOAT32_EXACT", np.float32), ("FLOAT64_EXACT", np.float64)):
            if dtype is not np.float32 and dtype is not narrower:
                patch.setattr(exact, limit, 0)
        drawer = NetDrawer(seed)
        net = drawer.net(drawer.integer(1, 5), prepared=prepared, inner=(*INNER, "residual"))
        own = all(spec.dtype is dtype for spec in qchain.walk(net.specs) if isinstance(spec, WeightedSpec))
        # a few drawn nets have sums that float32 does not hold
        if dtype is np.float32:
            assume(own)
        assert own
        check_net(net, drawer.images(net, 5))


def test_any_number_of_images_on_any_number_of_threads():
    drawer = NetDrawer(1)
    net = drawer.net(4)
    images = drawer.images(net, 3 * net.chunk + 5)
    expected = reference.logits(net, images)
    for count in (0, 1, net.chunk, net.chunk + 1, len(images)):
        for threads in (1, 2, 5):
            np.testing.assert_array_equal(net.logits(images[:count], threads), expected[:count])
            np.testing.assert_array_equal(
                net.classify(images[:count], threads), expected[:count].argmax(axis=1)
            )
    with pytest.raises(ValueError, match="threads"):
        net.logits(images, 0)


@given(seed=SEEDS, width=st.integers(1, 57), mode=st.sampled_from(["max", "avg", "sum"]))
@settings(max_examples=120)
def test_pooling_of_any_width(seed, width, mode):
    drawer = NetDrawer(seed)
    src = QFormat(width, drawer.integer(-1, 9), bool(drawer.integer(0, 1)))
    geometry = drawer.geometry((drawer.integer(1, 6), drawer.integer(1, 6)), 3)
    dst = src if mode == "max" else QFormat(drawer.integer(1, 50), src.frac + drawer.integer(-5, 3))
    shape = (7, 6, 2)
    try:
        spec = max_pool(shape, src, mode=mode, kernel=geometry.kernel, stride=geometry.stride, dst=dst)
    except ValueError as error:
        assume("64 bits" not in str(error))
        raise
    check_layer(spec, extremes(spec, drawer.rng))


@given(seed=SEEDS, width=st.integers(1, 32), bits=st.integers(2, 24), grey=st.booleans())
@settings(max_examples=120)
def test_prepared_images_of_any_width(seed, width, bits, grey):
    drawer = NetDrawer(seed)
    signed = bool(drawer.integer(0, 1))
    if grey:
        src = QFormat(width + bits, 0, signed)
        mode = ("average", "lightness", "luminosity")[drawer.integer(0, 2)]
        spec = GreySpec(name="grey", in_shape=(3, 4, 3), src=src, dst=src, mode=mode)
    else:
        src = QFormat(width, 0, signed)
        geometry = drawer.geometry((5, 6), 4)
        weights = drawer.values(QFormat(bits, 0), geometry.kernel)
        weights[0, 0] |= 1  # at least one that counts
        spec = ReduceSpec(
            name="reduce", in_shape=(5, 6, 2), src=src, dst=src, weights=weights,
            divisor=drawer.integer(1, 1 << drawer.integer(0, 16)), stride=geometry.stride,
            padding=geometry.padding,
        )  # fmt: skip
    check_layer(spec, extremes(spec, drawer.rng))


@given(data=st.data(), src=st.integers(1, MAX_WIDTH), dst=st.integers(1, MAX_WIDTH), up=st.integers(-40, 60))
@settings(max_examples=200)
def test_requant_in_place(data, src, dst, up):
    src = QFormat(src, 10, data.draw(st.booleans()))
    dst = QFormat(dst, 10 + up, data.draw(st.booleans()))
    assume(src.width + max(up, 0) <= 63)
    requant = Requant(src, dst)
    near = st.integers(-3, 3).map(lambda n: min(max(n, src.min), src.max))
    codes = data.draw(st.lists(near | st.integers(src.min, src.max), min_size=1, max_size=6))
    codes += [src.min, src.max]
    expected = [naive.requant(code, src.frac, dst.width, dst.frac, dst.signed) for code in codes]
    x = np.array(codes).astype(narrowest(requant.bound(src.magnitude)))
    result = requant.inplace(x)
    assert result is x
    assert result.astype(np.int64).tolist() == expected


def test_sums_that_no_type_holds():
    with pytest.raises(ValueError, match=r"layer 'dense'.*2\*\*60.0 are too wide.*2\*\*60"):
        dense([[1]], INT64_EXACT - 1)


def dense(weights, bias, shift: int = 0) -> DenseSpec:
    """A dense layer of inputs 0 and 1 whose output shows every bit."""
    weights = np.array(weights)
    return DenseSpec(
        name="dense", in_shape=(1, 1, len(weights)), src=QFormat(1, 0, False), dst=QFormat(MAX_WIDTH, -shift),
        weights=weights, weight_format=QFormat(8, 0), bias=np.full(weights.shape[1], bias),
    )  # fmt: skip


def refused(make) -> None:
    """The reference notices what is wrong with a layer."""
    check_layer(make(), np.ones((1, 1, 1, 1), int))
    check_layer(make(), np.zeros((1, 1, 1, 1), int))


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, FLOAT32_EXACT), (np.float64, FLOAT64_EXACT)])
def test_a_bound_that_forgets_the_half_is_noticed(dtype, limit, monkeypatch):
    def make():
        spec = dense([[-1]], limit - 3, shift=3)
        assert spec.magnitudes.max() < limit <= spec.magnitudes.max() + 4
        return spec

    refused(make)
    assert make().dtype is not dtype
    monkeypatch.setattr(WeightedSpec, "reach", property(lambda self: self.magnitudes.max()))
    assert make().dtype is dtype
    with pytest.raises(AssertionError):
        refused(make)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, FLOAT32_EXACT), (np.float64, FLOAT64_EXACT)])
def test_a_type_that_is_too_narrow_is_noticed(dtype, limit, monkeypatch):
    def make():
        return dense([[1]], limit)

    refused(make)
    assert make().dtype is not dtype
    monkeypatch.setattr("model.golden.spec.narrowest", lambda bound: dtype)
    with pytest.raises(AssertionError):
        refused(make)


SOURCE = QFormat(8, 0)


def pooled(bias_shape, **pool) -> QNetwork:
    """A convolution by 1 x 1 whose sums go below its output's smallest value, and a pooling."""
    conv = ConvSpec(
        name="conv", in_shape=(4, 4, 1), src=SOURCE, dst=QFormat(8, -2), weights=np.full((1, 1, 1, 2), 7),
        weight_format=QFormat(4, 0), bias=np.random.default_rng(0).integers(-300, 300, bias_shape),
    )  # fmt: skip
    return QNetwork("net", SOURCE, (conv, max_pool(conv.out_shape, conv.dst, **pool)))


PADDED = {"padding": ((1, 1), (1, 1))}


@pytest.mark.parametrize("bias_shape", [(2,), (4, 4, 2)])
@pytest.mark.parametrize(
    ("pool", "integers", "right"),
    [
        ({}, False, True),
        (PADDED, False, True),
        ({"mode": "avg"}, False, False),
        (PADDED, True, False),
    ],
)
def test_sums_are_pooled_first_only_where_that_is_right(bias_shape, pool, integers, right, monkeypatch):
    if integers:
        monkeypatch.setattr(exact, "FLOAT32_EXACT", 0)
        monkeypatch.setattr(exact, "FLOAT64_EXACT", 0)
    net = pooled(bias_shape, **pool)
    images = np.random.default_rng(1).integers(-128, 128, (60, 4, 4, 1))
    assert qchain.pooled_first(*net.specs) == right
    check_net(net, images)
    monkeypatch.setattr(qchain, "pooled_first", lambda *specs: True)
    if not right:
        with pytest.raises(AssertionError):
            check_net(net, images)
