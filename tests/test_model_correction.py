"""Biases chosen by calibration images: means of the integers against those of the floats, layer by layer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from float_nets import drawn, values
from model.arithmetic.qformat import QFormat
from model.golden.qchain import walk
from model.golden.spec import WeightedSpec
from model.layers import BatchNorm, Conv, Dense, Depthwise, Pool, ReLU, Residual, Sigmoid
from model.net.chain import flow
from model.net.network import Network
from model.quantisation import correction
from model.quantisation.build import build
from model.quantisation.correction import corrected, offsets
from model.quantisation.feedback import fed_back
from model.quantisation.fold import folded
from model.quantisation.quantise import quantise
from model.quantisation.scheme import calibrate
from model.quantisation.widths import Widths


def make(*layers, shape=(8, 8, 1), seed=0, images=60, light=True):
    """A net with random parameters, and images: few dark strokes on light paper, or light ones on dark."""
    rng = np.random.default_rng(seed)
    network = Network(layers, shape, rng, np.float64)
    network.vector += rng.normal(0, 0.1, network.params)
    found = rng.integers(180, 256, (images, *shape)) * (rng.random((images, *shape)) < 0.95)
    found = found if light else 255 - found
    network.measure(found.astype(np.uint8))
    return folded(network), found.astype(np.uint8)


def sums(net, images):
    """The exact sums of all layers with weights, as real numbers, by the layers' names."""
    found = {}

    def run(specs, x):
        for spec in specs:
            for branch in spec.branches:
                run(branch, x)
            if isinstance(spec, WeightedSpec):
                found[spec.name] = spec.accumulator.real(replace(spec, dst=spec.accumulator).run(x))
            x = spec.run(x)
        return x

    run(net.specs, images)
    return found


def check(network, scheme, images):
    """Each bias: its values' mean comes within half a step of the floats', and no other bias was nearer."""
    better = corrected(network, scheme, images)
    net, floats = build(better, scheme), values(network, images)
    of_integers = sums(net, images)
    layers = {layer.name: layer for layer, _ in flow(network.layers)}
    for spec in walk(net.specs):
        if not isinstance(spec, WeightedSpec):
            continue
        formats = scheme.formats[spec.name]
        ends = formats.dst.real([formats.dst.min, formats.dst.max]) if formats.dst else (-np.inf, np.inf)
        axes = (0, 1, 2) if spec.bias.ndim == 1 else 0
        goal = np.clip(floats[spec.name], *ends).mean(axis=axes)

        def missing(bias, spec=spec, ends=ends, axes=axes, goal=goal):
            """How far the mean is from the floats', in steps of the bias, with another bias."""
            step = formats.grid.steps * 2.0**-spec.src.frac  # noqa: B023
            moved = of_integers[spec.name] + (bias - spec.bias) * step
            return np.abs(np.clip(moved, *ends).mean(axis=axes) - goal) / step

        after = missing(spec.bias)
        before = missing(formats.grid.biases(layers[spec.name].biases, spec.src.frac))
        assert (after <= 0.5 + 1e-6).all(), spec.name
        assert (after <= np.maximum(before, 1e-6)).all(), spec.name
    return net


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_means_are_those_of_the_floats(seed):
    """Residual branches, groups, biases of pixels or none, any widths and activations."""
    check(*drawn(seed, np.float64))


NETS = {
    "normalisation ahead": lambda: [
        BatchNorm(), Conv(3, 3), ReLU(), BatchNorm(), Conv(4, 3), ReLU(), Dense(5),
    ],
    "normalisation behind": lambda: [Conv(3, 3, bias=None), BatchNorm(), ReLU(), Dense(6), BatchNorm()],
    "residual": lambda: [
        Conv(4, 3),
        Residual([Conv(4, 3, 1, "same", bias=None), BatchNorm(), ReLU(), Conv(4, 1), BatchNorm()]), ReLU(),
        Residual([Depthwise(3, 2)], [Conv(4, 3, 2, bias=None)]), Sigmoid(), Dense(5),
    ],
    "groups": lambda: [
        Conv(4, 1), ReLU(), Conv(8, 3, groups=2), Pool("max", 2), ReLU(), Depthwise(2), Dense(5),
    ],
    "pixels": lambda: [Conv(3, 3, bias="pixel"), Sigmoid(), Pool("avg", 2), Dense(5)],
}  # fmt: skip


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("name", NETS)
def test_wherever_layers_stand(name, bits):
    for light in (False, True):
        network, images = make(*NETS[name](), light=light)
        scheme = calibrate(network, images, Widths(bits), Widths(6))
        before = network.vector.copy()
        net = check(network, scheme, images)
        assert (network.vector == before).all()
        same = quantise(network, images, Widths(bits), Widths(6))
        np.testing.assert_array_equal(net.logits(images), same.logits(images))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("bits", [3, 4])
def test_light_paper(name, bits):
    """On images that it has not seen little is left of the outputs' offsets, and the errors are smaller."""
    offsets, noise = [], []
    for seed in range(3):
        network, images = make(*NETS[name](), seed=seed, images=200)
        seen, others = images[:100], images[100:]
        widths = Widths(bits), Widths(8)
        plain = build(network, calibrate(network, seen, *widths))
        nets = plain, quantise(network, seen, *widths)
        errors = [net.output_format.real(net.logits(others)) - network.logits(others) for net in nets]
        offsets.append([np.square(error.mean(axis=0)).mean() for error in errors])
        noise.append([np.square(error).mean() for error in errors])
    before, after = np.mean(offsets, axis=0)
    assert after < before / 10
    before, after = np.mean(noise, axis=0)
    assert after < before / 1.3


def test_weights_are_rounded_for_the_sums_of_what_comes_in():
    """Of the images for the first layer, and of what its integers compute for the next one."""
    network, images = make(Conv(3, 3), ReLU(), Dense(4))
    scheme = calibrate(network, images, Widths(3), Widths(3))
    conv, dense = (spec for spec in build(corrected(network, scheme, images), scheme).specs)
    for layer, spec, x in (
        (network.layers[0], conv, images / 256),
        (network.layers[2], dense, dense.src.real(conv.run(images))),
    ):
        grid = scheme.formats[spec.name].grid
        weights = fed_back(layer, grid, [x.transpose(1, 3, 2, 0)])
        np.testing.assert_array_equal(spec.weights * grid.steps, weights)
    assert (weights != grid.codes(layer.params["weights"]) * grid.steps).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_offsets_by_trying_all(seed):
    """Against every multiple in reach, with values that lie cut off at either end."""
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0, 4, (2, 3, 1, 1))
    wanted, found = rng.normal(0, 1, (2, 1, 3, 2, 9)) * scales + rng.normal(0, 2, (2, 3, 1, 1))
    dst = [None, QFormat(3, 1), QFormat(3, 1, False)][rng.integers(3)]
    step = 2.0 ** -rng.integers(2, 6)
    parts = [[values[..., :4], values[..., 4:]] for values in (wanted, found)]
    axes = ((0, 2, 3), 3)[rng.integers(2)]
    got = offsets(*parts, np.full((3, 1, 1), step), dst, axes) / step
    ends = (-np.inf, np.inf) if dst is None else dst.real([dst.min, dst.max])

    def missing(multiple):
        moved = np.clip(found + multiple * step, *ends).mean(axis=axes, keepdims=True)
        return np.abs(moved - np.clip(wanted, *ends).mean(axis=axes, keepdims=True)) / step

    assert (got == np.rint(got)).all() and (missing(got) <= 0.5 + 1e-9).all()
    tried = [missing(multiple) for multiple in range(int(-16 / step), int(16 / step))]
    assert (missing(got) <= np.maximum(np.min(tried, axis=0), 0.5) + 1e-9).all()
    assert (missing(got) <= missing(0)).all()


@pytest.mark.parametrize("tries", [1, 2, 5, 9, 11, 12, 13])
def test_offsets_cut_short_are_no_worse_than_none(tries, monkeypatch):
    """Of values that are all cut off, and lie so far away that a try goes too far."""
    monkeypatch.setattr(correction, "TRIES", tries)
    step, dst, sums = 2.0**-6, QFormat(4, 0), [np.full((1, 1, 1, 3), 40.0)]
    wanted = np.full((1, 1, 1, 3), dst.max - 2 * step)
    got = offsets([wanted], sums, np.full((1, 1, 1), step), dst, 3)
    assert abs(min(40 + got.item(), dst.max) - wanted.mean()) <= 2 * step


@pytest.mark.parametrize("side", [-1, 1])
def test_offsets_from_far_away(side):
    """Values that are all cut off do not show how far it is."""
    step, dst = 2.0**-6, QFormat(4, 0)
    end, start = (dst.max if side > 0 else dst.min) - side * step, side * 40.0
    wanted, found = (np.full((1, 1, 1, 3), value) for value in (end, start))
    assert offsets([wanted], [found], np.full((1, 1, 1), step), dst, 3).ravel() == end - start


def test_large_layers_look_at_fewer_images(monkeypatch):
    network, images = make(Conv(3, 3), ReLU(), Dense(4))
    scheme = calibrate(network, images, Widths(3))
    monkeypatch.setattr(correction, "VALUES", 40 * 3 * 36)
    few = corrected(network, scheme, images)
    monkeypatch.undo()
    assert (few.vector == corrected(network, scheme, images[:40]).vector).all()
    assert (few.vector != corrected(network, scheme, images).vector).any()
