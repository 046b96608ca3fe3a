"""Hard-wired sums of digits against plain integer products."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.folding.layer import Folding
from hdl.folding.stage import WIRED, StagePlan
from hdl.parts.pipe import Elastic
from hdl.products.digits import DigitPipe, Digits
from model.arithmetic.qformat import QFormat
from model.layers import ConvSpec


def folding_of(inputs, kernels, width, digits, weight_bits, seed, pixels=1):
    """A 1 x 1 convolution over as many columns as pixels."""
    rng = np.random.default_rng(seed)
    fmt = QFormat(weight_bits, 0)
    fields = dict(
        name="conv", in_shape=(1, pixels, inputs), src=QFormat(width, 0, False), weight_format=fmt,
        weights=rng.integers(fmt.min, fmt.max + 1, (1, 1, inputs, kernels)),
        bias=rng.integers(-200, 200, kernels),
    )  # fmt: skip
    spec = ConvSpec(**fields, dst=ConvSpec(**fields, dst=QFormat(8, 0)).accumulator)
    plan = StagePlan(inputs, kernels, weights=WIRED, digits=digits, pixel_lanes=pixels)
    return spec, Folding(spec, plan)


def check(folding, x, stalls=0.0, seed=0):
    """Beats of values through digits, sums and FIFO; gives the cycles of the output beats."""
    spec, plan = folding.spec, folding.plan
    whole = Elastic([DigitPipe(folding)], PORTABLE, Digits(folding))
    beats = x.reshape(len(x), -1)
    sums = x @ spec.weights[0, 0] + spec.bias
    got, cycles = stream_sim.run(whole, beats.tolist(), len(x), stalls, seed, longest=4)
    assert stream_sim.values(got) == sums.reshape(len(x), plan.lanes).tolist()
    return cycles


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.data())
def test_any_width(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    width = draw(2, 6)
    digits, seed, pixels = draw(2, width), draw(0, 99), draw(1, 3)
    _, folding = folding_of(draw(1, 5), draw(1, 3), width, digits, draw(1, 5), seed, pixels)
    x = np.random.default_rng(seed).integers(0, 1 << width, (20, pixels, folding.inputs))
    check(folding, x, data.draw(st.sampled_from([0.0, 0.3, (0.0, 0.4)])), seed)


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_every_input_and_a_digit_a_cycle(digits):
    _, folding = folding_of(2, 2, 4, digits, 3, 0)
    x = np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1).reshape(-1, 1, 2)
    assert set(np.diff(check(folding, x))) == {digits}


class Reversed(Digits):
    """The highest digit first."""

    def turned(self):
        bits = super().turned()
        return bits.rotate_left(len(bits) // 2)


class Narrow(DigitPipe):
    """A bit short."""

    @property
    def partial(self):
        return QFormat(super().partial.width - 1, 0)


def test_mutants_fail(monkeypatch):
    _, folding = folding_of(3, 2, 4, 2, 3, 1)
    x = np.concatenate([np.full((1, 1, 3), 15), np.random.default_rng(0).integers(0, 16, (200, 1, 3))])
    check(folding, x)
    for name, mutant in (("Digits", Reversed), ("DigitPipe", Narrow)):
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setitem(globals(), name, mutant)
            check(folding, x)
