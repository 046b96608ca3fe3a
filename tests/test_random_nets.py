"""Nets and plans drawn by Hypothesis: the accelerator puts out the golden model's every value."""

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import stream_sim
from drawn_nets import DrawnNets
from hdl.network import Accelerator
from model.golden.qchain import walk
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
    event(f"classifies {net.classifies}, rules {len(drawer.rules)}")
    check_rules(net, drawer.rules, images.astype(np.int64))
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
    if net.classifies:
        values = [list(answer.logits) for answer in got]
        np.testing.assert_array_equal([answer.cls for answer in got], net.classify(images))
    else:
        values = [list(beat.data) for beat in got]
        marks = [(beat.first, beat.last) for beat in got]
        places = range(accelerator.out_beats)
        assert marks == [(place == 0, place == places[-1]) for place in places] * IMAGES
    np.testing.assert_array_equal(np.reshape(values, (IMAGES, -1)), net.logits(images))
    return cover


def check_rules(net, rules, images) -> None:
    """What a framework's rule makes of a layer's sums is what the golden model makes of them."""
    for spec in net.specs:
        sums, images = images, spec.run(images)
        if spec.name in rules:
            made = rules[spec.name](np.moveaxis(sums, 3, 0).reshape(sums.shape[3], -1).astype(np.int64))
            np.testing.assert_array_equal(np.moveaxis(images, 3, 0).reshape(made.shape), made)


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
