"""Optimisers against plain loops in exact order, schedules, and the average of the weights."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.layers import Dense
from model.net.losses import Penalty
from model.net.network import Network
from model.training import description
from model.training.augment import Affine, Elastic
from model.training.loop import fit
from model.training.optim import OPTIMISERS, SCHEDULES, Adam, Average, Momentum, clipped, rate_share
from model.training.recipe import Recipe


def momentum_by_hand(start, gradients, rates, momentum):
    """One parameter at a time."""
    place, velocity = start, 0.0
    for gradient, rate in zip(gradients, rates):
        velocity = momentum * velocity - rate * gradient
        place += velocity
    return place


def adam_by_hand(start, gradients, rates, beta1, beta2, corrected=True):
    """Algorithm 1 of the paper, for one parameter."""
    place, m, v = start, 0.0, 0.0
    for t, (gradient, rate) in enumerate(zip(gradients, rates), 1):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        m_hat, v_hat = (m / (1 - beta1**t), v / (1 - beta2**t)) if corrected else (m, v)
        place -= rate * m_hat / (math.sqrt(v_hat) + 1e-8)
    return place


def run(optimiser, gradients, rates):
    for gradient, rate in zip(gradients, rates):
        optimiser.step(gradient, rate)
    assert optimiser.count == len(gradients)
    return optimiser.vector


draws = {
    "seed": st.integers(0, 2**32 - 1),
    "steps": st.integers(1, 30),
    "momentum": st.floats(0, 0.99),
    "second": st.floats(0, 0.999),
}


@given(**draws)
def test_optimisers_against_loops(seed, steps, momentum, second):
    rng = np.random.default_rng(seed)
    start, gradients = rng.normal(size=5), rng.normal(size=(steps, 5)) * 10.0 ** rng.integers(-4, 4)
    rates = rng.uniform(0, 0.1, steps)
    for kind, by_hand, betas in (
        (Momentum, momentum_by_hand, (momentum,)),
        (Adam, adam_by_hand, (momentum, second)),
    ):
        found = run(kind(start.copy(), momentum, second), gradients, rates)
        wanted = [by_hand(x, column, rates, *betas) for x, column in zip(start, gradients.T)]
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_mutant_without_bias_correction_differs():
    start, gradients, rates = np.ones(3), np.full((4, 3), 0.5), np.full(4, 0.1)
    found = run(Adam(start.copy(), 0.9, 0.999), gradients, rates)
    np.testing.assert_allclose(found, 0.6)  # corrected, a constant gradient gives steps of the rate
    wrong = adam_by_hand(1.0, gradients[:, 0], rates, 0.9, 0.999, corrected=False)
    assert np.abs(found - wrong).min() > 0.1


@pytest.mark.parametrize("kind", OPTIMISERS.values())
def test_floats_of_training_stay_what_they_are(kind):
    optimiser = kind(np.ones(3, np.float32), 0.9, 0.999)
    run(optimiser, np.ones((3, 3), np.float32), [0.1] * 3)
    assert optimiser.vector.dtype == np.float32
    assert all(array.dtype == np.float32 for array in optimiser.arrays.values())


def test_clipped():
    np.testing.assert_allclose(clipped(np.array([3.0, 4.0]), 0.5), [0.3, 0.4])
    np.testing.assert_array_equal(clipped(np.array([3.0, 4.0]), 5.5), [3.0, 4.0])
    np.testing.assert_array_equal(clipped(np.zeros(2), 1), [0, 0])


def test_average_starts_at_once_and_forgets():
    average = Average(np.array([100.0]), 0.9)
    for _ in range(300):
        average.update(np.array([1.0]))
    assert average.mean == pytest.approx([1.0])


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_no_average_is_the_last_weights_bit_for_bit(values):
    average = Average(np.zeros(1, np.float32), 0.0)
    for value in values:
        average.update(np.array([value], np.float32))
        assert average.mean[0] == np.float32(value)


@given(schedule=st.sampled_from(sorted(SCHEDULES)), steps=st.integers(1, 200), warmup=st.floats(0, 0.5))
def test_schedules_rise_and_never_rise_again(schedule, steps, warmup):
    rates = [rate_share(schedule, step, steps, warmup) for step in range(steps)]
    assert all(0 <= rate <= 1 for rate in rates)
    warm = sum((step + 0.5) / steps < warmup for step in range(steps))
    assert rates[:warm] == sorted(rates[:warm])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)
    if steps > 20:
        assert max(rates) > 0.9


def test_schedules_in_figures():
    shares = {name: [rate_share(name, step, 100, 0.2) for step in (9, 59, 60, 99)] for name in SCHEDULES}
    assert shares["constant"] == [0.475, 1, 1, 1]
    assert shares["step"] == [0.475, 1, 0.1, 0.01]
    assert shares["linear"] == pytest.approx([0.475, 1 - 39.5 / 80, 1 - 40.5 / 80, 0.5 / 80])
    halves = [0.5 + 0.5 * math.cos(math.pi * x / 80) for x in (39.5, 40.5, 79.5)]
    assert shares["cosine"] == pytest.approx([0.475, *halves])


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("averaging", [0, 0.9])
def test_each_recipe_learns(optimiser, schedule, averaging):
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = rng.integers(0, 100, (300, 4, 3, 1)).astype(np.uint8)
    images[np.arange(300), :, labels] += 100
    network = Network([Dense(3)], (4, 3, 1), rng)
    recipe = Recipe(20, batch=30, optimiser=optimiser, schedule=schedule, averaging=averaging)
    history = fit(network, recipe, images, labels, (images, labels), rng)
    assert history[-1].loss < 0.7 * history[0].loss and history[-1].validation > 0.9


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0}, {"batch": 0}, {"patience": 0}, {"rate": 0}, {"rate": math.nan}, {"clip": math.inf},
        {"momentum": 1}, {"second": -0.1}, {"warmup": 1.0}, {"averaging": 1}, {"optimiser": "sgd"},
        {"schedule": "none"}, {"loss": "hinge"},
    ],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense(values):
    with pytest.raises(ValueError, match=f"^{next(iter(values))} is .*not ") as caught:
        Recipe(**{"epochs": 1} | values)
    assert "\n" not in str(caught.value)


def test_the_usual_rate():
    assert Recipe(1).peak == Momentum.rate and Recipe(1, optimiser="adam").peak == Adam.rate
    assert Recipe(1, rate=0.5, augment=Affine(), penalty=Penalty(0.1)).peak == 0.5


def test_a_recipe_from_a_description():
    table = {
        "epochs": 4, "optimiser": "adam", "schedule": "step", "averaging": 0, "augment": {"shift": 1},
        "elastic": {"strength": 1.5}, "rate": "none",
    }  # fmt: skip
    wanted = Recipe(
        4, optimiser="adam", schedule="step", averaging=0,
        augment=Affine(shift=1), elastic=Elastic(strength=1.5),
    )  # fmt: skip
    assert description.recipe({"recipe": table}, "net.toml") == wanted
    with pytest.raises(ValueError, match=r"^net.toml: \[recipe\]: averaging is a share"):
        description.recipe({"recipe": {"averaging": 1}}, "net.toml")
