"""Float layers: outputs against loops, gradients against central differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from gradients import differences, relative_error
from model.arithmetic.qformat import QFormat
from model.layers import (
    BatchNorm,
    Conv,
    Dense,
    Depthwise,
    Function,
    Identity,
    LeakyReLU,
    Pool,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from model.net.losses import LOSSES
from model.net.network import Network


@st.composite
def windows(draw, size, largest=3, dilation=(1, 1)):
    """Kernel, stride and padding that fit an image, in all the forms that a user may write."""
    kernel = tuple(draw(st.integers(1, min(largest, 1 + (n - 1) // d))) for n, d in zip(size, dilation))
    stride = draw(st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    reach = [(k - 1) * d for k, d in zip(kernel, dilation)]
    side = [st.tuples(st.integers(0, n), st.integers(0, n)) for n in reach]
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), st.tuples(*side)))
    return kernel, stride, padding


@st.composite
def layer_cases(draw, kind):
    """A layer, the shape of its input, and a seed."""
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    if kind == "conv":
        layer = Conv(draw(st.integers(1, 3)), *draw(windows(shape[:2])))
    elif kind == "general":
        shape = draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.integers(1, 4))
        groups = draw(st.sampled_from([n for n in range(1, 5) if shape[2] % n == 0]))
        dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        layer = Conv(
            groups * draw(st.integers(1, 2)),
            *draw(windows(shape[:2], 3, dilation)),
            dilation=dilation,
            groups=groups,
            bias=draw(st.sampled_from(["channel", "pixel", None])),
        )
    elif kind == "depthwise":
        layer = Depthwise(*draw(windows(shape[:2])), multiplier=draw(st.integers(1, 2)))
    elif kind == "dense":
        layer = Dense(draw(st.integers(1, 4)))
    elif kind in ("max", "avg", "sum"):
        layer = Pool(kind, *draw(windows(shape[:2])))
    elif kind == "batchnorm":
        layer = BatchNorm(draw(st.sampled_from([1e-5, 0.1])))
    elif kind == "residual":
        # Stride and kernels of one size fit the branches to each other.
        kernel, stride, channels = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
        body = [Conv(channels, kernel, stride, "same"), Tanh(), Conv(channels, 2, 1, "same")]
        layer = Residual(body, draw(st.sampled_from([[Conv(channels, 1, stride)], [Pool("max", 1, stride)]])))
        if isinstance(layer.layers[1][0], Pool):
            shape = (*shape[:2], channels)
    else:
        layer = ACTIVATIONS[kind][0](draw)
    return layer, shape, draw(st.integers(0, 2**32 - 1))


def swish(x):
    return x / (1 + np.exp(-x))


def swish_slope(x):
    return (1 + np.exp(-x) + x * np.exp(-x)) / (1 + np.exp(-x)) ** 2


ACTIVATIONS = {
    "relu": (lambda draw: ReLU(), lambda layer, x: np.where(x > 0, x, 0)),
    "sigmoid": (lambda draw: Sigmoid(), lambda layer, x: 1 / (1 + np.exp(-x))),
    "tanh": (lambda draw: Tanh(), lambda layer, x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)),
    "leaky": (
        lambda draw: LeakyReLU(draw(st.floats(0, 1))),
        lambda layer, x: np.where(x > 0, x, layer.slope * x),
    ),
    "identity": (lambda draw: Identity(), lambda layer, x: x),
    "function": (lambda draw: Function("swish", swish, swish_slope), lambda layer, x: swish(x)),
    "softmax": (lambda draw: Softmax(), lambda layer, x: np.exp(x) / np.exp(x).sum()),
}
"""How to draw each, and the function itself."""
KINDS = (
    "conv", "general", "depthwise", "dense", "max", "avg", "sum", "batchnorm", "residual", *ACTIVATIONS,
)  # fmt: skip


def build(layer, shape, seed):
    """The layer in float64 with biases, and a batch whose values are far enough apart to step between."""
    rng = np.random.default_rng(seed)
    network = Network([layer], shape, rng, np.float64)
    network.vector += rng.normal(0, 0.3, network.vector.shape)
    size = (3, *shape)
    images = (rng.permutation(np.prod(size)).reshape(size) - np.prod(size) / 2 + 0.25) / 16
    return network, images, rng


def expected(layer, image):
    """A layer's output for one image, by loops."""
    if isinstance(layer, Conv):
        weights, g = layer.params["weights"].tolist(), layer.geometry
        bias = layer.params.get("bias", np.zeros(layer.channels)).tolist()
        return naive.conv(image, weights, bias, g.stride, g.padding, g.dilation, layer.groups)
    if isinstance(layer, Dense):
        return naive.dense(image, layer.params["weights"].tolist(), layer.params["bias"].tolist())
    if isinstance(layer, Pool):
        g = layer.geometry
        return naive.pool(image, layer.mode, g.kernel, g.stride, g.padding)
    if isinstance(layer, BatchNorm):
        scale, shift = layer.params["scale"], layer.params["shift"]
        return (np.array(image) - layer.mean) / np.sqrt(layer.variance + layer.epsilon) * scale + shift
    if isinstance(layer, Residual):
        branches = [image, image]
        for index, inner in enumerate(layer.layers):
            for one in inner:
                branches[index] = np.array(expected(one, branches[index])).tolist()
        return np.add(*branches)
    (h,) = (h for make, h in ACTIVATIONS.values() if type(layer) is type(make(lambda _: 0)))
    return h(layer, np.array(image))


def covered(layer):
    """Whether every window of a max pooling sees a pixel at least."""
    if not (isinstance(layer, Pool) and layer.mode == "max"):
        return True
    corners = naive.places(
        np.zeros(layer.in_shape), layer.geometry.kernel, layer.geometry.stride, layer.geometry.padding
    )
    return all(
        any(True for _ in naive.window(np.zeros(layer.in_shape), *corner, layer.geometry.kernel))
        for row in corners
        for corner in row
    )


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_forward(kind, data):
    layer, shape, seed = data.draw(layer_cases(kind))
    network, images, _ = build(layer, shape, seed)
    if not covered(layer):
        return
    (result,) = network.trace(images)
    assert result.shape == (len(images), *network.out_shape)
    np.testing.assert_allclose(
        result, [expected(layer, image.tolist()) for image in images], atol=1e-12, rtol=1e-12
    )


def gradient_error(layer, shape, seed, draw=None):
    """Largest distance between analytic and numerical derivatives, relative to the largest of them."""
    network, images, rng = build(layer, shape, seed)
    caches = network.new_caches()
    caches[0]["draw"] = draw
    pixels = images.transpose(1, 3, 2, 0).copy()
    weight = rng.normal(size=network.layers[0].forward(pixels, caches[0]).shape)

    def loss():
        return float((network.layers[0].forward(pixels, caches[0]) * weight).sum())

    loss()
    analytic = {key: value.copy() for key, value in layer.gradients(weight, caches[0]).items()}
    analytic["x"] = np.array(layer.backward(weight, caches[0]))
    assert analytic.keys() == {*layer.params, "x"}
    tensors = {**layer.params, "x": pixels}
    return max(relative_error(analytic[key], differences(loss, values)) for key, values in tensors.items())


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_gradients(kind, data):
    layer, shape, seed = data.draw(layer_cases(kind))
    if covered_after_build(layer, shape):
        assert gradient_error(layer, shape, seed) < 1e-6


def covered_after_build(layer, shape):
    Network([layer], shape, np.random.default_rng(0))
    return covered(layer)


class Mutant(Conv):
    """A convolution whose gradient forgets its last kernel column."""

    def gradients(self, dy, cache):
        gradients = super().gradients(dy, cache)
        gradients["weights"][:, -1] = 0
        return gradients


class InputMutant(Sigmoid):
    """A sigmoid whose derivative is off by a fraction."""

    def backward(self, dy, cache):
        return super().backward(dy, cache) * 1.0001


@pytest.mark.parametrize("layer", [Mutant(2, 3), InputMutant()])
def test_gradient_check_finds_mutants(layer):
    assert gradient_error(layer, (4, 4, 2), 0) > 1e-5


@given(seed=st.integers(0, 2**32 - 1), values=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_max_pooling_passes_on_each_derivative_once(seed, values):
    """Also among equals, where a central difference has nothing to say."""
    layer = Pool("max", 3, 2, 1)
    rng = np.random.default_rng(seed)
    Network([layer], (5, 5, 2), rng, np.float64)
    x, cache = rng.integers(0, values, (5, 2, 5, 4)).astype(float), {}
    y = layer.forward(x, cache)
    dx = layer.backward(np.ones_like(y), cache)
    assert dx.sum() == y.size
    assert ((dx > 0) <= (x >= x.min())).all() and (dx >= 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_losses(loss, seed, classes):
    rng = np.random.default_rng(seed)
    outputs, labels = rng.normal(0, 2, (4, classes)), rng.integers(0, classes, 4)
    value, slope = LOSSES[loss](outputs, labels)
    one = np.eye(classes)[labels]
    if loss == "rmse":
        direct = np.sqrt(((outputs - one) ** 2).mean(axis=1)).sum()
    elif loss == "binary-cross-entropy":
        direct = -np.log(np.where(one == 1, 1, np.exp(-outputs)) / (1 + np.exp(-outputs))).sum()
    else:
        direct = -np.log((np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True))[one == 1]).sum()
    assert value == pytest.approx(direct, rel=1e-12)
    assert relative_error(slope, differences(lambda: LOSSES[loss](outputs, labels)[0], outputs)) < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_check_finds_a_mutant(loss):
    """A derivative that forgets one image in four."""
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(0, 2, (4, 3)), rng.integers(0, 3, 4)
    slope = LOSSES[loss](outputs, labels)[1]
    slope[3] = 0
    assert relative_error(slope, differences(lambda: LOSSES[loss](outputs, labels)[0], outputs)) > 1e-2


def test_losses_at_their_edges():
    value, slope = LOSSES["rmse"](np.eye(3), np.arange(3))
    assert value == 0 and not slope.any()
    for loss in ("cross-entropy", "binary-cross-entropy"):
        value, slope = LOSSES[loss](np.array([[1e4, -1e4]]), np.array([1]))
        assert value == 2e4 and np.isfinite(slope).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_whole_net_gradient(loss):
    rng = np.random.default_rng(1)
    layers = [
        Conv(3, 3, 2, "same"),
        Sigmoid(),
        Pool("avg", 2),
        Conv(4, 2, 1, "same"),
        ReLU(),
        Pool("max", 2, 1),
        Dense(3),
    ]
    network = Network(layers, (9, 10, 2), rng, np.float64)
    images, labels = rng.integers(0, 256, (5, 9, 10, 2)), rng.integers(0, 3, 5)
    caches = network.new_caches()
    value, correct, gradient = network.gradient(images, labels, LOSSES[loss], caches)
    assert value == pytest.approx(LOSSES[loss](network.logits(images), labels)[0])
    assert correct == np.count_nonzero(network.classify(images) == labels)
    numerical = differences(lambda: network.gradient(images, labels, LOSSES[loss], caches)[0], network.vector)
    assert relative_error(gradient, numerical) < 1e-6


def test_float32_and_float64_agree():
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (70, 8, 9, 1)).astype(np.uint8)
    nets = [
        Network([Conv(4, 3), ReLU(), Pool("max", 2), Dense(5)], (8, 9, 1), np.random.default_rng(3), dtype)
        for dtype in (np.float32, np.float64)
    ]
    low, high = (net.logits(images) for net in nets)
    assert low.dtype == np.float32
    np.testing.assert_allclose(low, high, atol=1e-5)
    # Pixels are exact: a grey level g is g / 256.
    np.testing.assert_array_equal(nets[1].logits(images / 256), high)


@pytest.mark.parametrize(
    "layers, problem",
    [
        ([Conv(2, 3), Conv(2, 9)], "layer 'conv2': a window of 9 x 9"),
        ([Pool("max", 2), Pool("avg", 5)], "layer 'pool2': a window of 5 x 5"),
        ([Conv(2, 3, 0)], "layer 'conv1': a stride"),
        ([Conv(2, 3, dilation=4)], "layer 'conv1': a window of 9 x 9"),
        ([Conv(2, 3, dilation=0)], "layer 'conv1': a dilation"),
        ([Conv(4, 3), Conv(4, 3, groups=3)], "layer 'conv2': 3 groups do not divide 4 input"),
        ([Conv(4, 3), Conv(6, 3, groups=4)], "layer 'conv2': 4 groups do not divide 6 output"),
        ([Conv(4, 3, groups=0)], "layer 'conv1': the number of groups"),
        ([Conv(4, 3, groups="all")], "layer 'conv1': the number of groups"),
        ([Conv(2, 3, 1, "full")], "layer 'conv1': padding"),
        ([Conv(2, 3), Softmax(), Dense(2)], "layer 'softmax1': .*end of a net"),
        ([], "at least one layer"),
    ],
)
def test_network_errors_name_the_layer(layers, problem):
    with pytest.raises(ValueError, match=problem):
        Network(layers, (8, 8, 1), np.random.default_rng(0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv(0, 3),
        lambda: Dense(0),
        lambda: Conv(2, 3, bias="row"),
        lambda: Depthwise(3, multiplier=0),
        lambda: Pool("median", 2),
        lambda: LeakyReLU(1.5),
        lambda: LeakyReLU(float("nan")),
        lambda: Tanh(QFormat(13, 4)),
    ],
)
def test_layers_refuse(make):
    with pytest.raises(ValueError):
        make()


def test_names_and_views():
    network = Network([Conv(2, 3), ReLU(), Conv(2, 3), ReLU(), Dense(4)], (8, 8, 1), np.random.default_rng(0))
    assert [layer.name for layer in network.layers] == ["conv1", "relu1", "conv2", "relu2", "dense1"]
    network.vector[:] = 7
    assert (network.layers[4].params["bias"] == 7).all()
