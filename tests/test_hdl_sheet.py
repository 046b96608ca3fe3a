"""The table of a plan: it adds up, and its latencies are those of the simulation."""

from dataclasses import replace

import numpy as np
import pytest

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.devices.ecp5 import ECP5
from hdl.folding.net import Plan, beside, weighted
from hdl.network import Accelerator
from hdl.planning.cost import bound_cycles, planned_cycles
from hdl.planning.estimate import estimate
from hdl.planning.latency import Timeline, paced, quickened
from hdl.planning.search import default, search
from hdl.planning.sheet import Sheet
from model.arithmetic.qformat import QFormat
from model.files import artifact, dataset
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.golden.spec import WeightedSpec
from model.layers import ConvSpec, RequantSpec, ResidualSpec
from random_nets import NetDrawer
from sim.bench.accelerator import STEADY, AcceleratorBench


def drawn(seed: int, inner=("conv", "pool", "table")):
    drawer = NetDrawer(seed)
    return drawer, drawer.net(3, 8, inner=inner)


@pytest.mark.parametrize("inner", [("conv", "pool"), ("residual",), ("general", "requant")])
@pytest.mark.parametrize("seed", range(4))
def test_it_adds_up(seed, inner):
    drawer, net = drawn(seed, inner)
    net = replace(net, classifies=seed % 2 == 0)
    for plan in (drawer.plan(net), Plan.serial(net), search(net, 30)):
        sheet = Sheet(net, plan, ECP5)
        whole = estimate(net, plan, ECP5)
        assert (sheet.total.dsp, sheet.total.bram) == (whole.dsp, whole.bram)
        # The fork of a residual addition stands in no row.
        assert 0 <= whole.lut - sheet.total.lut <= 8 * len(net.specs)
        assert sum(row.multipliers for row in sheet.rows) == plan.multipliers
        assert sum(row.macs for row in sheet.rows) == net.macs
        assert sheet.cycles == max(row.cycles for row in sheet.rows) == planned_cycles(net, plan)
        assert sheet.bound_cycles == bound_cycles(net, plan)


@pytest.mark.parametrize("multipliers", [1, 5, 40, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_latency(seed, multipliers):
    """From the first pixel of one frame to its answer, or last value, within what is said of it."""
    drawer, net = drawn(seed)
    check_latency(drawer, replace(net, classifies=(seed + multipliers) % 2 == 0), search(net, multipliers))


@pytest.mark.parametrize("swap", [False, True])
def test_latency_of_branches(swap):
    """An addition waits for the slower branch, on whichever side it stands."""
    drawer = NetDrawer(1)
    src, weights = QFormat(4, 0, False), QFormat(4, 0)
    slow = ConvSpec(
        name="slow", in_shape=(8, 8, 4), src=src, dst=src, weights=drawer.values(weights, (3, 3, 4, 4)),
        weight_format=weights, bias=np.zeros(4, int), padding=((1, 1), (1, 1)),
    )  # fmt: skip
    quick = RequantSpec(name="quick", in_shape=(8, 8, 4), src=src, dst=src)
    body, shortcut = ((quick,), (slow,)) if swap else ((slow,), (quick,))
    add = ResidualSpec(name="add", in_shape=(8, 8, 4), src=src, dst=src, body=body, shortcut=shortcut)
    net = QNetwork("branches", src, (replace(add, dst=add.sum_format),), classifies=False)
    latency = check_latency(drawer, net, Plan.serial(net))
    assert latency > 64 * 9 * 16


def check_latency(drawer: NetDrawer, net: QNetwork, plan: Plan) -> int:
    """Cycles from the first pixel of a frame to its answer, measured, within what the sheet says."""
    beats = stream_sim.frames(net, drawer.images(net, 1))
    accelerator = Accelerator(net, plan, PORTABLE)
    _, (*_, answer) = stream_sim.run(accelerator, beats, accelerator.out_beats)
    sheet = Sheet(net, plan, ECP5)
    assert abs(sheet.latency - answer) <= sheet.latency_within <= max(60, sheet.latency // 5)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("multipliers", [None, 1, 8, 100])
@pytest.mark.parametrize("name", artifact.names())
def test_latency_of_the_shipped_nets(name, multipliers):
    net = artifact.load(name)
    shipped = beside(artifact.find(name), net) or default(net)
    plan = shipped if multipliers is None else search(net, multipliers)
    bench, images = AcceleratorBench(net, plan), dataset.load_part("t10k", None)[0][:STEADY]
    measured = bench.figures(bench.run(net.checked(images), 0.0, 0, None)).latency_cycles
    sheet = Sheet(net, plan, PORTABLE)
    assert abs(sheet.latency - measured) <= sheet.latency_within


def renamed(specs, old: str, new: str):
    """Layers, and those of their branches, of which one is called otherwise."""
    result = []
    for spec in specs:
        if spec.branches:
            spec = replace(spec, body=renamed(spec.body, old, new), shortcut=renamed(spec.shortcut, old, new))
        result.append(replace(spec, name=new) if spec.name == old else spec)
    return tuple(result)


@pytest.mark.parametrize("name", ["frame", "logits", "argmax", "ahead", "out"])
def test_a_layer_may_be_called_as_the_accelerators_own_parts(name):
    _, net = drawn(1, ("residual",))
    inside = next(
        spec for spec in walk(net.specs) if isinstance(spec, WeightedSpec) and spec not in net.specs
    )
    for spec in (inside, net.specs[-1]):
        other = QNetwork(net.name, net.input_format, renamed(net.specs, spec.name, name))
        rows, others = (Sheet(each, Plan.serial(each), ECP5).rows for each in (net, other))
        assert [replace(row, name="") for row in rows] == [replace(row, name="") for row in others]
        assert name in [row.name for row in others]


def test_jobs_one_after_another():
    rng = np.random.default_rng(0)
    for step in (1, 3, 0.5):
        ready, free, expected = np.sort(rng.integers(0, 40, 20)), 0, []
        for time in ready:
            free = max(free, time) + step
            expected.append(free)
        assert paced(ready, step).tolist() == expected


def test_more_lanes_where_a_frame_waits():
    _, net = drawn(0)
    plan = Plan.serial(net)
    sheet = Sheet(net, plan, ECP5)
    last = sheet.latency - sheet.ends
    faster = quickened(net, plan, sheet.delays, last * 3 // 4, 10_000)
    assert Timeline(net, faster, sheet.delays).done[net.specs[-1].name] <= last * 3 // 4
    assert faster.multipliers > plan.multipliers
    assert set(faster.stages) == {spec.name for spec in weighted(net)}
    with pytest.raises(ValueError, match="no more multipliers make it 1"):
        quickened(net, plan, sheet.delays, 1, 10_000)
    with pytest.raises(ValueError, match="no more multipliers"):
        quickened(net, plan, sheet.delays, last - 1, plan.multipliers)
