"""Several pixels a beat: windows against plain loops, and whole nets against the golden model."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Signal
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.devices.ecp5 import ECP5
from hdl.folding.lanes import divides, pooled, windows_of
from hdl.folding.net import Plan
from hdl.folding.stage import WIRED, StagePlan
from hdl.network import Accelerator
from hdl.parts import sweep as module
from hdl.parts.chain import Chain
from hdl.parts.raster import Raster, SweepPipe, window_parts
from hdl.parts.window import Window, pace
from hdl.planning.cost import bound_cycles, planned_cycles
from hdl.planning.estimate import estimate
from hdl.planning.latency import Timeline
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec, PoolSpec, ReduceSpec
from mutants import Deaf, Fickle, Rotated
from random_nets import NetDrawer
from sim.bench.accelerator import Unloaded
from test_hdl_window import windows_of as by_loops

COMMON = settings(derandomize=True, deadline=None, max_examples=120)
U4 = QFormat(4, 0, False)
SAME = ((1, 1), (1, 1))


def check(
    shape, geometry, pixels, fmt=U4, fill=0, parts=1, ahead=0, together=False, *, frames=3, seed=0,
    stalls=0.2, wrap=lambda part: part,
):  # fmt: skip
    """Several frames back to back, of a window, or pipes (ahead None); gives the output beats' cycles."""
    images = np.random.default_rng(seed).integers(fmt.min, fmt.max + 1, (frames, *shape))
    side = windows_of(shape, geometry, pixels)
    expected = np.array(by_loops(images, geometry, 1, fill, parts))
    expected = expected.reshape(-1, side, expected.shape[1])
    if together:
        taps = expected.reshape(len(expected), side, -1, shape[2])
        expected = taps.transpose(0, 2, 1, 3)
    expected = expected.reshape(len(expected), -1).tolist()
    lanes = pixels * shape[2]
    if ahead is None:
        pipes = window_parts(shape, geometry, fmt, lanes, fill, PORTABLE, parts, together)
        assert [type(part) for part in pipes] == [Raster, SweepPipe]
        window = wrap(Chain([("window", part) for part in pipes], PORTABLE))
    else:
        window = wrap(Window(shape, geometry, fmt, lanes, fill, PORTABLE, parts, ahead, together=together))
    beats = images.reshape(-1, lanes).tolist()
    got, cycles = stream_sim.run(window, beats, len(expected), stalls, seed, longest=4, limit=1000)
    assert stream_sim.values(got) == expected
    return cycles


@st.composite
def cases(draw):
    """Shapes up to 4 x 12 x 3 with beats that divide their rows, whole rows among them."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 12)), draw(st.integers(1, 3)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (2, 3)]))
    kernel, padding = [], []
    for size, d in zip(shape, dilation):
        kernel.append(draw(st.integers(1, 4 if d == 1 else 3)))
        k = (kernel[-1] - 1) * d + 1
        before = draw(st.integers(0, k - 1))
        least = max(k - size - before, 0)
        padding.append((before, draw(st.integers(least, max(least, k - 1)))))
    stride = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (3, 3)]))
    geometry = Geometry(tuple(kernel), stride, tuple(padding), dilation)
    pixels = [n for n in range(2, shape[1] + 1) if divides(shape, geometry, n)]
    fmt = QFormat(draw(st.integers(2, 4)), 0, draw(st.booleans()))
    together = draw(st.booleans())
    parts = 1 if together else draw(st.sampled_from([n for n in (1, 2, 3) if shape[2] % n == 0]))
    fill, ahead = draw(st.sampled_from([0, fmt.min, fmt.max])), draw(st.sampled_from([None, 0, 3]))
    return shape, geometry, draw(st.sampled_from(pixels)), fmt, fill, parts, ahead, together


@COMMON
@given(cases(), st.integers(0, 99), st.sampled_from([0.0, 0.2, (0.0, 0.4), (0.5, 0.0)]))
def test_any_geometry(case, seed, stalls):
    check(*case, seed=seed, stalls=stalls)


CASE = ((4, 6, 1), Geometry((3, 3), (1, 1), SAME), 2)


@pytest.mark.parametrize(
    ("shape", "geometry", "pixels"),
    [
        CASE,
        ((4, 6, 2), Geometry((2, 2), (2, 2)), 6),
        ((3, 6, 1), Geometry((3, 5), (1, 1), ((1, 1), (2, 2))), 2),
        ((3, 8, 1), Geometry((3, 3), (2, 2), ((0, 1), (0, 1))), 4),
        ((5, 5, 1), Geometry((3, 3)), 5),
    ],
)
@pytest.mark.parametrize("ahead", [None, 0])
def test_a_beat_every_cycle(shape, geometry, pixels, ahead):
    frames = 5
    cycles = check(shape, geometry, pixels, ahead=ahead, frames=frames, stalls=0.0)
    a_frame = len(cycles) // frames
    lines, sweep = pace(shape, geometry, pixels)
    assert sweep == geometry.positions(shape)[0] * shape[1] // pixels
    assert set(np.subtract(cycles[a_frame:], cycles[:-a_frame])) == {max(lines, sweep)}


@pytest.mark.parametrize("ahead", [None, 0])
@pytest.mark.parametrize("mutant", [Deaf, Fickle, Rotated])
def test_faults_around_it_fail(mutant, ahead):
    check(*CASE, ahead=ahead)
    with pytest.raises(AssertionError):
        check(*CASE, ahead=ahead, wrap=mutant)


class Greedy(module.Sweep):
    """Lets a row's last windows leave before the row is whole."""

    def elaborate(self, platform):
        self.shape = (self.shape[0], self.pixels, self.shape[2])
        return super().elaborate(platform)


class Open(module.Sweep):
    """Sees what lies beside the image."""

    def taps(self, m, slots, shift, number, across):
        return super().taps(m, slots, shift, Signal(4, init=1), across)


@pytest.mark.parametrize(("ahead", "where"), [(None, "raster"), (0, "window")])
@pytest.mark.parametrize("mutant", [Greedy, Open])
def test_mutants_fail(mutant, ahead, where, monkeypatch):
    monkeypatch.setattr(f"hdl.parts.{where}.Sweep", mutant)
    with pytest.raises(AssertionError):
        check(*CASE, ahead=ahead)


def test_beats_that_do_not_divide():
    with pytest.raises(ValueError, match="beats of 4 pixels do not divide a row of 6"):
        Window((4, 6, 1), Geometry((1, 1)), U4, 4, 0, PORTABLE)
    with pytest.raises(ValueError, match="3 lanes do not divide 2 channels"):
        Window((4, 6, 2), Geometry((1, 1)), U4, 3, 0, PORTABLE)


def test_pooling_takes_the_next_number_that_divides():
    pool = PoolSpec(name="p", in_shape=(4, 28, 3), src=U4, dst=U4, mode="max", kernel=(2, 2), stride=(2, 2))
    assert pooled(pool, 3) == (3, 3)
    assert pooled(pool, 1) == (1, 1)
    assert pooled(pool, 21) == (42, 21)
    assert pooled(pool, 84) == (84, 42)
    assert pooled(replace(pool, in_shape=(4, 7, 3)), 6) == (21, 9)


def conv(name, shape, kernel, kernels, src, dst, rng, **fields):
    """A convolution with 3-bit weights."""
    weights = rng.integers(-4, 4, (*kernel, shape[2], kernels))
    fields = dict(name=name, in_shape=shape, src=src, weights=weights, weight_format=QFormat(3, 0), **fields)
    return ConvSpec(**fields, bias=rng.integers(-9, 9, kernels), dst=dst)


def small_net(seed=0) -> QNetwork:
    """As the record's: convolution, pooling, convolution, pooling, dense layer."""
    rng = np.random.default_rng(seed)
    u8, u3 = QFormat(8, 0, False), QFormat(3, -4, False)
    first = conv("conv1", (8, 12, 1), (3, 3), 2, u8, u3, rng, padding=SAME)
    pool = PoolSpec(
        name="pool1", in_shape=first.out_shape, src=u3, dst=u3, mode="max", kernel=(2, 2), stride=(2, 2)
    )
    second = conv("conv2", pool.out_shape, (3, 3), 4, u3, QFormat(3, -5, False), rng)
    inputs = int(np.prod(second.out_shape))
    dense = DenseSpec(
        name="dense1", in_shape=second.out_shape, src=second.dst, weights=rng.integers(-4, 4, (inputs, 3)),
        weight_format=QFormat(3, 0), bias=rng.integers(-9, 9, 3), dst=QFormat(14, -5),
    )  # fmt: skip
    return QNetwork("small", u8, (first, pool, second, dense))


SMALL = {
    "conv1": StagePlan(9, 2, pixel_lanes=6, weights=WIRED),
    "conv2": StagePlan(18, 4, weights=WIRED, digits=2),
    "dense1": StagePlan(4, 3),
}


def answers(net, plan, images, stalls=0.0, seed=0):
    """Logits that the hardware gives, and the cycles of the answers."""
    accelerator = Accelerator(net, plan)
    beats = stream_sim.frames(net, images, accelerator.lanes)
    got, cycles = stream_sim.run(accelerator, beats, len(images), stalls, seed, limit=100_000)
    return np.array([list(answer.logits) for answer in got]), cycles


@pytest.mark.parametrize("stalls", [0.0, 0.3])
def test_a_net_with_pixel_lanes_wired_and_in_digits(stalls):
    net, plan = small_net(), Plan(SMALL)
    images = np.random.default_rng(1).integers(0, 256, (12, *net.in_shape))
    logits, cycles = answers(net, plan, images, stalls)
    np.testing.assert_array_equal(logits, net.logits(images))
    assert bound_cycles(net, plan) == 8 * 12 // 6
    if not stalls:
        assert planned_cycles(net, plan) == 4 * 6  # the second window takes one pixel a cycle
        assert set(np.diff(cycles[6:])) == {planned_cycles(net, plan)}


@pytest.mark.parametrize("seed", range(12))
def test_random_net_equals_golden_model(seed):
    drawer = NetDrawer(2000 + seed)
    net = drawer.net(drawer.integer(2, 5))
    plan = drawer.broad(net, drawer.wired(net, drawer.plan(net)))
    images = drawer.images(net, 3)
    logits, _ = answers(net, plan, images, (0.0, 0.3)[seed % 2], seed)
    np.testing.assert_array_equal(logits, net.logits(images))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_many_random_nets_equal_golden_model(seed):
    drawer = NetDrawer(3000 + seed)
    net = drawer.net(drawer.integer(2, 6), prepared=seed % 4 == 0)
    plan = drawer.broad(net, drawer.wired(net, drawer.plan(net)))
    images = drawer.images(net, 3)
    logits, _ = answers(net, plan, images, (0.0, 0.3)[seed % 2], seed)
    np.testing.assert_array_equal(logits, net.logits(images))


@pytest.mark.parametrize("by_pixel", [False, True])
def test_loadable_weights(by_pixel):
    """Pixel lanes share what memories hold; biases by pixel come side by side."""
    net = small_net()
    first = net.specs[0]
    if by_pixel:
        bias = np.random.default_rng(4).integers(-9, 9, first.out_shape)
        net = replace(net, specs=(replace(first, bias=bias), *net.specs[1:]))
    stages = {"conv1": StagePlan(3, 2, pixel_lanes=6), "conv2": StagePlan(6, 2), "dense1": StagePlan(4, 3)}
    images = np.random.default_rng(1).integers(0, 256, (3, *net.in_shape))
    core = Unloaded(Accelerator(net, Plan(stages).made_loadable(net)))
    beats = stream_sim.frames(net, images, core.accelerator.lanes)
    got, _ = stream_sim.run(core, beats, len(images), limit=100_000)
    np.testing.assert_array_equal([list(answer.logits) for answer in got], net.logits(images))


def test_latency_and_resources_of_fewer_cycles():
    net = small_net()
    serial = {name: replace(stage, pixel_lanes=1) for name, stage in SMALL.items()}
    done = [Timeline(net, Plan(stages), {}).done["conv1"] for stages in (serial, SMALL)]
    assert done[1] * 4 < done[0]
    small, large = (estimate(net, Plan(stages), ECP5) for stages in (serial, SMALL))
    assert small.lut < large.lut < 6 * small.lut
    assert small.ff < large.ff < 6 * small.ff


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("conv1", {"pixel_lanes": 5}, "'conv1': 5 pixel lanes do not divide its rows: 12 pixels come in"),
        ("conv1", {"output_lanes": 1, "weights": None}, "with pixel lanes it has 2 output lanes"),
        ("conv1", {"digits": 9}, "9 digits for inputs of 8 bits; choose 1 to 8"),
        ("conv1", {"weights": None, "digits": 2}, "only hard-wired weights have any"),
        ("conv2", {"pixel_lanes": 3}, "3 pixel lanes do not divide its rows: 6 pixels come in"),
        ("dense1", {"pixel_lanes": 2}, "only convolutions have any"),
        ("conv1", {"array": "a", "weights": None}, "with pixel lanes a layer has multipliers of its own"),
    ],
)
def test_refused_by_name(name, change, match):
    with pytest.raises(ValueError, match=match):
        Plan({**SMALL, name: replace(SMALL[name], **change)}).check(small_net())


def test_rows_of_one_pixel_have_none_side_by_side():
    """Padding may make several windows of such a row; they come one after another."""
    rng = np.random.default_rng(3)
    padded = ((0, 0), (2, 1))
    u8 = QFormat(8, 0, False)
    layer = conv("conv1", (3, 1, 1), (1, 3), 2, u8, QFormat(8, -2, False), rng, padding=padded)
    assert layer.out_shape[1] == 2
    with pytest.raises(ValueError, match="'conv1': 2 pixel lanes for rows of one pixel"):
        Plan({"conv1": StagePlan(3, 2, pixel_lanes=2)}).check(QNetwork("column", u8, (layer,)))


def test_reduction_takes_pixels_side_by_side():
    rng = np.random.default_rng(3)
    u8 = QFormat(8, 0, False)
    reduce = ReduceSpec(
        name="reduce1", in_shape=(6, 12, 1), src=u8, dst=u8, weights=np.ones((2, 2), int), divisor=4,
        stride=(2, 2),
    )  # fmt: skip
    first = conv("conv1", reduce.out_shape, (3, 3), 2, u8, QFormat(8, -2, False), rng)
    net = QNetwork("reduced", u8, (reduce, first))
    plan = Plan({"conv1": StagePlan(9, 2, pixel_lanes=4)})
    assert Accelerator(net, plan).lanes == 12
    images = rng.integers(0, 256, (3, *net.in_shape))
    logits, _ = answers(net, plan, images)
    np.testing.assert_array_equal(logits, net.logits(images))
