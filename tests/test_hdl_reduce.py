"""Reduction stages, and sums with constant weights, against the golden model and loops over fractions."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import stream_sim
from hdl.devices.device import PORTABLE
from hdl.folding.net import Plan
from hdl.network import Accelerator
from hdl.parts.chain import Chain
from hdl.planning.cost import cost
from hdl.planning.estimate import estimate
from hdl.planning.search import search
from hdl.products.sharing import adder_graph
from hdl.products.weigh import WeighPipe
from hdl.stages.reduce import reduce_parts
from model.arithmetic.qformat import PIXELS, QFormat
from model.layers import Conv, Dense, Grey, Reduce, ReduceSpec, ReLU
from model.net.network import Network
from model.quantisation.quantise import quantise
from random_nets import NetDrawer


def check(spec, images, lanes, stalls=(0.1, 0.2), seed=0, built=None):
    """Compare the stage (of the spec `built`, if there is another) with loops; the outputs' cycles."""
    weights = [[Fraction(weight, spec.divisor) for weight in row] for row in spec.weights.tolist()]
    limits = spec.src.min, spec.src.max
    expected = np.array(
        [naive.reduced(image.tolist(), weights, spec.stride, spec.padding, *limits) for image in images]
    ).reshape(-1, lanes)
    chain = Chain([("reduce", part) for part in reduce_parts(built or spec, lanes, PORTABLE)], PORTABLE)
    beats = images.reshape(-1, lanes).tolist()
    got, cycles = stream_sim.run(chain, beats, len(expected), stalls, seed, longest=6, limit=1000)
    assert stream_sim.values(got) == expected.tolist()
    np.testing.assert_array_equal(spec.run(images).reshape(-1, lanes), expected)
    return cycles


def spec_of(layer, shape) -> ReduceSpec:
    return Network([layer], shape, np.random.default_rng(0)).layers[0].spec


LECTURE = np.array([[170, 20, 153, 11], [122, 39, 70, 200], [180, 80, 10, 120], [20, 120, 45, 140]])
KERNEL = [[1, -0.5], [-0.5, 1]]


def test_the_lecture_s_example():
    spec = spec_of(Reduce(KERNEL), (4, 4, 1))
    chain = Chain([("reduce", part) for part in reduce_parts(spec, 1, PORTABLE)], PORTABLE)
    got, _ = stream_sim.run(chain, LECTURE.reshape(-1, 1).tolist(), 4)
    assert stream_sim.values(got) == [[138], [255], [250], [67]]


@st.composite
def specs(draw):
    shape = tuple(draw(st.integers(1, n)) for n in (6, 6, 3))
    kernel, padding = [], []
    for size in shape[:2]:
        k = draw(st.integers(1, min(3, size + 1)))
        kernel.append(k)
        padding.append((draw(st.integers(max(k - size, 0), k - 1)), draw(st.integers(0, k - 1))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.sampled_from([1, 3, 30, 3000]))
    weights = rng.integers(-largest if draw(st.booleans()) else 0, largest + 1, kernel)
    weights.flat[0] = weights.flat[0] or 1
    divisor = draw(st.one_of(st.sampled_from([1, 2, 4, 128, 65536]), st.integers(1, 300)))
    fmt = draw(
        st.one_of(st.just(PIXELS), st.builds(QFormat, st.integers(2, 7), st.integers(-1, 5), st.booleans()))
    )
    return ReduceSpec(
        name="r", in_shape=shape, src=fmt, dst=fmt, weights=weights, divisor=divisor,
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))), padding=tuple(padding),
    )  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=40)
@given(specs(), st.data(), st.integers(0, 99))
def test_any_reduction(spec, data, seed):
    channels = spec.in_shape[2]
    lanes = data.draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    rng = np.random.default_rng(seed)
    images = rng.integers(spec.src.min, spec.src.max + 1, (3, *spec.in_shape))
    images[0] = rng.choice([spec.src.min, spec.src.max], spec.in_shape)
    check(spec, images, lanes, seed=seed)


@pytest.mark.parametrize("kernel", [2, 3, (2, 3), (1, 5)])
def test_the_average_of_every_sum(kernel):
    size = np.broadcast_to(kernel, 2)
    area = int(size.prod())
    fmt = QFormat(4, 0, False)
    sums = range(15 * area + 1)
    windows = [np.array([n // area + (i < n % area) for i in range(area)]).reshape(size) for n in sums]
    images = np.concatenate(windows, axis=1)[None, ..., None]
    spec = replace(spec_of(Reduce(kernel), images.shape[1:]), src=fmt, dst=fmt)
    check(spec, images, 1, stalls=0.0)


def test_a_pixel_enters_every_cycle():
    spec = spec_of(Reduce([[1, 2, 1], [2, 4, 2], [1, 2, 1.5]], 1, 1), (8, 9, 1))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 9, 1))
    cycles = check(spec, images, 1, stalls=0.0)
    assert cycles[-1] - cycles[71] == 3 * (9 * 9 + 8 - 1)


NETS = {
    "grey and smaller": lambda: [Grey("luminosity"), Reduce(2), Conv(2, 3), ReLU(), Dense(3)],
    "colour and edges": lambda: [Reduce(KERNEL, 1, 1, convolve=True), Grey("lightness"), Dense(3)],
    "three in a row": lambda: [Reduce((1, 2)), Reduce([[0.1, -0.3, 0.7]], 1), Grey("average"), Dense(2)],
}


@pytest.mark.parametrize("name", NETS)
def test_a_trained_net_s_first_layers_in_the_accelerator(name):
    """From a float net's pixels: the hardware's logits are the golden model's."""
    shape, rng = (8, 9, 3), np.random.default_rng(0)
    network = Network(NETS[name](), shape, rng)
    images = rng.integers(0, 256, (3, *shape)).astype(np.uint8)
    net = quantise(network, images)
    plan = search(net, 12)
    beats = stream_sim.frames(net, images)
    got, cycles = stream_sim.run(Accelerator(net, plan), beats, 3, limit=10_000)
    np.testing.assert_array_equal([list(answer.logits) for answer in got], net.logits(images))
    slowest = max(stage.cycles for stage in cost(net, plan))
    assert slowest <= cycles[-1] - cycles[-2] <= slowest + 60
    budget = estimate(net, plan)
    assert 100 < budget.lut < 3000 and 100 < budget.ff < 3000 and plan.multipliers <= budget.dsp


def test_cost_of_whole_pixels():
    """A grey stage takes a pixel a cycle, a reduction the padding's besides."""
    layers = [Grey(), Reduce(3, 1, 1), Dense(2)]
    network = Network(layers, (8, 9, 3), np.random.default_rng(0))
    net = quantise(network, np.zeros((1, 8, 9, 3), np.uint8))
    stages = cost(net, Plan.serial(net))
    assert [(s.kind, s.cycles, s.macs, s.multipliers) for s in stages[:2]] == [
        ("grey", 72, 0, 0),
        ("reduce", 88, 0, 0),
    ]


@pytest.mark.parametrize("seed", range(16))
def test_random_prepared_net_equals_golden_model(seed):
    drawer = NetDrawer(seed)
    net = drawer.net(drawer.integer(1, 3), largest=6, prepared=True)
    images = drawer.images(net, 3)
    got, _ = stream_sim.run(
        Accelerator(net, drawer.plan(net)), stream_sim.frames(net, images), 3, (0.0, 0.3)[seed % 2], seed,
        limit=100_000,
    )  # fmt: skip
    np.testing.assert_array_equal([list(answer.logits) for answer in got], net.logits(images))


class Forgetful(WeighPipe):
    """Leaves out the last weight."""

    def __init__(self, spec, lanes):
        super().__init__(spec, lanes)
        self.graph = adder_graph(spec.weights.reshape(-1, 1) * [[1], [1], [1], [0]], spec.src)


class Early(WeighPipe):
    """Gives sums out before they are done."""

    def __init__(self, spec, lanes):
        super().__init__(spec, lanes)
        self.latency -= 1


@pytest.mark.parametrize("mutant", [Forgetful, Early])
def test_mutants_fail(mutant, monkeypatch):
    spec = spec_of(Reduce([[5, -1], [0.5, 3]], 1), (5, 6, 2))
    images = np.random.default_rng(0).integers(0, 60, (2, 5, 6, 2))
    check(spec, images, 1)
    monkeypatch.setattr("hdl.products.weigh.WeighPipe", mutant)
    with pytest.raises(AssertionError):
        check(spec, images, 1)


@pytest.mark.parametrize(
    "change", [{"divisor": 3}, {"divisor": 7}, {"stride": (1, 2)}, {"padding": ((1, 0), (0, 1))}]
)
def test_the_stage_of_another_spec_is_seen(change):
    spec = spec_of(Reduce([[2, -1], [1, 2]], 1, ((0, 1), (1, 0))), (5, 6, 1))
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 1))
    with pytest.raises(AssertionError):
        check(spec, images, 1, built=replace(spec, **change))
