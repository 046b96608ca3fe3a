"""The choice of scales against brute force, and what quantisation makes of nets."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model.arithmetic.qformat import QFormat
from model.arithmetic.scale import best_format
from model.layers import BatchNorm, Conv, Dense, Pool, ReLU, Residual, Sigmoid
from model.net.network import Network
from model.quantisation.build import build
from model.quantisation.correction import corrected
from model.quantisation.fake import fake
from model.quantisation.fold import folded
from model.quantisation.quantise import quantise
from model.quantisation.scheme import calibrate
from model.quantisation.widths import Widths
from naive import requant


def error(values, width, frac, signed):
    """Sum of squared errors in exact fractions."""
    total = Fraction(0)
    for value in values:
        code = requant(Fraction(value), 0, width, frac, signed)
        total += (Fraction(value) - code * Fraction(2) ** -frac) ** 2
    return total


@given(
    st.lists(st.floats(-1000, 1000, width=32).map(lambda x: round(x, 3)), min_size=1, max_size=12),
    st.integers(1, 8),
    st.booleans(),
    st.integers(-12, 12),
)
@settings(max_examples=150, deadline=None)
def test_best_format_is_the_best_of_all(values, width, signed, exponent):
    values = [math.ldexp(value, exponent) for value in values]
    fmt = best_format(np.array(values), width, signed)
    assert (fmt.width, fmt.signed) == (width, signed)
    least = min(error(values, width, frac, signed) for frac in range(-32, 40))
    chosen = error(values, width, fmt.frac, signed)
    assert float(chosen) <= float(least) * (1 + 1e-9)


def test_best_format_lets_outliers_saturate():
    values = np.concatenate([np.linspace(-1, 1, 10001), [1.3]])
    assert best_format(values, 8, True) == QFormat(8, 7)
    assert best_format(values * 4, 8, True) == QFormat(8, 5)
    assert best_format(np.zeros(5), 8, True) == QFormat(8, 0)
    assert best_format(np.full(3, -2.0), 8, False) == QFormat(8, 0, False)
    assert best_format(np.empty(0), 4, True) == QFormat(4, 0)


def make(*layers, shape=(8, 8, 1), seed=0):
    rng = np.random.default_rng(seed)
    network = Network(layers, shape, rng)
    network.vector += rng.normal(0, 0.1, network.params).astype(np.float32)
    return network, rng.integers(0, 256, (50, *shape)).astype(np.uint8)


def names(net):
    return [(spec.name, spec.kind) for spec in net.specs]


def test_relu_costs_nothing():
    network, images = make(Conv(3, 3), Pool("max", 2), ReLU(), Dense(4), ReLU(), Dense(5))
    net = quantise(network, images)
    assert names(net) == [("conv1", "conv"), ("pool1", "pool"), ("dense1", "dense"), ("dense2", "dense")]
    conv, pool, dense, last = net.specs
    assert not conv.dst.signed and conv.dst == pool.src == pool.dst == dense.src
    assert not dense.dst.signed and last.dst == last.accumulator
    for spec, trace in zip(net.specs, net.trace(images)):
        assert spec.dst.signed or trace.min() >= 0


def test_relu_that_stands_alone_is_a_requantiser():
    network, images = make(Conv(3, 3), Pool("avg", 2), ReLU(), Conv(2, 2), Dense(5))
    net = quantise(network, images)
    kinds = [spec.kind for spec in net.specs]
    assert kinds == ["conv", "pool", "requant", "conv", "dense"]
    pool, requant_spec = net.specs[1:3]
    assert pool.dst.signed and pool.dst.width == 8
    assert requant_spec.src == pool.dst and not requant_spec.dst.signed
    network, images = make(ReLU(), Dense(5))
    assert [spec.kind for spec in quantise(network, images).specs] in (["dense"], ["requant", "dense"])


def test_sigmoid_takes_the_tables_index():
    network, images = make(Conv(3, 3), Sigmoid(), Pool("sum", 2), Sigmoid(), Dense(5))
    net = quantise(network, images)
    kinds = [spec.kind for spec in net.specs]
    assert kinds == ["conv", "table", "pool", "requant", "table", "dense"]
    conv, table, _, index, _, _ = net.specs
    assert conv.dst == table.src == index.dst == QFormat(8, 4)
    assert table.dst == QFormat(8, 8, False) and table.function == "sigmoid"


def test_sigmoid_table():
    network, images = make(Dense(2), Sigmoid(), Dense(2))
    table = quantise(network, images).specs[1].table
    for code in range(256):
        value = (code - 256 if code > 127 else code) / 16
        assert table[code] == min(math.floor(256 / (1 + math.exp(-value)) + 0.5), 255)


def test_max_pooling_before_a_sigmoid_keeps_the_index_format():
    network, images = make(Conv(3, 3), Pool("max", 2), Sigmoid(), Dense(5))
    net = quantise(network, images)
    assert [spec.kind for spec in net.specs] == ["conv", "pool", "table", "dense"]
    assert net.specs[0].dst == net.specs[1].dst == QFormat(8, 4)


def test_last_sums_are_exact_through_pooling():
    network, images = make(Dense(4), Sigmoid(), Conv(5, 1))
    assert quantise(network, images).specs[-1].dst == quantise(network, images).specs[-1].accumulator
    network, images = make(Conv(5, 3), Pool("avg", 6))
    conv = quantise(network, images).specs[0]
    assert conv.dst == conv.accumulator


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 12, 16])
def test_widths(width):
    network, images = make(Conv(3, 3), ReLU(), Conv(2, 3), Sigmoid(), Pool("avg", 2), Dense(5))
    net = quantise(network, images, Widths(width), Widths(width))
    for spec in net.specs:
        if spec.kind in ("conv", "dense"):
            assert spec.weight_format.width == max(width, 2)
    by_name = {spec.name: spec for spec in net.specs}
    assert by_name["conv1"].dst.width == width
    assert by_name["sigmoid1"].dst == QFormat(width, width, False)
    assert by_name["pool1"].dst.width == width
    assert by_name["conv2"].dst == QFormat(8, 4)


def test_widths_by_layer():
    network, images = make(Conv(3, 3), ReLU(), Conv(2, 3), Dense(5))
    net = quantise(network, images, Widths.parse("6,conv2=3"), Widths.parse("relu1=4, conv2=7"))
    conv1, conv2, dense = net.specs
    assert [spec.weight_format.width for spec in net.specs] == [6, 3, 6]
    assert (conv1.dst.width, conv2.dst.width) == (4, 7) and dense.dst == dense.accumulator


@pytest.mark.parametrize("text", ["", "0", "17", "8,conv1", "conv1=x", "=", "8.5", "-4", "conv1=99", "²"])
def test_widths_that_are_none(text):
    with pytest.raises(ValueError, match="widths"):
        Widths.parse(text)


def test_unknown_layers():
    network, images = make(Conv(3, 3), ReLU(), Dense(5))
    with pytest.raises(ValueError, match=r"'conv9'.*conv1, dense1"):
        quantise(network, images, Widths(8, {"conv9": 4}))
    with pytest.raises(ValueError, match="'relu1' has weights"):
        quantise(network, images, Widths(8, {"relu1": 4}))
    with pytest.raises(ValueError, match="'pool1' has activations"):
        quantise(network, images, Widths(), Widths(8, {"pool1": 4}))


def test_biases_lie_on_the_accumulators_grid():
    network, images = make(Conv(3, 3), ReLU(), Dense(5))
    net = build(network, calibrate(network, images))
    for layer, spec in zip((network.layers[0], network.layers[2]), net.specs):
        frac = spec.src.frac + spec.weight_format.frac
        exact = [math.floor(Fraction(float(b)) * 2**frac + Fraction(1, 2)) for b in layer.params["bias"]]
        assert spec.bias.tolist() == exact


def test_wide_integers_are_close_to_the_floats():
    network, images = make(
        Conv(4, 3, 1, "same"), ReLU(), Pool("max", 2), Conv(4, 3), Pool("avg", 2), Dense(6)
    )
    net = quantise(network, images, Widths(16), Widths(16))
    floats = network.logits(images)
    np.testing.assert_allclose(net.output_format.real(net.logits(images)), floats, atol=2e-3)


def test_an_accumulator_that_is_too_wide_names_its_layer():
    network, images = make(Dense(3), ReLU(), Dense(3))
    network.layers[0].params["bias"][:] = 1e30
    with pytest.raises(ValueError, match=r"'dense1'.*too wide"):
        quantise(network, images)


@pytest.mark.parametrize(
    ("what", "value"), [("weight", np.nan), ("bias", np.nan), ("bias", np.inf), ("bias", 1e30)]
)
@pytest.mark.filterwarnings("error")
def test_parameters_that_are_no_numbers_name_their_layer(what, value):
    """Such as a damaged checkpoint holds; weights that are only too large saturate."""
    network, images = make(Dense(3), ReLU(), Dense(3))
    scheme = calibrate(network, images)
    params = network.layers[2].params
    params["weights" if what == "weight" else what].flat[1] = value
    with pytest.raises(ValueError, match=f"'dense2': output channel .* has a {what} of .*(finite|too wide)"):
        build(network, scheme)


@given(
    weight=st.integers(-44, 36), bias=st.none() | st.integers(-44, 36), bits=st.integers(1, 16),
    layer=st.integers(0, 1), by=st.sampled_from(["channel", "tensor"]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
@pytest.mark.filterwarnings("error")
def test_far_ends_of_floats(weight, bias, bits, layer, by, seed):
    """Weights and biases times powers of ten: no warning, no needless sums, and fakes as the integers."""
    network, images = make(Conv(3, 3), ReLU(), Pool("avg", 2), Dense(5), seed=seed)
    params = network.layers[3 * layer].params
    params["weights"] *= np.float32(10.0) ** weight
    params["bias"][:] = 0 if bias is None else params["bias"] * np.float32(10.0) ** bias
    widths = Widths(bits), Widths(bits)
    values = network.logits(images)
    assume(network.trace(images)[1].any())  # nothing can be said of the steps of a dead layer
    try:
        net = quantise(network, images, *widths, scales=by)
        scheme = calibrate(network, images, *widths, by)
    except ValueError as error:  # beyond what formats hold, or the format of the next layer's sums
        assert max(weight, bias or 0) > 14
        assert re.search("layer '(conv|dense)1': .*(too wide|do not fit)", str(error))
        return
    fakes = fake(corrected(network, scheme, images), scheme)
    np.testing.assert_array_equal(fakes.classify(images), net.classify(images))
    for spec in net.specs:
        if spec.kind != "pool":
            products = spec.src.width + len(spec.matrix).bit_length()
            assert spec.accumulator.width <= 24 + 3 + products
    if bits == 16 and layer and np.abs(values).max() > 1e-9:
        real = net.output_format.real(net.logits(images))
        assert np.abs(real - values).max() <= 1e-3 * np.abs(values).max()


@pytest.mark.parametrize("scales", ["channel", "tensor"])
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("size", [0, 1e-38, 1e-12])
def test_weights_too_small_to_matter_leave_the_bias(size, bits, scales):
    network, images = make(Conv(3, 3), ReLU(), Dense(4))
    params = network.layers[2].params
    params["weights"] *= np.float32(size)
    params["bias"][:] = [0.001, -0.25, 0, 0.75]
    net = quantise(network, images, Widths(bits), Widths(8), scales=scales)
    assert not net.specs[-1].weights.any() and net.specs[-1].accumulator.width <= 32
    real = net.output_format.real(net.logits(images))
    np.testing.assert_allclose(real, np.broadcast_to([0.001, -0.25, 0, 0.75], real.shape), atol=2**-15)


@pytest.mark.parametrize("scales", ["channel", "tensor"])
def test_one_bit_of_a_channel_of_zeros(scales):
    """Beside others its weights stay zeros, in training too."""
    network, images = make(Conv(3, 3), ReLU(), Dense(4))
    weights = network.layers[2].params["weights"]
    weights[:, 1] = 0
    spec = quantise(network, images, Widths(1), Widths(8), scales=scales).specs[-1]
    assert not spec.weights[:, 1].any() and (np.abs(np.delete(spec.weights, 1, axis=1)) == 1).all()
    weights[0, 1] = np.abs(weights).max()  # one that is none is enough for a sign each
    spec = quantise(network, images, Widths(1), Widths(8), scales=scales).specs[-1]
    assert (np.abs(spec.weights) == 1).all()


@pytest.mark.filterwarnings("ignore")  # NumPy's, of infinite weights
def test_a_bias_too_wide_says_which_and_what_to_do():
    network, images = make(Conv(3, 3), ReLU(), Dense(4))
    scheme = calibrate(network, images)
    network.layers[2].params["bias"][2] = 1e30
    told = r"'dense1': output channel 2 has a bias of 1e\+30, too wide .*2\*\*53 steps.*; use fewer bits"
    with pytest.raises(ValueError, match=told):
        build(network, scheme)
    network.layers[2].params["weights"][1, 3] = np.inf
    with pytest.raises(ValueError, match=r"'dense1': output channel 3 has a weight of inf, .* no finite"):
        build(network, scheme)
    with pytest.raises(ValueError, match=r"'dense1': outputs of .* are too wide for any format"):
        quantise(network, images)


def residual(*rest):
    body = [Conv(3, 3, 1, "same"), ReLU(), Conv(3, 3, 1, "same")]
    return make(Conv(3, 3), ReLU(), Residual(body), ReLU(), Residual([Conv(4, 1)], [Conv(4, 1)]), *rest)


def test_branches_are_added_as_they_are():
    """Their ends keep exact sums; the activation behind the addition chooses what these are rounded to."""
    network, images = residual(Sigmoid(), Dense(5))
    net = quantise(network, images, Widths(4), Widths(5, {"residual1_relu1": 3}))
    assert [spec.kind for spec in net.specs] == ["conv", "residual", "residual", "table", "dense"]
    first, second = net.specs[1:3]
    assert [spec.kind for spec in first.body] == ["conv", "conv"] and first.shortcut == ()
    assert first.body[0].dst.width == 3 and not first.body[0].dst.signed
    assert first.body[1].dst == first.body[1].accumulator
    assert (first.dst.width, first.dst.signed) == (5, False) and second.dst == QFormat(8, 4)
    assert all(branch[-1].dst == branch[-1].accumulator for branch in second.branches)
    network, images = residual()
    last = quantise(network, images).specs[-1]
    assert last.dst == last.sum_format
    network, images = residual(Dense(5))
    plain = quantise(network, images, activations=Widths(8, {"residual2": 6})).specs[-2]
    assert (plain.dst.width, plain.dst.signed) == (6, True)


def test_wide_integers_of_branches_are_close_to_the_floats():
    network, images = residual(ReLU(), Pool("avg", 2), Dense(5))
    net = quantise(network, images, Widths(16), Widths(16))
    np.testing.assert_allclose(net.output_format.real(net.logits(images)), network.logits(images), atol=2e-3)


def test_unknown_layers_of_branches():
    network, images = residual(Dense(5))
    with pytest.raises(ValueError, match=r"'conv9'.*residual1_conv2"):
        quantise(network, images, Widths(8, {"conv9": 4}))


def test_batch_normalisation_is_folded_first():
    network, images = make(Conv(3, 3), BatchNorm(), ReLU(), Dense(5))
    network.measure(images)
    with pytest.raises(ValueError, match=r"'batchnorm1': .*fold it away first"):
        calibrate(network, images)
    net = quantise(network, images)
    assert names(net) == [("conv1", "conv"), ("dense1", "dense")]
    plain = folded(network)
    scheme = calibrate(plain, images)
    again = build(corrected(plain, scheme, images), scheme)
    np.testing.assert_array_equal(net.logits(images), again.logits(images))


def test_scales():
    network, images = make(Conv(6, 3), ReLU(), Dense(5))
    network.layers[0].params["weights"][..., 0] *= 4
    channel, tensor = (
        quantise(network, images, Widths(4), scales=scales) for scales in ("channel", "tensor")
    )
    assert channel.specs[0].shifts[0] > min(channel.specs[0].shifts) == 0
    assert not any(spec.shifts.any() for spec in tensor.specs)
    noise = [
        np.square(net.output_format.real(net.logits(images)) - network.logits(images)).sum()
        for net in (channel, tensor)
    ]
    assert noise[0] < noise[1]
    with pytest.raises(ValueError, match="'layer'"):
        quantise(network, images, scales="layer")


@pytest.mark.parametrize("bits, numbers", [(1, {-1, 1}), (2, {-1, 0, 1})])
def test_binary_and_ternary(bits, numbers):
    network, images = make(Conv(3, 3), ReLU(), Dense(5))
    for spec in quantise(network, images, Widths(bits), Widths(4)).specs:
        assert {*np.unique(spec.weights)} == numbers and spec.weight_format.width == 2
