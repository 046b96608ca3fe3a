"""Dot products with weights of one and two bits, which take no multiplier, for all weights and inputs."""

from itertools import product

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat

from hdl.devices.device import PORTABLE
from hdl.devices.ecp5 import ECP5
from hdl.folding.layer import packed
from hdl.planning.estimate import resources
from hdl.products import dots
from hdl.products.dots import Dots, needs_no_multiplier
from model.arithmetic.qformat import QFormat
from stream_sim import simulator_of

LOW = [QFormat(1, 0, False), QFormat(1, 0), QFormat(2, 0)]
SOURCES = [QFormat(1, 0, False), QFormat(1, 0), QFormat(2, 0, False), QFormat(3, 0)]


def component(src, weight_format, matrices, device=PORTABLE):
    """Dot products with each of the matrices (N, input_lanes, output_lanes)."""
    _, inputs, outputs = matrices.shape
    words = [packed(matrix.T.ravel(), weight_format.width) for matrix in matrices]
    return Dots(src, weight_format, inputs, outputs, words, device)


def check(src, weight_format, matrices, x):
    """A step a cycle, each with the matrix of its number and an input of its own (N, input_lanes)."""
    part = component(src, weight_format, matrices)
    got = []

    async def testbench(ctx):
        for cycle in range(len(x) + part.latency):
            if cycle < len(x):
                ctx.set(part.x, x[cycle].tolist())
                ctx.set(part.index, cycle % len(matrices))
            if cycle >= part.latency:
                got.append(list(ctx.get(part.dots)))
            await ctx.tick()

    simulator = simulator_of(part)
    simulator.add_testbench(testbench)
    simulator.run()
    steps = matrices[np.arange(len(x)) % len(matrices)]
    np.testing.assert_array_equal(got, (x[:, :, None] * steps).sum(axis=1))


def all_of(fmt):
    return list(range(fmt.min, fmt.max + 1))


@pytest.mark.parametrize("lowest", [-2, -1])
@pytest.mark.parametrize("src", SOURCES, ids=str)
@pytest.mark.parametrize("weight_format", LOW, ids=str)
def test_all_weights_with_all_inputs(weight_format, src, lowest):
    """Of two lanes; weights of two bits with and without -2, which trained ones never are."""
    weights = [weight for weight in all_of(weight_format) if weight >= lowest]
    pairs = list(product(product(weights, repeat=2), product(all_of(src), repeat=2)))
    matrices = np.array([matrix for matrix, _ in pairs])[:, :, None]
    check(src, weight_format, matrices, np.array([x for _, x in pairs]))


def random_case(weight_format, lanes, seed=0, outputs=2):
    rng = np.random.default_rng(seed)
    matrices = rng.integers(weight_format.min, weight_format.max + 1, (16, lanes, outputs))
    matrices[0], matrices[1] = weight_format.min, weight_format.max
    src = QFormat(5, 0, bool(seed % 2))
    x = rng.integers(src.min, src.max + 1, (64, lanes))
    x[:32:2], x[1:32:2] = src.min, src.max
    return src, weight_format, matrices, x


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 7, 12])
def test_lanes(lanes):
    for seed, weight_format in enumerate(LOW):
        check(*random_case(weight_format, lanes, seed))


@pytest.mark.parametrize("weight_format", [*LOW, QFormat(2, 0, False), QFormat(3, 0)], ids=str)
def test_no_multiplier_is_taken(weight_format):
    src, _, matrices, _ = random_case(weight_format, 6)
    multipliers = 0 if weight_format in LOW else 12
    assert needs_no_multiplier(weight_format) == (not multipliers)
    part = component(src, weight_format, matrices, ECP5)
    assert resources(part, ECP5).dsp == multipliers
    text = rtlil.convert(part, ports=[part.x.as_value(), part.index, part.dots.as_value()])
    assert text.count("cell \\MULT18X18D") == multipliers and "$mul" not in text


def without_carry(a, b):
    return Cat(a[0], (a + b)[1:]).as_signed()


@pytest.mark.parametrize(
    ("name", "mutant"),
    [("carried", without_carry), ("Dots.doubles", False), ("Dots.latency", 4)],
)
def test_mutants_fail(name, mutant, monkeypatch):
    case = random_case(QFormat(2, 0), 3)
    check(*case)
    owner, _, attribute = f"dots.{name}".rpartition(".")
    monkeypatch.setattr({"dots": dots, "dots.Dots": Dots}[owner], attribute, mutant)
    with pytest.raises(AssertionError):
        check(*case)
