"""The class of an answer: the first of the largest logits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.stages import classify as module
from hdl.stages.classify import Argmax, answer_layout
from model.arithmetic.qformat import QFormat
from mutants import Deaf, Fickle


def first_of_largest(values) -> int:
    best = 0
    for index, value in enumerate(values):
        if value > values[best]:
            best = index
    return best


def check(fmt, vectors, stalls=0.2, seed=0, make=Argmax):
    """Every vector's class, and its values unchanged."""
    count = len(vectors[0])
    got, cycles = stream_sim.run(make(fmt, count), vectors, len(vectors), stalls, seed, limit=500, longest=3)
    layout = [(answer["cls"], list(answer["logits"])) for answer in map(readable(fmt, count), got)]
    assert layout == [(first_of_largest(vector), list(vector)) for vector in vectors]
    return cycles


def readable(fmt, count):
    """Answers by name, also where a wrapper made plain bits of them."""
    layout = answer_layout(fmt, count)
    return lambda answer: layout.from_bits(answer if isinstance(answer, int) else answer.as_bits())


@st.composite
def cases(draw):
    fmt = QFormat(draw(st.integers(1, 6)), 0, draw(st.booleans()))
    count = draw(st.integers(1, 11))
    value = st.integers(fmt.min, fmt.max)
    return fmt, draw(st.lists(st.lists(value, min_size=count, max_size=count), min_size=1, max_size=8))


@settings(derandomize=True, deadline=None, max_examples=80)
@given(cases(), st.integers(0, 99))
def test_any_values(case, seed):
    check(*case, seed=seed)


S4 = QFormat(4, 0)


@pytest.mark.parametrize(
    "vectors",
    [
        [[0] * 5],
        [[-8, -8, -8]],
        [[-3, -1, -1, -2]],
        [[7, 7, -8], [-8, 7, 7], [-8, -8, -7]],
        [[-5], [3], [0]],
        [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [1, 1, 5, 5, 5]],
    ],
)
def test_ties_and_negative_values(vectors):
    check(S4, vectors)


def test_every_vector_of_three():
    values = range(-2, 2)
    check(QFormat(2, 0), [[a, b, c] for a in values for b in values for c in values])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_cycles(count):
    vectors = np.random.default_rng(count).integers(-8, 8, (6, count)).tolist()
    cycles = check(S4, vectors, stalls=0.0)
    assert cycles == [count + 2 + n * (count + 3) for n in range(6)]


def test_mutants_fail(monkeypatch):
    vectors = [[7, 7, -8], [-8, 7, 7], [1, 2, 3]]
    check(S4, vectors)
    for mutant in (Deaf, Fickle):
        with pytest.raises(AssertionError):
            check(S4, vectors * 9, make=lambda *args, mutant=mutant: mutant(Argmax(*args)))
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        # larger or equal in place of larger
        patch.setattr(module, "exceeds", lambda a, b: a >= b)
        check(S4, vectors)
    with pytest.raises(AssertionError):
        # the signs forgotten
        check(S4, vectors, make=lambda fmt, count: Argmax(QFormat(4, 0, False), count))
