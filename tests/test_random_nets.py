"""Nets and plans drawn by Hypothesis: the accelerator puts out the golden model's every value."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import stream_sim
from drawn_nets import DrawnNets
from drawn_rules import RULES
from hdl.network import Accelerator
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from sim.bench.accelerator import AcceleratorBench, Unloaded, first_mismatch
from sim.bench.cover import KINDS, Cover
from sim.bench.taps import first_difference

IMAGES = 3
VALUES = {*KINDS, "argmax"}
"""Groups of cases that images decide; stalls decide the others."""
DRAWN = dict(
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def check(data, wanted=lambda cover: True) -> Cover:
    """Draws a net and a plan and compares all answers, with stalls on both sides; the cases that were met.

    Nothing is simulated, and no case counts, if the images meet no case that is `wanted`.
    """
    drawer = DrawnNets(data.draw)
    net, plan = drawer.drawn()
    images = drawer.images(net, IMAGES)
    cases = [*ruled(drawer, net, images), *shapes(net)]
    # all draws come before what depends on other nets: Hypothesis wants to find them again
    stalls = drawer.integer(0, 4) / 10, drawer.integer(0, 4) / 10
    seed, longest = drawer.integer(0, 1000), (1, 4, 60)[drawer.integer(0, 2)]
    cover = Cover(net)
    cover.add_values(images)
    if not wanted(cover):
        return Cover()
    for spec in walk(net.specs):
        event(spec.kind)
    event(f"weights {plan.weights}")
    for stage in plan.stages.values():
        event(f"weights {stage.weights}, pixel lanes {stage.pixel_lanes}, digits {stage.digits}")
    for case in cases:
        event(case)
        cover.counts["drawn", case] += 1
    accelerator = Accelerator(net, plan)
    got, _ = stream_sim.run(
        Unloaded(accelerator) if plan.loadable else accelerator,
        stream_sim.frames(net, images, accelerator.lanes),
        IMAGES * accelerator.out_beats,
        stalls,
        seed=seed,
        limit=200_000,
        longest=longest,
    )
    np.testing.assert_array_equal(stream_sim.read(accelerator, got), net.logits(images))
    return cover


def ruled(drawer: DrawnNets, net: QNetwork, images: np.ndarray) -> Iterator[str]:
    """Compares each rescale's values with the rule that it was found for; which rules, behind which sums."""
    values = net.trace(images)
    for before, spec, sums, results in zip(net.specs, net.specs[1:], values, values[1:]):
        if spec.name in drawer.rules:
            name, rule = drawer.rules[spec.name]
            by_channel = np.moveaxis(sums, 3, 0)
            due = rule(by_channel.reshape(len(by_channel), -1)).clip(spec.low, spec.high)
            np.testing.assert_array_equal(results, np.moveaxis(due.reshape(by_channel.shape), 0, 3))
            yield f"rule: {name}"
            yield f"rule behind {before.kind}"
            if spec.odd is not None:
                yield "rule that needs offsets of odd results"
            if len(np.unique(results)) > 1:
                yield "rule with more than one result"


def shapes(net: QNetwork) -> Iterator[str]:
    """What is special of a net's input and its answer."""
    for size, what in zip(net.in_shape, ("row", "column", "channel")):
        if size == 1:
            yield f"one {what}"
    yield "signed input" if net.input_format.signed else "unsigned input"
    yield "classes" if net.classifies else "values"


MET = {
    *(f"rule: {name}" for name in RULES),
    *(f"rule behind {kind}" for kind in ("conv", "dense", "pool", "residual")),
    "rule that needs offsets of odd results",
    "rule with more than one result",
    *(f"one {what}" for what in ("row", "column", "channel")),
    "signed input",
    "unsigned input",
    "classes",
    "values",
}
"""What many drawn nets have among them."""


def holes(cover: Cover) -> set[tuple[str, str]]:
    """Cases of images that were not met."""
    return {(group, case) for group, case in cover.holes if group in VALUES}


@settings(max_examples=32, **DRAWN)
@given(st.data())
def test_drawn_nets_equal_the_golden_model(data):
    check(data)


@pytest.mark.slow
def test_many_drawn_nets_equal_the_golden_model():
    """And they meet every case of rounding, saturation and ties in every kind of layer; more nets help."""
    cover = Cover()

    def missed(other: Cover) -> bool:
        both = Cover()
        both.add(cover)
        both.add(other)
        return holes(both) < holes(cover)

    @settings(max_examples=300, **DRAWN)
    @given(st.data())
    def run(data):
        cover.add(check(data))

    @settings(max_examples=1000, **DRAWN)
    @given(st.data())
    def fill(data):
        cover.add(check(data, missed))

    run()
    fill()
    assert not holes(cover)
    assert {case for group, case in cover.counts if group == "drawn"} >= MET


@pytest.mark.slow
def test_drawn_nets_meet_every_stall():
    """Verilog under Verilator, watched between layers: no state and no change of a handshake is left out."""
    cover = Cover()

    @settings(max_examples=12, **DRAWN)
    @given(st.data())
    def run(data):
        drawer = DrawnNets(data.draw)
        net, plan = drawer.drawn()
        images = drawer.images(net, 40)
        bench = AcceleratorBench(net, plan, tapped=True)
        cover.add(Cover(net))
        for stalls, longest in ((0.0, 1), (0.05, 4000), (0.4, 16)):
            result = bench.run(images, stalls, drawer.integer(0, 1000), longest_in=longest)
            assert first_mismatch(net.logits(images), result) is None
            assert first_difference(net, images, bench.layers, result.taps) is None
            cover.add_run(result, bench.layers)

    run()
    assert not set(cover.holes) - holes(cover)
