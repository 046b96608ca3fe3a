"""Reduction kernels, convolution and cross-correlation against loops over fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from model.layers import Reduce
from model.layers.reduce import fractions_of
from model.net.network import Network

LECTURE = np.array([[170, 20, 153, 11], [122, 39, 70, 200], [180, 80, 10, 120], [20, 120, 45, 140]])
KERNEL = [[1, -0.5], [-0.5, 1]]


def reduced(layer, images) -> np.ndarray:
    """Grey levels (N, H, W, C) behind a reduction."""
    network = Network([layer], images.shape[1:], np.random.default_rng(0))
    (levels,) = network.trace(images.astype(np.uint8))
    result = layer.spec.run(images)
    np.testing.assert_array_equal(levels * 256, result)
    assert result.min() >= 0 and result.max() <= 255
    return result


def image_of(rows) -> np.ndarray:
    return np.array(rows)[None, ..., None]


@pytest.mark.parametrize("convolve", [False, True])
def test_the_lecture_s_example(convolve):
    """Stride 2, no padding. Half a turn leaves this kernel as it is, so both operations agree."""
    result = reduced(Reduce(KERNEL, convolve=convolve), image_of(LECTURE))
    np.testing.assert_array_equal(result[0, ..., 0], [[138, 255], [250, 67]])


def test_the_lecture_s_example_has_no_other_reading():
    """Any other stride gives another picture, and any padding that a window with stride 2 meets."""
    for stride in (1, 2, 3):
        for top, bottom, left, right in np.ndindex(2, 2, 2, 2):
            layer = Reduce(KERNEL, stride, ((top, bottom), (left, right)))
            result = reduced(layer, image_of(LECTURE))[0, ..., 0]
            found = result.tolist() == [[138, 255], [250, 67]]
            assert found == (stride == 2 and not (top or left))


def test_convolution_is_correlation_turned():
    kernel = [[4, 3, 0], [0, 2, 1]]
    one = image_of([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 9, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    # A single pixel comes out as the kernel, or as the turned kernel.
    convolved = reduced(Reduce(kernel, 1, convolve=True), one)[0, ..., 0]
    correlated = reduced(Reduce(kernel, 1), one)[0, ..., 0]
    np.testing.assert_array_equal(convolved[1:3], 9 * np.array(kernel))
    np.testing.assert_array_equal(correlated[1:3], 9 * np.array(kernel)[::-1, ::-1])


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=5), st.lists(st.integers(0, 20), min_size=5, max_size=9)
)
@settings(max_examples=40, deadline=None)
def test_convolution_is_numpy_s(kernel, pixels):
    if not any(kernel):
        return
    layer = Reduce([kernel], 1, (0, len(kernel) - 1), convolve=True)
    np.testing.assert_array_equal(
        reduced(layer, image_of([pixels])).ravel(), np.clip(np.convolve(pixels, kernel), 0, 255)
    )


@st.composite
def kernels(draw, size):
    """Sizes to average, or weights: whole, decimal or any fraction."""
    height, width = (draw(st.integers(1, min(3, n))) for n in size)
    numbers = st.one_of(
        st.integers(-3, 4),
        st.integers(-200, 300).map(lambda n: n / 100),
        st.fractions(-2, 3, max_denominator=6),
    )
    rows = draw(st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=height, max_size=height))
    return (height, width) if not any(map(any, rows)) or draw(st.booleans()) else rows


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_any_reduction(data, seed):
    shape = tuple(data.draw(st.integers(1, n)) for n in (6, 6, 3))
    kernel = data.draw(kernels(shape[:2]))
    average = isinstance(kernel, tuple)
    rows = [[Fraction(1, kernel[0] * kernel[1])] * kernel[1]] * kernel[0] if average else kernel
    # A float means the decimal number that was written.
    exact = [[Fraction(str(weight)) for weight in row] for row in rows]
    sizes = len(exact), len(exact[0])
    stride = data.draw(st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    padding = tuple((data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))) for n in sizes)
    convolve = data.draw(st.booleans())
    images = np.random.default_rng(seed).integers(0, 256, (2, *shape))
    result = reduced(Reduce(kernel, stride, padding, convolve=convolve), images)
    if convolve:
        exact = [row[::-1] for row in exact[::-1]]
    for image, levels in zip(images, result):
        expected = naive.reduced(image.tolist(), exact, stride or sizes, padding)
        np.testing.assert_array_equal(levels, expected)


@pytest.mark.parametrize("kernel", [1, 2, 3, (1, 7), (5, 2), 8])
def test_averages_of_flat_pictures_are_themselves(kernel):
    images = np.repeat(np.arange(256), 64).reshape(256, 8, 8, 1)
    size = np.broadcast_to(kernel, 2)
    images = np.repeat(np.arange(256), size.prod()).reshape(256, *size, 1)
    np.testing.assert_array_equal(reduced(Reduce(kernel), images).ravel(), np.arange(256))


def test_overlap_and_same_padding():
    images = np.full((1, 5, 5, 1), 90)
    result = reduced(Reduce(3, 1, "same"), images)[0, ..., 0]
    np.testing.assert_array_equal(result[1:-1, 1:-1], 90)
    assert result.shape == (5, 5) and result[0, 0] == 40 and result[0, 2] == 60


def test_weights_as_written():
    weights, divisor = fractions_of([[0.1, 0.25], [Fraction(1, 3), np.float32(0.7)]])
    assert divisor == 60 and weights.tolist() == [[6, 15], [20, 42]]
    assert fractions_of([[3, -4]])[0].tolist() == [[3, -4]]


def test_weights_with_many_digits_are_rounded():
    values = [[1 / 3, -1 / 3, 0.0039, 2**-17]]
    weights, divisor = fractions_of(values)
    assert divisor == 65536
    assert weights.tolist() == [[21845, -21845, 256, 1]]  # the last is a half, rounded up


@pytest.mark.parametrize(
    "kernel",
    [
        "x",
        0,
        -1,
        2.5,
        None,
        (1, 2, 3),
        [],
        [[1], [1, 2]],
        [[float("nan")]],
        [[float("inf")]],
        [[1e300]],
        [["a"]],
    ],
)
def test_kernels_that_are_none(kernel):
    with pytest.raises(ValueError, match="a reduction has a size, or rows"):
        Reduce(kernel)


@pytest.mark.parametrize(
    "layer, problem",
    [
        (Reduce(5), "layer 'reduce1': a window of 5 x 5 does not fit"),
        (Reduce(2, 0), "layer 'reduce1': a stride"),
        (Reduce(2, 1, 2), "layer 'reduce1': padding"),
        (Reduce([[0, 0]]), "layer 'reduce1': the weights"),
        (Reduce([[1e7]]), "layer 'reduce1': the weights"),
    ],
)
def test_reductions_that_do_not_fit(layer, problem):
    with pytest.raises(ValueError, match=problem):
        Network([layer], (4, 4, 1), np.random.default_rng(0))


MUTANTS = {
    "rounded half up": lambda spec, sums: np.clip((2 * sums + spec.divisor) // (2 * spec.divisor), 0, 255),
    "not kept within 0..255": lambda spec, sums: sums // spec.divisor,
    "wrapped to 8 bits": lambda spec, sums: sums // spec.divisor % 256,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_lecture_s_example_finds_mutants(mutant):
    spec = Network([Reduce(KERNEL)], (4, 4, 1), np.random.default_rng(0)).layers[0].spec
    pixels = LECTURE[:, None, :, None].astype(spec.dtype)
    result = MUTANTS[mutant](spec, spec.sums(pixels, {}))[:, 0, :, 0]
    assert result.tolist() != [[138, 255], [250, 67]]
    assert spec.apply(pixels, {})[:, 0, :, 0].tolist() == [[138, 255], [250, 67]]
