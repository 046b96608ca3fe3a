"""Graphs of shifts and additions against products of matrices."""

from itertools import pairwise, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.products.sharing import adder_graph, signed_digits
from model.arithmetic.qformat import QFormat


def inputs_of(src, count, seed=0):
    """Random inputs, the extremes first."""
    x = np.random.default_rng(seed).integers(src.min, src.max + 1, (20, count))
    x[:2] = [[src.min], [src.max]]
    return x


def check(matrix, src, constants=None):
    """The graph of a matrix, after a look at all that it promises."""
    matrix = np.asarray(matrix)
    graph = adder_graph(matrix, src, constants)
    x = inputs_of(src, len(matrix))
    np.testing.assert_array_equal(graph.run(x), x @ matrix + (0 if constants is None else constants))
    for index, node in enumerate(graph.nodes):
        assert bool(node.terms) == (index >= graph.inputs)
        assert all(term.node < index and graph.nodes[term.node].time < node.time for term in node.terms)
        assert not node.terms or not all(term.negative for term in node.terms) or len(node.terms) == 1
    return graph


@st.composite
def cases(draw):
    src = QFormat(draw(st.integers(1, 16)), 0, draw(st.booleans()))
    bits = draw(st.integers(1, 16))
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    matrix = rng.integers(-(1 << bits - 1), (1 << bits - 1) + 1, shape)
    matrix[rng.random(shape) < draw(st.sampled_from([0, 0.3, 0.9]))] = 0
    return matrix, src, draw(st.sampled_from([0, 1])) * rng.integers(-999, 1000, shape[1])


@settings(derandomize=True, deadline=None, max_examples=300)
@given(cases())
def test_any_matrix(case):
    check(*case)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(cases())
def test_ranges_are_exact(case):
    """Every node is driven to both ends of its range by inputs at theirs."""
    matrix, src, constants = case
    matrix = matrix[:6]
    graph = check(matrix, src, constants)
    corners = np.array(list(product((src.min, src.max), repeat=len(matrix)))).T
    values = list(corners)
    for node in graph.nodes[graph.inputs :]:
        values.append(sum(term.of(values[term.node]) for term in node.terms) + node.constant)
        assert (node.low, node.high) == (values[-1].min(), values[-1].max())
    sums = corners.T @ matrix + constants
    assert (graph.low, graph.high) == (sums.min(), sums.max())


def test_every_small_matrix():
    """All matrices of two inputs and two sums with weights from -2 to 3, and all constants."""
    for weights in product(range(-2, 4), repeat=4):
        for constant in (-2, 0, 3):
            check(
                np.reshape(weights, (2, 2)),
                QFormat(3, 0, bool(weights[0] % 2)),
                np.array([constant, -constant]),
            )


def test_more_inputs_than_a_block():
    rng = np.random.default_rng(2)
    graph = check(rng.integers(-4, 4, (600, 3)), QFormat(2, 0, False), np.array([5, 0, -7]))
    assert graph.latency == 10 and len(graph.widths) < 2000


def test_digits():
    drawn = np.random.default_rng(0).integers(-(1 << 40), 1 << 40, 300).tolist()
    for number in [*range(-300, 301), *drawn]:
        terms = signed_digits(number)
        assert sum(sign << exponent for exponent, sign in terms) == number
        assert all(b - a > 1 for (a, _), (b, _) in pairwise(terms))
