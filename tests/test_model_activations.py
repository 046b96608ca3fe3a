"""Activations in integers: tables against the functions they stand for, from a float net to the hardware."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.folding.net import Plan
from hdl.network import Accelerator
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.layers import (
    Conv,
    Dense,
    Dropout,
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
from model.net.network import Network
from model.quantisation.correction import corrected
from model.quantisation.fake import fake
from model.quantisation.quantise import quantise
from model.quantisation.scheme import calibrate, left_out
from model.quantisation.widths import Widths

FUNCTIONS = {
    "sigmoid": (Sigmoid, lambda x: 1 / (1 + math.exp(-x))),
    "tanh": (Tanh, math.tanh),
    "leaky_relu": (lambda index=None: LeakyReLU(0.125, index), lambda x: x if x > 0 else x / 8),
    "square": (lambda index=None: Function("square", np.square, lambda x: 2 * x, index), lambda x: x * x),
    "one": (lambda index=None: Function("one", lambda x: 1.0, np.zeros_like, index), lambda x: 1),
}


def make(*layers, shape=(6, 6, 1), seed=0):
    rng = np.random.default_rng(seed)
    network = Network(layers, shape, rng)
    network.vector += rng.normal(0, 0.2, network.params).astype(np.float32)
    return network, rng.integers(0, 256, (40, *shape)).astype(np.uint8)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(width=st.integers(2, 16), index=st.one_of(st.none(), st.integers(2, 12)), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_tables_hold_the_function(name, width, index, seed):
    layer, h = FUNCTIONS[name]
    index = index and QFormat(index, index - 3)
    network, images = make(Conv(2, 3), layer(index) if index else layer(), Dense(3), seed=seed)
    conv, table, _ = quantise(network, images, activations=Widths(width)).specs
    assert (table.kind, table.function, table.name) == ("table", name, f"{network.layers[1].kind}1")
    assert conv.dst == table.src and table.dst.width == width
    assert index is None or table.src == index
    for code in range(table.src.min, table.src.max + 1):
        value = math.floor(h(code * 2.0**-table.src.frac) * 2.0**table.dst.frac + 0.5)
        entry = table.table[code % (1 << table.src.width)]
        exact = min(max(value, table.dst.min), table.dst.max)
        # NumPy and libm may differ in the last bit of a float, and a float may lie on an edge.
        assert abs(int(entry) - exact) <= (name in ("sigmoid", "tanh"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wide_tables_are_close_to_the_floats(name):
    layer, _ = FUNCTIONS[name]
    network, images = make(Conv(3, 3), layer(QFormat(12, 8)), Pool("avg", 2), Dense(4))
    net = quantise(network, images, Widths(16), Widths(16))
    logits = net.output_format.real(net.logits(images))
    np.testing.assert_allclose(logits, network.logits(images), atol=2e-2)


def test_formats_follow_from_the_images():
    network, images = make(Conv(2, 3), LeakyReLU(), Dense(3))
    conv, table, _ = quantise(network, images, activations=Widths(4)).specs
    assert conv.dst.width == 8 and table.dst.width == 4 and table.dst.signed
    conv, table, _ = quantise(network, images, activations=Widths(10)).specs
    assert conv.dst.width == table.dst.width == 10
    network, images = make(Tanh(), Dense(3))
    assert [spec.kind for spec in quantise(network, images).specs] == ["requant", "table", "dense"]


def test_unsigned_entries_where_nothing_is_negative():
    network, images = make(Conv(2, 3), Function("square", np.square, lambda x: 2 * x), Dense(3))
    assert not quantise(network, images).specs[1].dst.signed


def test_identity_and_softmax_leave_no_trace():
    plain, images = make(Conv(3, 3), ReLU(), Dense(4))
    dressed, _ = make(Conv(3, 3), Identity(), ReLU(), Identity(), Dense(4), Softmax())
    dressed.vector[:] = plain.vector
    a, b = quantise(plain, images), quantise(dressed, images)
    assert [spec.name for spec in a.specs] == [spec.name for spec in b.specs]
    assert b.specs[-1].dst == b.specs[-1].accumulator
    np.testing.assert_array_equal(a.logits(images), b.logits(images))
    np.testing.assert_array_equal(plain.classify(images), dressed.classify(images))
    np.testing.assert_allclose(dressed.logits(images).sum(axis=1), 1, rtol=1e-5)


def softplus(increasing=True):
    derivative = Sigmoid().h
    return Function("softplus", lambda x: np.logaddexp(0, x), derivative, None, increasing)


ENDS = {
    "sigmoid": [Sigmoid], "tanh": [Tanh], "relu": [ReLU], "leaky": [LeakyReLU],
    "flat": [lambda: LeakyReLU(0)], "softplus": [softplus],
    "two": [Tanh, Sigmoid, Softmax], "dropped": [Sigmoid, lambda: Dropout(0.2), Tanh],
}  # fmt: skip


@pytest.mark.parametrize("body", [[], [lambda: Conv(3, 3), ReLU], [lambda: Residual([Conv(1, 1)])]])
@pytest.mark.parametrize("end", ENDS)
@given(bits=st.integers(1, 16), seed=st.integers(0, 99))
@settings(max_examples=3, deadline=None)
def test_activations_at_the_end_tie_no_classes(end, body, bits, seed):
    """The integers are those of the net without them; in training they stay, and floats tie no class."""
    layers = [*body, lambda: Dense(5)]
    plain, images = make(*(layer() for layer in layers), seed=seed)
    dressed, _ = make(*(layer() for layer in [*layers, *ENDS[end]]), seed=seed)
    dressed.vector[:] = plain.vector
    dressed.layers[len(layers) - 1].params["bias"] += 30  # where a sigmoid of floats is 1 for all classes
    plain.vector[:] = dressed.vector
    widths = Widths(8), Widths(bits)
    a, b = quantise(plain, images, *widths), quantise(dressed, images, *widths)
    assert [(spec.name, spec.dst) for spec in a.specs] == [(spec.name, spec.dst) for spec in b.specs]
    np.testing.assert_array_equal(a.logits(images), b.logits(images))
    np.testing.assert_array_equal(plain.classify(images), dressed.classify(images))
    scheme = calibrate(dressed, images, *widths)
    fakes = fake(corrected(dressed, scheme, images), scheme)
    np.testing.assert_array_equal(fakes.classify(images), b.classify(images))
    sums, activated = fakes.trace(images)[len(layers) - 1 :][:2]
    np.testing.assert_array_equal(activated, fakes.layers[len(layers)].forward(sums, {}))


@pytest.mark.parametrize("bits", [1, 4, 16])
def test_an_average_at_the_end_has_all_bits(bits):
    network, images = make(Conv(5, 3), Pool("avg", 4))
    assert quantise(network, images, activations=Widths(bits)).specs[-1].dst.width == 16
    wanted = Widths(8, {"pool1": bits})
    assert quantise(network, images, activations=wanted).specs[-1].dst.width == bits


def test_an_activation_at_the_end_stays_where_its_values_are_wanted():
    network, images = make(Dense(4), Tanh(), Sigmoid(), ReLU())
    for wanted, left in (
        ({}, ["tanh1", "sigmoid1", "relu1"]),
        ({"tanh1": 6}, ["sigmoid1", "relu1"]),
        ({"sigmoid1": 6}, ["relu1"]),
        ({"tanh1": 6, "relu1": 6}, []),
    ):
        net = quantise(network, images, activations=Widths(8, wanted))
        assert left_out(network, Widths(8, wanted)) == left
        functions = [spec.function for spec in net.specs if spec.kind == "table"]
        assert functions == ["tanh", "sigmoid"][: 3 - len(left)]
    network, images = make(Dense(4), softplus(increasing=False))
    assert quantise(network, images).specs[-1].function == "softplus"
    network, images = make(Sigmoid(), shape=(1, 1, 3))
    assert quantise(network, images).specs[-1].function == "sigmoid"


@pytest.mark.parametrize("slope, other", [(0, ReLU), (1, Identity)])
@given(bits=st.integers(1, 16), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_leaky_relus_that_are_none_need_no_table(slope, other, bits, seed):
    """In a branch too; with an index of its own the user wants a table."""

    def net(function):
        branch = Residual([Conv(3, 1), function()])
        layers = [Conv(3, 3), function(), branch, Pool("avg", 2), function(), Dense(4)]
        network, images = make(*layers, seed=seed)
        return quantise(network, images, activations=Widths(bits)), images

    (leaky, images), (plain, _) = net(lambda: LeakyReLU(slope)), net(other)
    assert [(spec.kind, spec.src, spec.dst) for spec in leaky.specs] == [
        (spec.kind, spec.src, spec.dst) for spec in plain.specs
    ]
    np.testing.assert_array_equal(leaky.logits(images), plain.logits(images))
    tabled, _ = net(lambda: LeakyReLU(slope, QFormat(8, 4)))
    assert [spec.kind for spec in tabled.specs].count("table") == 2


def test_softmax_of_large_values():
    network, images = make(Dense(3), Softmax())
    network.vector *= 1e4
    assert np.isfinite(network.logits(images)).all()


def test_a_function_without_a_value_names_its_layer():
    network, images = make(
        Conv(2, 3), Function("log", lambda x: np.log(np.abs(x)), np.reciprocal, QFormat(8, 4)), Dense(3)
    )
    with pytest.raises(ValueError, match=r"'function1': log has no finite value at 0\.0"):
        quantise(network, images)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_artifacts_and_hardware(name, tmp_path):
    """There and back, with no trace of code; and every logit of the hardware."""
    layer, _ = FUNCTIONS[name]
    network, images = make(Conv(2, 3), Pool("max", 2), layer(), Dense(3), Softmax())
    net = quantise(network, images, activations=Widths(6))
    artifact.save(tmp_path / "net.npz", net)
    again = artifact.load(tmp_path / "net.npz")
    for before, after in zip(net.specs, again.specs):
        for field in dataclasses.fields(before):
            np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))
    beats = stream_sim.frames(again, images[:3].astype(int))
    got, _ = stream_sim.run(Accelerator(again, Plan.serial(again)), beats, 3, 0.2, limit=100_000)
    assert [list(answer.logits) for answer in got] == net.logits(images[:3]).tolist()


def test_a_function_is_named_by_text():
    network, images = make(Conv(2, 3), Function(7, np.square, lambda x: 2 * x), Dense(3))
    with pytest.raises(ValueError, match=r"'function1'.*name"):
        quantise(network, images)
