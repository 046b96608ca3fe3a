"""Dilated, grouped and depthwise convolutions, biases by pixel: the hardware against the golden model."""

from dataclasses import replace

import numpy as np
import pytest

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.folding.layer import Folding
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from hdl.network import Accelerator
from hdl.parts.chain import Chain
from hdl.parts.window import Window
from hdl.planning.cost import cycles_of
from hdl.planning.estimate import estimate
from hdl.planning.search import choices, search
from hdl.stages import conv
from hdl.stages.conv import conv_parts
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec
from random_nets import NetDrawer
from sim.simulators.verilog import emit

SRC, WEIGHT = QFormat(5, 0), QFormat(4, 0)


def layer(shape=(5, 6, 4), kernel=(3, 3), kernels=8, groups=1, by_pixel=False, narrow=True, seed=0, **fields):
    """A convolution of random integers; `narrow` rounds its sums to eight bits."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(WEIGHT.min, WEIGHT.max + 1, (*kernel, shape[2] // groups, kernels))
    fields.update(
        name="conv1", in_shape=shape, src=SRC, dst=SRC, weights=weights, weight_format=WEIGHT, groups=groups
    )
    spec = ConvSpec(**fields, bias=np.zeros(kernels, int))
    bias = rng.integers(-200, 201, spec.out_shape if by_pixel else kernels)
    spec = replace(spec, bias=bias)
    return replace(spec, dst=QFormat(8, -3) if narrow else spec.accumulator)


def check(spec, plan, *, lanes=None, stalls=0.2, frames=3, seed=0, parts=conv_parts):
    """Frames back to back; gives the cycle in which each frame's last beat came out."""
    lanes = lanes or spec.in_shape[2]
    images = np.random.default_rng(seed).integers(SRC.min, SRC.max + 1, (frames, *spec.in_shape))
    expected = spec.run(images).reshape(-1, plan.output_lanes).tolist()
    chain = Chain([("conv", part) for part in parts(spec, plan, lanes, PORTABLE)], PORTABLE)
    beats = images.reshape(-1, lanes).tolist()
    got, cycles = stream_sim.run(chain, beats, len(expected), stalls, seed, longest=8)
    assert stream_sim.values(got) == expected
    return cycles[len(expected) // frames - 1 :: len(expected) // frames]


CASES = {
    "dilated": layer(kernel=(2, 3), dilation=(3, 2)),
    "dilated, padded and strided": layer(dilation=(2, 3), stride=(2, 3), padding=((4, 1), (3, 6)), kernels=3),
    "dilated beyond the image": layer((1, 2, 1), dilation=(4, 4), padding=((8, 8), (8, 7)), kernels=2),
    "two groups": layer(kernel=(2, 2), groups=2),
    "depthwise": layer(groups=4, kernels=4),
    "depthwise, two kernels a channel": layer(groups=4, kernels=8, kernel=(2, 3), stride=(1, 2)),
    "depthwise 1 x 1": layer((2, 3, 6), (1, 1), 6, 6),
    "a bias by pixel": layer(kernels=3, by_pixel=True),
    "all of it": layer(
        kernels=6, groups=2, by_pixel=True, dilation=(2, 1), padding=((1, 0), (0, 2)), narrow=False
    ),
    "one bias by pixel for one pixel": layer((3, 3, 2), kernels=2, by_pixel=True),
}


@pytest.mark.parametrize("case", CASES)
def test_every_extreme_of_lanes(case):
    spec = CASES[case]
    plans = list(choices(spec))
    _, inputs, outputs = spec.matrices.shape
    for plan in {plans[0], plans[-1], StagePlan(1, outputs), StagePlan(inputs, 1), plans[len(plans) // 2]}:
        check(spec, plan, seed=plan.input_lanes)


def test_all_lanes_of_a_grouped_layer():
    spec = layer((3, 3, 4), (2, 1), 6, 2, by_pixel=True)
    for plan in choices(spec):
        check(spec, plan, lanes=1 + plan.output_lanes % 2)


@pytest.mark.parametrize("input_lanes", [4, 5, 7, 8, 10, 11, 13, 17])
def test_lanes_that_do_not_divide(input_lanes):
    """The last cycle of a sum has fewer inputs than lanes, in every group."""
    spec = layer((4, 4, 4), groups=2, kernels=4)
    check(spec, StagePlan(input_lanes, 1 + input_lanes % 2), seed=input_lanes)
    with pytest.raises(ValueError, match="'conv1': 19 lanes for 18 inputs of a sum; choose 1 to 18"):
        Folding(spec, StagePlan(19, 1))


INTERVALS = {
    "rows of the next frame come in meanwhile": (layer((9, 8, 1), (5, 5), 6), 3),
    "padding on all sides, a window a cycle": (layer((6, 7, 2), kernels=4, padding=((1, 1), (1, 1))), 1),
    "the same, two cycles each": (layer((6, 7, 2), kernels=4, padding=((1, 1), (1, 1))), 2),
    "windows wait for the next row's": (layer((7, 9, 1), (3, 5), 6), 2),
    "strides": (layer((9, 9, 2), kernels=4, stride=(2, 2), padding=((1, 1), (1, 1))), 4),
    "groups": (layer((6, 6, 4), groups=2, kernels=4, padding=((0, 2), (2, 0))), 4),
    "one row": (layer((1, 9, 2), (1, 3), 4), 2),
    "as wide as the image": (layer((6, 3, 2), (2, 3), 4), 4),
}


def interval(spec, steps, **options):
    """Cycles between frames, with `steps` cycles a window and all inputs of a sum at once."""
    _, inputs, outputs = spec.matrices.shape
    plan = StagePlan(inputs, spec.groups * outputs // steps)
    assert Folding(spec, plan).steps == steps
    ends = check(spec, plan, stalls=0.0, frames=9, **options)
    return ends[-1] - ends[-2], cycles_of(spec, plan, spec.in_shape[2])


@pytest.mark.parametrize("case", INTERVALS)
def test_interval(case):
    """While one frame is computed the next one comes in: a frame takes the cycles of the cost model."""
    measured, planned = interval(*INTERVALS[case])
    assert measured == planned


@pytest.mark.parametrize(
    ("case", "queue"),
    [
        ("rows of the next frame come in meanwhile", "columns_ahead"),
        ("padding on all sides, a window a cycle", "columns_ahead"),
        ("windows wait for the next row's", "windows_ahead"),
    ],
)
def test_without_its_fifo_it_takes_longer(case, queue, monkeypatch):
    monkeypatch.setattr(conv, queue, lambda *args: 0)
    measured, planned = interval(*INTERVALS[case])
    assert measured > planned


def test_choices_are_those_of_a_group():
    spec = layer(groups=2)
    assert {plan.output_lanes for plan in choices(spec)} == {1, 2, 4}
    assert max(plan.input_lanes for plan in choices(spec)) == 18
    with pytest.raises(ValueError, match="'conv1': 8 lanes do not divide 4 output channels"):
        Folding(spec, StagePlan(1, 8))


@pytest.mark.parametrize("fault", ["weights", "biases", "window"])
def test_mutants_fail(fault, monkeypatch):
    spec = CASES["all of it"]
    check(spec, StagePlan(2, 3))
    if fault == "weights":
        words = Folding.weight_words
        monkeypatch.setattr(Folding, "weight_words", lambda self: words(self)[1:] + words(self)[:1])
    elif fault == "biases":
        words = Folding.bias_words
        monkeypatch.setattr(Folding, "bias_words", lambda self: [*words(self)[:-1], words(self)[0]])
    else:
        monkeypatch.setattr(
            conv, "Window", lambda *args, **options: Window(*args[:-2], 1, args[-1], **options)
        )
    with pytest.raises(AssertionError):
        check(spec, StagePlan(2, 3))


def mobile():
    """A net of depthwise and pointwise layers, on colour images."""
    drawer, specs = NetDrawer(5), []
    shape, src = (7, 8, 3), QFormat(4, 0, False)
    for index, (kernel, groups, kernels, last) in enumerate(
        [((3, 3), 3, 6, False), ((1, 1), 1, 4, False), ((3, 3), 4, 4, False), ((3, 4), 1, 3, True)]
    ):
        spec = drawer.weighted(
            ConvSpec, f"conv{index}", shape, src, (*kernel, shape[2] // groups, kernels), last,
            groups=groups, padding=(((1, 1), (1, 1)) if kernel == (3, 3) else ((0, 0), (0, 0))),
        )  # fmt: skip
        specs.append(spec)
        shape, src = spec.out_shape, spec.dst
    return QNetwork("mobile", QFormat(4, 0, False), tuple(specs)), drawer


def test_a_whole_net():
    net, drawer = mobile()
    images = drawer.images(net, 2)
    plan = search(net, 40)
    got, _ = stream_sim.run(Accelerator(net, plan), stream_sim.frames(net, images), 2, limit=100_000)
    assert [list(answer.logits) for answer in got] == net.logits(images).tolist()
    assert estimate(net, plan).dsp <= 40


def test_the_estimate_knows_what_they_take():
    """A line buffer grows with dilation, the ROM of biases with pixels, multipliers with neither."""

    def budget(padding, **fields):
        spec = layer(padding=(padding, (1, 1)), **fields)
        return estimate(QNetwork("net", SRC, (spec,)), Plan({"conv1": StagePlan(2, 4)}))

    first = budget((1, 1))
    spread, by_pixel = budget((2, 2), dilation=(2, 1)), budget((1, 1), by_pixel=True)
    assert first.dsp == spread.dsp == by_pixel.dsp == 8
    assert spread.lut > first.lut and by_pixel.bram > first.bram


def test_verilog():
    spec = CASES["all of it"]
    net = QNetwork("net", SRC, (spec,))
    assert "module top(" in emit(Accelerator(net, Plan({"conv1": StagePlan(2, 3)})))
