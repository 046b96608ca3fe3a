"""Hard-wired weights: layers and nets against the golden model, and the planner's choice of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

import stream_sim
from hdl.devices.budget import lacking
from hdl.devices.chips import find
from hdl.devices.device import PORTABLE
from hdl.devices.ecp5 import ECP5
from hdl.folding.layer import Folding
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import WIRED, StagePlan
from hdl.network import Accelerator
from hdl.parts.chain import Chain
from hdl.planning import harden
from hdl.planning.cost import cost, cycles_of, planned_cycles
from hdl.planning.estimate import estimate
from hdl.planning.fit import Fitter
from hdl.planning.harden import all_lanes, too_large
from hdl.planning.search import search
from hdl.products.sharing import made, signed_digits
from hdl.products.wired import WiredPipe, added
from hdl.stages.conv import conv_parts
from hdl.stages.dense import dense_parts
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec, PoolSpec
from mutants import Deaf, Fickle, Rotated
from random_nets import NetDrawer
from sim.bench.accelerator import AcceleratorBench, first_mismatch
from sim.simulators.verilog import emit


def check(spec, *, stalls=0.2, frames=3, seed=0, lanes=None, parts=None):
    """Frames back to back; gives the cycle in which each frame's last beat came out."""
    parts = parts or (conv_parts if isinstance(spec, ConvSpec) else dense_parts)
    lanes = lanes or spec.in_shape[2]
    images = np.random.default_rng(seed).integers(spec.src.min, spec.src.max + 1, (frames, *spec.in_shape))
    images[0], images[-1] = spec.src.min, spec.src.max
    expected = spec.run(images).reshape(-1, spec.out_shape[2]).tolist()
    chain = Chain([("d", part) for part in parts(spec, all_lanes(spec), lanes, PORTABLE)], PORTABLE)
    beats = images.reshape(-1, lanes).tolist()
    got, cycles = stream_sim.run(chain, beats, len(expected), stalls, seed, longest=8)
    assert stream_sim.values(got) == expected
    return cycles[len(expected) // frames - 1 :: len(expected) // frames]


def layer(make, shape, weights_shape, weight_format, src, seed=0, narrow=True, by_pixel=False, **fields):
    """A layer of random integers; `narrow` rounds its sums to eight bits."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(weight_format.min, weight_format.max + 1, weights_shape)
    fields.update(name="d", in_shape=shape, src=src, dst=src, weights=weights, weight_format=weight_format)
    spec = make(**fields, bias=np.zeros(weights_shape[-1], int))
    spec = replace(spec, bias=rng.integers(-99, 100, spec.out_shape if by_pixel else weights_shape[-1]))
    return replace(spec, dst=QFormat(8, -2, False) if narrow else spec.accumulator)


SRC, WEIGHT = QFormat(4, 0, False), QFormat(4, 0)
LAYERS = {
    "conv": layer(ConvSpec, (5, 6, 2), (3, 3, 2, 4), WEIGHT, SRC),
    "padded, strided, exact sums": layer(
        ConvSpec, (5, 6, 2), (3, 2, 2, 3), WEIGHT, SRC, narrow=False, stride=(2, 1), padding=((1, 1), (0, 1))
    ),
    "scales by channel": layer(
        ConvSpec, (4, 4, 1), (3, 3, 1, 4), WEIGHT, QFormat(5, 0), shifts=np.array([0, 3, 1, 2])
    ),
    "groups": layer(ConvSpec, (4, 5, 4), (2, 2, 2, 6), WEIGHT, SRC, groups=2),
    "depthwise, biases by pixel": layer(
        ConvSpec, (4, 5, 3), (3, 3, 1, 6), WEIGHT, QFormat(3, 0), groups=3, by_pixel=True
    ),
    "biases by pixel, weights without an adder": layer(
        ConvSpec, (3, 3, 1), (1, 1, 1, 2), QFormat(1, 0), SRC, by_pixel=True
    ),
    "ternary": layer(ConvSpec, (4, 4, 3), (3, 3, 3, 4), QFormat(2, 0), SRC),
    "1 x 1 of one weight": layer(ConvSpec, (3, 3, 1), (1, 1, 1, 1), QFormat(3, 0), SRC),
    "dense": layer(DenseSpec, (2, 3, 2), (12, 5), WEIGHT, SRC, narrow=False),
    "no weight but zero": replace(
        layer(DenseSpec, (1, 1, 2), (2, 2), WEIGHT, SRC, narrow=False), weights=np.zeros((2, 2), int)
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers(case):
    spec = LAYERS[case]
    for seed, (stalls, lanes) in enumerate([(0.2, 1), ((0.0, 0.4), spec.in_shape[2])]):
        check(spec, stalls=stalls, lanes=lanes, seed=seed)


@pytest.mark.parametrize("case", ["conv", "padded, strided, exact sums", "groups"])
def test_a_window_a_cycle(case):
    """A frame takes the cycles of the cost model, whatever the groups."""
    spec = LAYERS[case]
    plan = all_lanes(spec)
    assert Folding(spec, plan).steps == 1 and plan.multipliers == spec.weights.size
    ends = check(spec, stalls=0.0, frames=9)
    assert ends[-1] - ends[-2] == cycles_of(spec, plan, spec.in_shape[2])


def test_no_multiplier_and_no_memory_of_weights():
    spec = replace(LAYERS["dense"], weight_format=QFormat(16, 0))
    net, plan = QNetwork("net", spec.src, (spec,)), Plan({"d": all_lanes(spec)})
    (row,) = cost(net, plan)
    assert row.multipliers == 60 and plan.multipliers == 60
    budget = estimate(net, plan)
    assert budget.dsp == budget.bram == 0
    assert estimate(net, Plan({"d": replace(all_lanes(spec), weights=None)})).dsp == 60
    text = emit(Accelerator(net, plan, ECP5))
    assert "MULT18X18D" not in text and "DP16KD" not in text


@pytest.mark.parametrize("seed", range(16))
def test_random_nets(seed):
    """Some layers hard-wired, others not, with random stalls; every logit compared."""
    drawer = NetDrawer(7000 + seed)
    net = drawer.net(drawer.integer(1, 4), largest=5)
    plan = drawer.plan(net)
    for index, spec in enumerate(weighted(net)):
        if spec.weights.size <= 400 and (index + seed) % 3:
            plan = replace(plan, stages={**plan.stages, spec.name: all_lanes(spec)})
    images = drawer.images(net, 3)
    got, _ = stream_sim.run(
        Accelerator(net, plan), stream_sim.frames(net, images), 3, (0.0, 0.3)[seed % 2], seed, 50_000
    )
    assert [list(answer.logits) for answer in got] == net.logits(images).tolist()


def test_in_verilator():
    """Frames back to back, with and without stalls, on a layer of each kind."""
    drawer, pixels, hidden = NetDrawer(3), QFormat(8, 8, False), QFormat(4, 2, False)
    conv = drawer.weighted(ConvSpec, "conv", (4, 5, 2), pixels, (3, 3, 1, 4), False, groups=2)
    conv = replace(conv, dst=hidden)
    dense = drawer.weighted(
        DenseSpec, "dense", conv.out_shape, hidden, (int(np.prod(conv.out_shape)), 5), True
    )
    net = QNetwork("hard", pixels, (conv, dense))
    plan = Plan({"conv": all_lanes(conv), "dense": StagePlan(6, 1)})
    images = drawer.images(net, 60)
    bench = AcceleratorBench(net, plan)
    for stalls in (0.0, 0.2):
        assert first_mismatch(net.logits(images), bench.run(images, stalls, seed=1)) is None


def no_carry(node, operands):
    """Differences as sums."""
    return added(replace(node, terms=tuple(replace(term, negative=False) for term in node.terms)), operands)


def all_through_the_adder(node, operands):
    """The lowest bits come from the wrong term."""
    return added(replace(node, terms=node.terms[::-1]), operands)


class FirstBias(WiredPipe):
    """All pixels have the bias of the first."""

    def __init__(self, folding, device):
        super().__init__(folding, device)
        folding.seeded_bias = np.broadcast_to(folding.seeded_bias[:1, :1], folding.seeded_bias.shape)


MUTANTS = {
    "added": ("hdl.products.wired.added", no_carry, "conv"),
    "terms": ("hdl.products.wired.added", all_through_the_adder, "conv"),
    "bias": ("hdl.products.mac.WiredPipe", FirstBias, "depthwise, biases by pixel"),
    "groups": (
        "hdl.folding.layer.block_diagonal",
        lambda matrices: np.vstack([matrices[0]] * 2),
        "groups",
    ),
    "digits": ("hdl.products.sharing.signed_digits", lambda number: signed_digits(number)[:1], "conv"),
}


@pytest.mark.parametrize("fault", MUTANTS)
def test_mutants_fail(fault, monkeypatch):
    name, mutant, case = MUTANTS[fault]
    check(LAYERS[case])
    made.cache_clear()
    monkeypatch.setattr(name, mutant)
    with pytest.raises((AssertionError, IndexError)):
        check(LAYERS[case])
    made.cache_clear()


@pytest.mark.parametrize("fault", [Deaf, Fickle, Rotated])
def test_faults_around_it_fail(fault):
    def parts(*args):
        return [fault(Chain([("d", part) for part in conv_parts(*args)], PORTABLE))]

    with pytest.raises(AssertionError):
        check(LAYERS["conv"], frames=6, stalls=(0.0, 0.5), parts=parts)


def test_what_cannot_be_hard_wired():
    spec = LAYERS["groups"]
    for plan in (StagePlan(8, 3, weights=WIRED), StagePlan(4, 6, weights=WIRED)):
        with pytest.raises(ValueError, match=r"layer 'd': hard-wired .* one cycle, 8 x 6 lanes, not . x ."):
            Folding(spec, plan)
    with pytest.raises(ValueError, match="layer 'd': hard-wired weights have no multipliers to share in 'a'"):
        Folding(spec, replace(all_lanes(spec), array="a"))
    large = pointwise(2000, 9, SRC, WEIGHT)
    with pytest.raises(ValueError, match="layer 'd': 18,000 weights are too many to hard-wire; 16,384"):
        Folding(large, all_lanes(large))
    net, plan = QNetwork("net", SRC, (spec,)), Plan({"d": all_lanes(spec)})
    with pytest.raises(ValueError, match="layer 'd': hard-wired weights cannot be written at run time"):
        replace(plan, weights="loadable").check(net)


def test_plans_in_files(tmp_path):
    spec, path = LAYERS["dense"], tmp_path / "plan.json"
    net, plan = QNetwork("net", SRC, (spec,)), Plan({"d": all_lanes(spec)})
    plan.save(path)
    assert json.loads(path.read_text())["stages"] == {
        "d": {"input_lanes": 12, "output_lanes": 5, "weights": "wired"}
    }
    assert Plan.load(path, net) == plan
    loadable = plan.made_loadable(net)
    loadable.check(net)
    assert not loadable.stages["d"].wired
    path.write_text(path.read_text().replace('"wired"', '"hard"'))
    with pytest.raises(ValueError, match=r"plan\.json: a layer's own weights are 'wired'.* not 'hard'"):
        Plan.load(path, net)


def pointwise(inputs, kernels, src, weight_format, dst=None, name="d"):
    """A 1 x 1 convolution of 5 x 4 pixels."""
    spec = layer(ConvSpec, (5, 4, inputs), (1, 1, inputs, kernels), weight_format, src, inputs)
    return replace(spec, name=name, dst=dst or spec.accumulator)


def pooled(*specs):
    """A net of these layers, and the largest of all pixels."""
    shape, fmt = specs[-1].out_shape, specs[-1].dst
    last = PoolSpec(
        name="last", in_shape=shape, src=fmt, dst=fmt, mode="max", kernel=shape[:2], stride=(1, 1)
    )
    return QNetwork("net", specs[0].src, (*specs, last))


def test_the_planner_hard_wires_what_is_cheaper(monkeypatch):
    """A layer with all lanes, unless multipliers are worth less than the LUTs it takes."""
    spec = pointwise(4, 3, SRC, WEIGHT)
    assert search(pooled(spec), 12).stages["d"] == all_lanes(spec)
    assert not search(pooled(spec), 11).stages["d"].wired
    assert not too_large(spec) and too_large(pointwise(3000, 1, QFormat(1, 0), QFormat(8, 0)))
    monkeypatch.setattr("hdl.planning.harden.WORTH", -100)
    harden.cheaper.cache_clear()
    assert search(pooled(spec), 12).stages["d"] == replace(all_lanes(spec), weights=None)
    harden.cheaper.cache_clear()


def test_layers_are_hard_wired_where_multipliers_are_short():
    """As far as LUTs go, and not where there are multipliers enough for the rate of pixels."""
    first = pointwise(2, 4, SRC, WEIGHT, SRC, "first")
    second = pointwise(4, 6, SRC, WEIGHT, QFormat(4, 0), "second")
    net, most = pooled(first, second), find("ulx3s").budget
    fitter, cycles, wired = Fitter(net, ECP5, on_board=False), {}, {}
    for name, budget in {
        "plenty": replace(most, dsp=2000),
        "few": replace(most, dsp=4),
        "few, and few LUTs": replace(most, dsp=4, lut=1_900),
    }.items():
        fit = fitter.fastest(budget)
        assert not lacking(estimate(net, fit.plan), budget)
        cycles[name] = planned_cycles(net, fit.plan)
        wired[name] = [layer for layer, stage in fit.plan.stages.items() if stage.wired]
    assert fitter.fastest(replace(most, dsp=0, lut=10)) is None
    assert cycles["plenty"] == cycles["few"] < cycles["few, and few LUTs"]
    assert wired["few"] == ["first", "second"] != wired["few, and few LUTs"]
