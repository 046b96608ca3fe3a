"""Fake quantisation: every layer's real values are the integers' times a power of two, and gradients pass."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from float_nets import drawn, reals, values
from model.arithmetic.grid import Grid
from model.arithmetic.qformat import QFormat
from model.golden.qchain import walk
from model.layers import Conv, Dense, Pool, ReLU, Sigmoid
from model.net.network import Network
from model.quantisation.build import build
from model.quantisation.fake import fake, latent, widest
from model.quantisation.rounded import FakePool, FakeTable, FakeWeighted, Rounded
from model.quantisation.scheme import Formats, Scheme, calibrate
from model.quantisation.widths import Widths


def agree(network, scheme, images, net=None):
    """Compare all layers of the fake net with the integers of `net`; gives the fake net."""
    net, fakes = net or build(network, scheme), fake(network, scheme)
    expected, got = reals(net, images), values(fakes, images)
    for name in expected.keys() & got.keys():
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    assert {spec.name for spec in walk(net.specs)} - got.keys() <= {f"{name}_in" for name in got}
    last = net.specs[-1].name
    np.testing.assert_array_equal(
        got[last].reshape(len(images), -1), net.output_format.real(net.logits(images))
    )
    return fakes


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=120, deadline=None)
def test_every_value_is_the_integers(seed):
    network, scheme, images = drawn(seed)
    agree(network, scheme, images)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_late_rounding_changes_no_value(seed):
    """But for the sums that wait for the maxima behind them: they are rounded there."""
    network, scheme, images = drawn(seed)
    fakes = [values(fake(network, scheme, late), images) for late in (False, True)]
    for name, early in fakes[0].items():
        late = fakes[1][name]
        if (late != early).any():
            fmt = scheme.formats[name].dst
            late = fmt.real(fmt.quantise(late))
        np.testing.assert_array_equal(late, early)


def test_late_rounding_finds_the_largest_sum():
    layers = [Conv(1, 1), Pool("max", (1, 4)), ReLU(), Dense(2)]
    network = Network(layers, (1, 4, 1), np.random.default_rng(0), np.float64)
    network.layers[0].params["weights"][:] = 1
    unsigned = QFormat(2, 0, False)
    grid = Grid(4, 0, (0,))
    formats = {
        "conv1": Formats(unsigned, grid=grid), "pool1": Formats(), "relu1": Formats(unsigned, unsigned),
        "dense1": Formats(None, grid=Grid(4, 0, (0, 0))),
    }  # fmt: skip
    x = np.array([0.6, 0.9, 1.2, 0.1]).reshape(1, 1, 4, 1)
    for late, winner in ((False, 0), (True, 2)):
        layers = fake(network, Scheme(formats), late).layers[:2]
        caches, y = [{}, {}], x
        for layer, cache in zip(layers, caches):
            y = layer.forward(y, cache)
        assert y == 1
        dy = layers[1].backward(np.ones_like(y), caches[1])
        assert dy.ravel().tolist() == [index == winner for index in range(4)]


def half_to_even(self, y, cache):
    """`Rounded.rounded` with NumPy's rounding."""
    dst, cache["passes"] = self.formats.dst, np.ones(y.shape, bool)
    if dst is None:
        return y
    return np.clip(np.rint(y * 2.0**dst.frac), dst.min, dst.max).astype(y.dtype) * y.dtype.type(
        2.0**-dst.frac
    )


def without_saturation(self, y, cache):
    dst, cache["passes"] = self.formats.dst, np.ones(y.shape, bool)
    if dst is None:
        return y
    return np.floor(y * 2.0**dst.frac + 0.5).astype(y.dtype) * y.dtype.type(2.0**-dst.frac)


def bias_as_it_is(self):
    steps = self.formats.grid.steps.astype(self.dtype)
    return {**self.params, "weights": self.formats.grid.codes(self.params["weights"]) * steps}


def one_scale(self):
    """The steps of the finest channel for all."""
    return np.full(len(self.shifts), 2.0**-self.frac)


def rounded_twice(self, x, cache):
    """Averages rounded to the input's grid before they are rounded to their own."""
    average = np.floor(self.inner.forward(x, {}) * 2.0**self.frac + 0.5) * 2.0**-self.frac
    return self.rounded(average.astype(x.dtype), cache)


def the_next_entry(self, x, cache, forward=FakeTable.forward):
    table, self.table = self.table, np.roll(self.table, 1)
    y = forward(self, x, cache)
    self.table = table
    return y


MUTANTS = {
    "half to even": (Rounded, "rounded", half_to_even),
    "no saturation": (Rounded, "rounded", without_saturation),
    "bias beside the grid": (FakeWeighted, "quantised", bias_as_it_is),
    "one scale for all channels": (Grid, "steps", property(one_scale)),
    "average rounded twice": (FakePool, "forward", rounded_twice),
    "another entry of the table": (FakeTable, "forward", the_next_entry),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_fail(name, monkeypatch):
    owner, attribute, fault = MUTANTS[name]
    cases = [drawn(seed) for seed in range(60)]
    nets = [build(network, scheme) for network, scheme, _ in cases]
    monkeypatch.setattr(owner, attribute, fault)
    with pytest.raises(AssertionError):
        for (network, scheme, images), net in zip(cases, nets):
            agree(network, scheme, images, net)


@pytest.mark.parametrize("kernel", [(2, 2), (2, 3), (3, 3), (5, 2), (7, 9)])
@pytest.mark.parametrize("up", [-3, 0, 5])
def test_averages_are_rounded_exactly(kernel, up):
    """Any sums that a window can have, in fractions."""
    src, dst, area = QFormat(11, 2), QFormat(16, 2 + up), kernel[0] * kernel[1]
    layer = alone(Pool("avg", kernel), Formats(dst), FakePool, (*kernel, 1), src.frac, dtype=np.float32)
    sums = np.unique(np.linspace(area * src.min, area * src.max, 20_001).astype(int))
    x = np.zeros((*kernel, 1, len(sums)), np.float32)
    x[:] = (sums // area)[None, None, None]
    flat = x.reshape(area, -1)
    flat += np.arange(area)[:, None] < sums % area
    y = layer.forward((x / 4).transpose(0, 2, 1, 3), {}).ravel()
    exact = [naive.requant(Fraction(total, area), src.frac, 16, dst.frac, True) for total in sums.tolist()]
    np.testing.assert_array_equal(y * 2.0**dst.frac, exact)


def test_float64_where_float32_is_not_exact():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 6, 6, 1)).astype(np.uint8)
    for bits, dtype in ((8, np.float32), (16, np.float64)):
        network = Network([Conv(3, 3), ReLU(), Dense(4)], (6, 6, 1), rng)
        scheme = calibrate(network, images, Widths(bits), Widths(bits))
        assert agree(network, scheme, images).dtype is dtype
    wide = {**scheme.formats, "relu1": Formats(QFormat(36, 25, False), QFormat(36, 25, False))}
    wide["conv1"] = replace(scheme.formats["conv1"], dst=QFormat(36, 25, False))
    with pytest.raises(ValueError, match=r"layer 'dense1': its sums are too wide to be exact in floats"):
        fake(network, replace(scheme, formats=wide))


def test_the_bound_is_reached():
    """Weights, biases and inputs at their ends: sums come up to half the bound, and not beyond."""
    rng = np.random.default_rng(0)
    network = Network([Conv(2, 3), ReLU(), Dense(4)], (5, 5, 1), rng)
    images = np.full((1, 5, 5, 1), 255, np.uint8)
    scheme = calibrate(network, images, Widths(4), Widths(4))
    for layer in (network.layers[0], network.layers[2]):
        layer.params["weights"][:] = -1000
    net = build(network, scheme)
    for spec in net.specs:
        assert spec.magnitudes.max() <= widest(spec) <= 4 * spec.magnitudes.max() + 2**12


def test_what_a_scheme_does_not_know():
    network, _, images = drawn(0)
    other = Network([Dense(2)], network.in_shape, np.random.default_rng(0))
    scheme = calibrate(other, images)
    with pytest.raises(ValueError, match=f"layer {network.layers[0].name!r}: no formats were chosen"):
        fake(network, scheme)


def test_latent_gives_the_parameters_back():
    for seed in range(12):
        network, scheme, images = drawn(seed)
        before = network.vector.copy()
        fakes = fake(network, scheme)
        again = latent(fakes)
        np.testing.assert_array_equal(again.vector, before)
        np.testing.assert_array_equal(again.logits(images), network.logits(images).astype(again.dtype))
        fakes.vector += 1
        assert (network.vector == before).all() and (again.vector == before).all()
        assert [layer.name for layer in fakes.layers] == [layer.name for layer in network.layers]
        assert fakes.macs == network.macs and fakes.out_shape == network.out_shape
        assert (fakes.weights == network.weights).all()


def alone(layer, formats, kind=Rounded, shape=(1, 1, 4), *args, dtype=np.float64):
    """One layer as a fake."""
    network = Network([layer], shape, np.random.default_rng(0), dtype)
    return kind(network.layers[0], formats, *args)


def test_gradients_pass_where_nothing_saturates():
    layer = alone(ReLU(), Formats(QFormat(2, 1, False)))
    x = np.array([-0.3, 0.3, 1.6, 1.8]).reshape(1, 4, 1, 1)
    cache = {}
    assert layer.forward(x, cache).ravel().tolist() == [0, 0.5, 1.5, 1.5]
    # A ReLU has its own derivative; 1.6 is rounded and 1.8 cut off.
    assert layer.backward(np.ones_like(x), cache).ravel().tolist() == [0, 1, 1, 0]


def test_a_table_has_the_functions_derivative():
    index, dst = QFormat(6, 3), QFormat(4, 4, False)
    layer = alone(Sigmoid(index), Formats(dst, index), FakeTable)
    x = np.array([-6.0, -0.3, 0.1, 3.6]).reshape(1, 4, 1, 1)
    cache = {}
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    taken = np.clip(np.floor(x * 8 + 0.5), -32, 31) / 8
    expected = np.minimum(np.floor(sigmoid(taken) * 16 + 0.5), 15) / 16
    np.testing.assert_array_equal(layer.forward(x, cache), expected)
    slopes = sigmoid(taken) * (1 - sigmoid(taken)) * np.array([0, 1, 1, 0]).reshape(x.shape)
    np.testing.assert_allclose(layer.backward(np.ones_like(x), cache), slopes, rtol=1e-12)


@pytest.mark.parametrize("mode, share", [("avg", 1 / 6), ("sum", 1)])
def test_gradients_of_pooling(mode, share):
    layer = alone(Pool(mode, (2, 3)), Formats(QFormat(5, 2)), FakePool, (2, 3, 1), 3)
    x = np.full((2, 1, 3, 2), 0.125)
    x[..., 1] = 100
    cache = {}
    y = layer.forward(x, cache)
    assert y.ravel().tolist() == ([0.25, 3.75] if mode == "avg" else [0.75, 3.75])
    dx = layer.backward(np.ones_like(y), cache)
    np.testing.assert_allclose(dx[..., 0], share)
    assert not dx[..., 1].any()


def test_weights_learn_as_if_they_were_not_rounded():
    """The gradient is that of the layer with the rounded weights; all of them get it."""
    network = Network([Dense(3)], (1, 1, 4), np.random.default_rng(1), np.float64)
    grid = Grid(2, 2, (0, 1, 2))
    layer = FakeWeighted(network.layers[0], Formats(None, grid=grid), 4)
    weights = layer.quantised()["weights"]
    assert set(np.unique(weights / grid.steps)) <= {-1, 0, 1}
    x, dy = np.random.default_rng(0).normal(size=(2, 1, 4, 1, 5))
    cache = {}
    y = layer.forward(x, cache).reshape(3, 5)
    np.testing.assert_allclose(y, weights.T @ x.reshape(4, 5))
    dy = dy[:, :3]
    gradients = layer.gradients(dy, cache)
    np.testing.assert_allclose(gradients["weights"], x.reshape(4, 5) @ dy.reshape(3, 5).T)
    np.testing.assert_allclose(gradients["bias"], dy.reshape(3, 5).sum(axis=1))
    np.testing.assert_allclose(layer.backward(dy, cache).reshape(4, 5), weights @ dy.reshape(3, 5))
