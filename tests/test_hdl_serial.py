"""Dot products a bit a cycle: tables of weights against the golden model, alone and in layers."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

import stream_sim
from hdl.devices import chips
from hdl.devices.device import PORTABLE
from hdl.devices.ecp5 import ECP5
from hdl.folding.layer import Folding
from hdl.folding.net import Plan
from hdl.folding.stage import SERIAL, StagePlan
from hdl.parts.chain import Chain
from hdl.planning.cost import cycles_of, planned_cycles
from hdl.planning.estimate import estimate
from hdl.planning.fit import Fitter
from hdl.planning.harden import MOST, constant_luts
from hdl.planning.latency import Timeline, quickened
from hdl.products import serial
from hdl.products.serial import SerialDots, signed_range
from hdl.stages.conv import conv_parts
from hdl.stages.dense import dense_parts
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec


def sums(dots: SerialDots, vectors: np.ndarray, pauses) -> list[list[int]]:
    """What comes `latency` cycles after each step of vectors one behind the other, `pauses` between them."""
    shown, due = [], []

    async def bench(context):
        async def cycle(valid):
            context.set(dots.valid, valid)
            shown.append([context.get(dots.dots[lane]) for lane in range(dots.output_lanes)])
            await context.tick()

        for vector, pause in zip(vectors.tolist(), pauses):
            for _ in range(pause):
                await cycle(0)
            context.set(dots.x, vector)
            for _ in range(dots.steps):
                due.append(len(shown) + dots.latency)
                await cycle(1)
        for _ in range(dots.latency + 1):
            await cycle(0)

    simulator = Simulator(dots)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return [shown[cycle] for cycle in due]


def product(dots: SerialDots, vectors: np.ndarray) -> list[list[int]]:
    """The same by multiplication."""
    return (vectors @ dots.weights).reshape(-1, dots.output_lanes).tolist()


@pytest.mark.parametrize(
    ("src", "inputs", "outputs", "lanes"),
    [
        (QFormat(8, 0, False), 10, 16, 2),
        (QFormat(4, 0), 7, 6, 1),
        (QFormat(3, 0), 4, 9, 3),
        (QFormat(1, 0, False), 3, 2, 1),
        (QFormat(1, 0, False), 5, 1, 1),
        (QFormat(2, 0), 25, 4, 2),
    ],
    ids=str,
)
def test_sums(src, inputs, outputs, lanes):
    rng = np.random.default_rng(inputs)
    weights = rng.integers(-128, 128, (inputs, outputs))
    # A table of nothing, and a column of nothing.
    weights[: serial.TAPS], weights[:, -1] = 0, 0
    vectors = rng.integers(src.min, src.max + 1, (6, inputs))
    vectors[1], vectors[2] = src.max, src.min
    dots = SerialDots(src, weights, lanes)
    assert sums(dots, vectors, [2, 0, 0, 3, 1, 0]) == product(dots, vectors)


@pytest.mark.parametrize("signed", [False, True])
def test_every_input_of_two(signed):
    src = QFormat(3, 0, signed)
    weights = np.array([[-8, 7, 5], [-8, 7, -3]])
    values = np.arange(src.min, src.max + 1)
    vectors = np.stack(np.meshgrid(values, values), -1).reshape(-1, 2)
    dots = SerialDots(src, weights, 1)
    assert sums(dots, vectors, [0] * len(vectors)) == product(dots, vectors)


def test_ranges():
    """The narrowest that hold both ends."""
    for low in range(-9, 10):
        for high in range(low, 10):
            width = signed_range(low, high).width
            assert -1 << width - 1 <= low <= high < 1 << width - 1
            narrower = 1 << width - 2 if width > 1 else 0
            assert width == 1 or low < -narrower or high >= narrower


@pytest.mark.parametrize("fault", ["tables", "signs"])
def test_mutants_fail(fault, monkeypatch):
    src = QFormat(3, 0)
    rng = np.random.default_rng(0)
    dots, vectors = SerialDots(src, rng.integers(-8, 8, (9, 4)), 1), rng.integers(-4, 4, (5, 9))
    if fault == "tables":
        made = serial.tables
        monkeypatch.setattr(serial, "tables", lambda m, bits, column, name: made(m, bits, column[::-1], name))
    else:
        dots.src = replace(src, signed=False)
    with pytest.raises(AssertionError):
        assert sums(dots, vectors, [0] * 5) == product(dots, vectors)


def layer(make, shape, weights_shape, src, **fields):
    """A layer of random integers, rounded to eight bits."""
    rng = np.random.default_rng(1)
    weight_format = QFormat(5, 0)
    weights = rng.integers(weight_format.min, weight_format.max + 1, weights_shape)
    spec = make(
        name="d", in_shape=shape, src=src, dst=QFormat(8, -3), weights=weights, weight_format=weight_format,
        bias=rng.integers(-200, 201, weights_shape[-1]), **fields,
    )  # fmt: skip
    return spec


LAYERS = {
    "as many cycles as bits": (layer(ConvSpec, (5, 6, 2), (3, 3, 2, 8), QFormat(4, 0, False)), 2),
    "more cycles, signed": (layer(ConvSpec, (5, 5, 1), (2, 3, 1, 8), QFormat(3, 0), stride=(2, 1)), 2),
    "scales by channel": (
        layer(ConvSpec, (4, 4, 1), (3, 3, 1, 4), QFormat(4, 0, False), shifts=np.array([0, 3, 1, 2])), 1,
    ),
    "dense": (layer(DenseSpec, (2, 3, 2), (12, 6), QFormat(3, 0, False)), 2),
}  # fmt: skip


def check(spec, lanes, *, stalls=0.2, frames=3):
    """Frames back to back; gives the cycle in which each frame's last beat came out."""
    plan = StagePlan(spec.matrices.shape[1], lanes, weights=SERIAL)
    parts = conv_parts if isinstance(spec, ConvSpec) else dense_parts
    images = np.random.default_rng(0).integers(spec.src.min, spec.src.max + 1, (frames, *spec.in_shape))
    images[0] = spec.src.max
    expected = spec.run(images).reshape(-1, lanes).tolist()
    channels = spec.in_shape[2]
    chain = Chain([("d", part) for part in parts(spec, plan, channels, PORTABLE)], PORTABLE)
    got, cycles = stream_sim.run(
        chain, images.reshape(-1, channels).tolist(), len(expected), stalls, longest=8
    )
    assert stream_sim.values(got) == expected
    return cycles[len(expected) // frames - 1 :: len(expected) // frames]


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    check(*LAYERS[name])


def test_interval():
    """No cycle is lost between positions."""
    spec, lanes = LAYERS["as many cycles as bits"]
    ends = check(spec, lanes, stalls=0.0, frames=6)
    plan = StagePlan(18, lanes, weights=SERIAL)
    assert ends[-1] - ends[-2] == cycles_of(spec, plan, 2) == 3 * 4 * 4


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (StagePlan(9, 2, weights=SERIAL), "'d': serial weights take whole positions of one group, 18 input"),
        (StagePlan(18, 4, weights=SERIAL), "4 output lanes are done in 2, choose 2 at most"),
        (StagePlan(18, 2, "a", SERIAL), "'d': serial weights have no multipliers to share in 'a'"),
    ],
)
def test_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        Folding(LAYERS["as many cycles as bits"][0], plan)


def test_weights_that_are_written_are_none_of_these():
    spec, lanes = LAYERS["more cycles, signed"]
    net = QNetwork("net", spec.src, (spec,))
    plan = Plan({"d": StagePlan(spec.matrices.shape[1], lanes, weights=SERIAL)}, "loadable")
    with pytest.raises(ValueError, match="layer 'd': serial weights cannot be written at run time"):
        plan.check(net)


def test_the_planner_takes_it_where_multipliers_are_short():
    """A pixel a cycle for a chip with 156 multipliers; the second convolution alone would take 200."""
    net, budget = artifact.load("lenet"), chips.find("ulx3s-85f").budget
    fitter = Fitter(net, ECP5)
    plan = fitter.fastest(budget).plan
    assert plan.stages["conv1"].wired and plan.stages["conv2"].serial
    assert planned_cycles(net, plan) == 784
    assert estimate(net, plan, ECP5).dsp == plan.real_multipliers < 10
    assert constant_luts(net, plan, ECP5) <= MOST
    # Fewer LUTs: then multipliers set the pace.
    slower = fitter.fastest(replace(budget, lut=15_000)).plan
    assert not slower.stages["conv2"].weights and planned_cycles(net, slower) > 784


def test_latency_takes_multipliers_for_layers_that_have_some():
    net = artifact.load("lenet")
    plan = Fitter(net, ECP5).fastest(chips.find("ulx3s-85f").budget).plan
    before = Timeline(net, plan, {}).done["dense1"]
    quicker = quickened(net, plan, {}, before - 100, 20)
    assert Timeline(net, quicker, {}).done["dense1"] <= before - 100
    assert quicker.stages["conv2"] == plan.stages["conv2"]
    assert plan.real_multipliers < quicker.real_multipliers <= 20
