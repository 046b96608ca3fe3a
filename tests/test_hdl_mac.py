"""The multiply-accumulate array against sums of Python's integers, for every folding of small layers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Const
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.folding.layer import Folding
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from hdl.parts.chain import Chain
from hdl.parts.pipe import shares
from hdl.planning.estimate import estimate
from hdl.products.mac import AlignPipe, MacPipe, Sequencer, mac_parts
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec
from mutants import Deaf, Fickle, Rotated


def divisors(number):
    return [n for n in range(1, number + 1) if number % n == 0]


def layer(inputs, outputs, src, weight_format, dst=None, weights=None, seed=0, shifts=None):
    """A dense layer of random integers; without `dst` its sums come out as they are."""
    rng = np.random.default_rng(seed)
    if weights is None:
        weights = rng.integers(weight_format.min, weight_format.max + 1, (inputs, outputs))
    spec = DenseSpec(
        name="d", in_shape=(1, 1, inputs), src=src, dst=src, weights=weights, weight_format=weight_format,
        bias=rng.integers(-20, 21, outputs), shifts=shifts,
    )  # fmt: skip
    return replace(spec, dst=dst or spec.accumulator)


def expected_of(spec, vector) -> list[int]:
    """Outputs of one vector."""
    shift = spec.src.frac + spec.weight_format.frac - spec.dst.frac
    results = []
    for output in range(len(spec.bias)):
        total = int(spec.bias[output])
        for value, weight in zip(vector, spec.weights[:, output]):
            total += int(value) * int(weight)
        total <<= int(spec.shifts[output])
        total = (total + (1 << shift) // 2) >> shift if shift > 0 else total << -shift
        results.append(min(max(total, spec.dst.min), spec.dst.max))
    return results


def check(spec, plan, vectors, *, whole, stalls=(0.1, 0.2), seed=0, parts=mac_parts):
    """All vectors back to back; gives the cycles of the output beats."""
    expected = [
        results[n : n + plan.output_lanes]
        for results in (expected_of(spec, vector) for vector in vectors)
        for n in range(0, len(results), plan.output_lanes)
    ]
    beats = np.reshape(vectors, (-1, len(spec.weights) if whole else plan.input_lanes)).tolist()
    chain = Chain([("mac", part) for part in parts(spec, plan, PORTABLE, whole=whole)], PORTABLE)
    got, cycles = stream_sim.run(chain, beats, len(expected), stalls, seed, longest=24, limit=2000)
    assert stream_sim.values(got) == expected
    return cycles


def random_vectors(spec, count, seed=0):
    """Vectors with the extremes among them."""
    vectors = np.random.default_rng(seed).integers(spec.src.min, spec.src.max + 1, (count, len(spec.weights)))
    vectors[:2] = [[spec.src.min], [spec.src.max]]
    return vectors


FOLDINGS = [
    (inputs, outputs, a, b)
    for inputs, outputs in [(1, 1), (6, 4), (4, 3), (1, 6), (5, 1), (9, 2)]
    for a, b in product(divisors(inputs), divisors(outputs))
]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("inputs", "outputs", "input_lanes", "output_lanes"), FOLDINGS)
def test_every_folding(inputs, outputs, input_lanes, output_lanes, whole):
    signed = bool(inputs % 2)
    spec = layer(inputs, outputs, QFormat(4, 1, signed), QFormat(4, 3, not whole), QFormat(6, 2), seed=inputs)
    check(spec, StagePlan(input_lanes, output_lanes), random_vectors(spec, 12), whole=whole)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("inputs", "outputs", "input_lanes", "output_lanes"), FOLDINGS)
def test_a_vector_takes_its_steps_and_no_cycle_more(inputs, outputs, input_lanes, output_lanes, whole):
    spec = layer(inputs, outputs, QFormat(3, 0), QFormat(3, 0), seed=outputs)
    plan = StagePlan(input_lanes, output_lanes)
    steps = Folding(spec, plan).steps
    assert steps == (inputs // input_lanes) * (outputs // output_lanes)
    count = 40
    cycles = check(spec, plan, random_vectors(spec, count), whole=whole, stalls=0.0)
    last = np.reshape(cycles, (count, -1))[:, -1]
    # once the pipeline is full
    assert np.diff(last[count // 2 :]).tolist() == [steps] * (count - count // 2 - 1)


@pytest.mark.parametrize("input_lanes", [60, 20, 4])
def test_wide_beats_have_several_enables(input_lanes):
    """The shares of a beat are taken, and its slices follow, as one."""
    spec = layer(60, 2, QFormat(4, 1), QFormat(3, 0), seed=3)
    assert len(shares(60 * spec.src.width)) == 2
    for stalls in (0.0, (0.1, 0.2)):
        check(spec, StagePlan(input_lanes, 1), random_vectors(spec, 12), whole=True, stalls=stalls)


def test_a_step_waits_for_room():
    """A vector a step, and an output so slow that the FIFO is full most of the time."""
    spec = layer(6, 4, QFormat(4, 1), QFormat(4, 3), seed=1)
    check(spec, StagePlan(6, 4), random_vectors(spec, 80), whole=True, stalls=(0.0, 0.5))


@st.composite
def layers(draw):
    inputs, outputs = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    src = QFormat(draw(st.integers(1, 9)), draw(st.integers(-2, 6)), draw(st.booleans()))
    weight_format = QFormat(draw(st.integers(1, 8)), draw(st.integers(-1, 6)), draw(st.booleans()))
    shifts = draw(st.none() | st.lists(st.integers(0, 5), min_size=outputs, max_size=outputs).map(np.array))
    spec = layer(inputs, outputs, src, weight_format, seed=draw(st.integers(0, 99)), shifts=shifts)
    if draw(st.booleans()):
        frac = spec.accumulator.frac - draw(st.integers(-2, spec.accumulator.width))
        spec = replace(spec, dst=QFormat(draw(st.integers(1, 9)), frac, draw(st.booleans())))
    plan = StagePlan(draw(st.sampled_from(divisors(inputs))), draw(st.sampled_from(divisors(outputs))))
    return spec, plan


@settings(derandomize=True, deadline=None, max_examples=70)
@given(layers(), st.booleans(), st.integers(0, 99))
def test_any_formats(case, whole, seed):
    spec, plan = case
    check(spec, plan, random_vectors(spec, 8, seed), whole=whole, seed=seed)


SHIFTS = np.array([3, 0, 1, 6])


@pytest.mark.parametrize("frac", [9, 4, 3, 1, -2, -5])
@pytest.mark.parametrize("output_lanes", [1, 2, 4])
def test_shifts_by_channel(output_lanes, frac):
    """Formats finer than some channels' sums and coarser than others', in every dealing to lanes."""
    spec = layer(6, 4, QFormat(4, 1), QFormat(4, 3), QFormat(7, frac), shifts=SHIFTS)
    check(spec, StagePlan(3, output_lanes), random_vectors(spec, 30), whole=True, stalls=(0.0, 0.3))


def test_every_sum_is_rounded_as_the_golden_model_rounds():
    """All sums that there are, in every format that they may go to: rounding halves, both saturations."""
    ramp = np.arange(-16, 16).reshape(-1, 1)
    for frac in range(-8, 8):
        spec = layer(1, 4, QFormat(5, 0), QFormat(2, 0), QFormat(4, frac), np.ones((1, 4), int), 1, SHIFTS)
        check(spec, StagePlan(1, 2), ramp, whole=True, stalls=0.0)
        golden = spec.run(ramp.reshape(-1, 1, 1, 1)).reshape(-1, 4)
        assert golden.tolist() == [expected_of(spec, vector) for vector in ramp]


@pytest.mark.parametrize(("output_lanes", "cycles"), [(4, 0), (2, 1)])
def test_constant_shifts_cost_no_cycle(output_lanes, cycles):
    plain, shifted = (
        layer(6, 4, QFormat(4, 1), QFormat(4, 3), QFormat(7, 2), shifts=shifts) for shifts in (None, SHIFTS)
    )
    plan = StagePlan(1, output_lanes)
    first = [
        check(spec, plan, random_vectors(spec, 2), whole=True, stalls=0.0)[0] for spec in (plain, shifted)
    ]
    assert first[1] - first[0] == cycles


def test_the_estimate_knows_of_selections():
    plain, shifted = (
        layer(6, 4, QFormat(4, 1), QFormat(4, 3), QFormat(7, 2), shifts=shifts) for shifts in (None, SHIFTS)
    )

    def budget(spec, output_lanes):
        net = QNetwork("net", spec.src, (spec,))
        return estimate(net, Plan({"d": StagePlan(1, output_lanes)}))

    for output_lanes in (1, 2):
        assert budget(shifted, output_lanes).lut > budget(plain, output_lanes).lut
    assert budget(shifted, 4).dsp == budget(plain, 4).dsp == 4


ONE_BIT = [QFormat(1, 0, False), QFormat(1, 0, True)]


@pytest.mark.parametrize("weight_format", [*ONE_BIT, QFormat(3, 0), QFormat(8, 0, False)], ids=str)
@pytest.mark.parametrize("src", [*ONE_BIT, QFormat(8, 0), QFormat(5, 0, False)], ids=str)
def test_the_widest_sums(src, weight_format):
    """All weights and all inputs at their ends: the sums reach the ends of the derived width."""
    weights = np.tile([[weight_format.min, weight_format.max]], (6, 1))
    spec = layer(6, 2, src, weight_format, weights=weights)
    low, high = spec.accumulator_range
    ends = {total for value in (src.min, src.max) for total in expected_of(spec, [value] * 6)}
    assert {low, high} <= ends
    vectors = [[src.min] * 6, [src.max] * 6] * 3
    for plan in (StagePlan(1, 1), StagePlan(2, 2), StagePlan(6, 1)):
        check(spec, plan, vectors, whole=False)


def test_the_rounding_half_widens_the_sum():
    """A sum at its end plus the half that it is seeded with."""
    spec = layer(2, 1, QFormat(4, 0, False), QFormat(3, 0), weights=np.array([[3], [3]]), dst=QFormat(3, -6))
    spec = replace(spec, bias=np.array([127 - 90]))
    assert spec.accumulator.width == 8 and Folding(spec, StagePlan()).accumulator.width == 9
    check(spec, StagePlan(), [[15, 15], [0, 0], [15, 14]], whole=True)


def test_lanes_that_do_not_divide():
    spec = layer(6, 4, QFormat(3, 0), QFormat(3, 0))
    for plan in (StagePlan(4, 1), StagePlan(1, 3), StagePlan(0, 1)):
        with pytest.raises(ValueError, match=r"layer 'd': . lanes do not divide"):
            Folding(spec, plan)


def test_an_output_that_keeps_no_bit():
    spec = layer(6, 4, QFormat(3, 0), QFormat(3, 0), QFormat(4, -70))
    with pytest.raises(ValueError, match=r"layer 'd': .* keeps no bit of the accumulator"):
        Folding(spec, StagePlan())


class NarrowSums(Folding):
    """An accumulator of one bit less."""

    def __init__(self, spec, plan):
        super().__init__(spec, plan)
        self.accumulator = self.aligned = QFormat(self.accumulator.width - 1, self.accumulator.frac)


class SwappedLanes(MacPipe):
    """The weights of the first two outputs exchanged."""

    def __init__(self, folding, *others):
        order = [1, 0, *range(2, folding.outputs)]
        folding.spec = replace(folding.spec, weights=folding.spec.weights[:, order])
        super().__init__(folding, *others)


class NoHalf(MacPipe):
    """Sums seeded with the bias alone."""

    def __init__(self, folding, *others):
        folding.seeded_bias = folding.spec.bias
        super().__init__(folding, *others)


class SharedHalf(MacPipe):
    """All channels seeded with the half of the shared grid."""

    def __init__(self, folding, *others):
        folding.seeded_bias = folding.spec.bias + max(folding.spec.halves)
        super().__init__(folding, *others)


class FirstShifts(AlignPipe):
    """Every beat is shifted like the first."""

    def __init__(self, folding):
        super().__init__(folding)
        folding.shifts = np.broadcast_to(folding.shifts[0], folding.shifts.shape)


class TooManyCredits(Sequencer):
    """Never asks for room."""

    def elaborate(self, platform):
        self.room = Const(1)
        return super().elaborate(platform)


@pytest.mark.parametrize(
    ("name", "mutant"),
    [("Folding", NarrowSums), ("MacPipe", SwappedLanes), ("MacPipe", NoHalf), ("Sequencer", TooManyCredits)],
)
def test_mutants_fail(name, mutant, monkeypatch):
    weights = np.full((6, 4), -8) + np.arange(4)
    spec = layer(6, 4, QFormat(4, 1), QFormat(4, 3), QFormat(12, 3), weights=weights)
    plan, vectors = StagePlan(3, 2), random_vectors(spec, 40)
    check(spec, plan, vectors, whole=True, stalls=(0.0, 0.5))
    monkeypatch.setattr(f"hdl.products.mac.{name}", mutant)
    with pytest.raises(AssertionError):
        check(spec, plan, vectors, whole=True, stalls=(0.0, 0.5))


@pytest.mark.parametrize(("name", "mutant"), [("MacPipe", SharedHalf), ("AlignPipe", FirstShifts)])
def test_mutants_of_shifts_fail(name, mutant, monkeypatch):
    spec = layer(6, 4, QFormat(4, 1), QFormat(4, 3), QFormat(7, 1), shifts=SHIFTS)
    plan, vectors = StagePlan(3, 2), random_vectors(spec, 40)
    check(spec, plan, vectors, whole=True)
    monkeypatch.setattr(f"hdl.products.mac.{name}", mutant)
    with pytest.raises(AssertionError):
        check(spec, plan, vectors, whole=True)


@pytest.mark.parametrize("mutant", [Deaf, Fickle, Rotated])
def test_faults_around_it_fail(mutant):
    spec = layer(6, 4, QFormat(4, 1), QFormat(4, 3))

    def parts(*args, **kwargs):
        return [mutant(Chain([("mac", part) for part in mac_parts(*args, **kwargs)], PORTABLE))]

    with pytest.raises(AssertionError):
        check(spec, StagePlan(3, 2), random_vectors(spec, 40), whole=True, parts=parts)
