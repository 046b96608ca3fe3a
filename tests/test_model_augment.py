"""Moved images against loops over pixels, and elastic fields against the Gaussian that defines them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.training.augment import NEGLIGIBLE, Affine, Elastic, Moves, paper, sampled, waves

shapes = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4))
seeds = st.integers(0, 2**32 - 1)


def bilinear(image, y, x, around=0):
    """The value between pixels, and `around` outside."""
    height, width, channels = image.shape
    total = np.zeros(channels)
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            within = 0 <= row < height and 0 <= column < width
            total += (image[row, column] if within else around) * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


BLACK = np.zeros((3, 1, 1, 1))


def check_sampling(images, field, moved, around=BLACK):
    assert moved.shape == images.shape and moved.dtype == np.uint8
    for image, (down, right), result, level in zip(images, field.astype(float), moved, around[:, 0, 0]):
        for row, column in np.ndindex(image.shape[:2]):
            value = bilinear(image, row + down[row, column], column + right[row, column], level)
            assert np.abs(result[row, column] - value).max() < 0.51


@given(seed=seeds, shape=shapes)
@settings(max_examples=40)
def test_sampled_against_loops(seed, shape):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, *shape)).astype(np.uint8)
    field = rng.normal(0, 3, (3, 2, *shape[:2])).astype(np.float32)
    field[0] = rng.integers(-3, 4, field[0].shape)
    check_sampling(images, field, sampled(images, field.copy()))
    around = paper(images)
    check_sampling(images, field, sampled(images, field.copy(), around), around)


@given(seed=seeds, shape=shapes)
def test_paper_is_the_median_of_the_border(seed, shape):
    images = np.random.default_rng(seed).integers(0, 256, (3, *shape)).astype(np.uint8)
    for image, level in zip(images, paper(images)[:, 0, 0]):
        edges = [image[0], image[-1], image[:, 0], image[:, -1]]
        levels = sorted(np.concatenate(edges).tolist(), key=lambda pixel: pixel[0])
        assert level[0] == levels[len(levels) // 2][0]


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("kind", [Affine(40, 0.2, 0.2, 3), Elastic(4, 2)])
def test_paper_stays_paper(kind, level):
    """Of an image with strokes at its border too nothing darker or lighter comes from outside."""
    images = np.full((5, 9, 8, 3), level, np.uint8)
    images[:, :3, 4] = 128
    moves = Moves.draw([kind], np.random.default_rng(1), 5, (9, 8))
    moved = moves.apply(images)
    assert (moved != images).any()
    assert min(level, 128) <= moved.min() and moved.max() <= max(level, 128)


def test_a_mutant_that_swaps_the_directions_fails():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 5, 5, 1)).astype(np.uint8)
    field = rng.normal(0, 3, (3, 2, 5, 5)).astype(np.float32)
    with pytest.raises(AssertionError):
        check_sampling(images, field, sampled(images, field[:, ::-1].copy()))


@given(seed=seeds, size=st.tuples(st.integers(1, 9), st.integers(1, 9)))
@settings(max_examples=40)
def test_affine_fields_against_their_maps(seed, size):
    kind = Affine(30, 0.5, 0.5, 3)
    maps = kind.draw(np.random.default_rng(seed), 3, size)
    field = kind.field(maps, size)
    centre = (np.array(size) - 1) / 2
    for matrix, (down, right) in zip(maps.astype(float), field):
        for row, column in np.ndindex(size):
            source = matrix @ [row - centre[0], column - centre[1], 1] + centre
            np.testing.assert_allclose(
                [row + down[row, column], column + right[row, column]], source, atol=1e-5
            )


def test_maps_move_by_as_much_as_they_say():
    rng, size = np.random.default_rng(0), (9, 9)
    turned = Affine(rotation=20).draw(rng, 500, size)
    angles = np.degrees(np.arctan2(turned[:, 0, 1], turned[:, 0, 0]))
    assert 19 < np.abs(angles).max() <= 20.001
    np.testing.assert_allclose(np.linalg.det(turned[:, :, :2]), 1, atol=1e-5)
    shifted = Affine(shift=2.5).draw(rng, 500, size)
    assert 2.4 < np.abs(shifted[:, :, 2]).max() <= 2.5


def covariance(length, smoothness):
    """Of white noise smoothed by a Gaussian, with zeros beyond the border, scaled to a mean variance of 1."""
    gaussian = [[math.exp(-(((i - j) / smoothness) ** 2) / 2) for j in range(length)] for i in range(length)]
    product = np.array(gaussian) @ np.array(gaussian).T
    return product / np.trace(product) * length


@given(length=st.integers(1, 40), smoothness=st.floats(0.5, 20))
def test_waves_have_the_covariance_of_smoothed_noise(length, smoothness):
    found = waves(length, smoothness).astype(float)
    np.testing.assert_allclose(found @ found.T, covariance(length, smoothness), atol=NEGLIGIBLE)


def test_a_gaussian_of_another_width_has_another_covariance():
    found = waves(28, 4.0).astype(float)
    assert np.abs(found @ found.T - covariance(28, 4.4)).max() > 5 * NEGLIGIBLE


def test_elastic_fields_are_as_strong_and_smooth_as_they_say():
    kind, size = Elastic(1.5, 3), (20, 24)
    field = kind.field(kind.draw(np.random.default_rng(0), 4000, size), size)
    assert field.shape == (4000, 2, 20, 24) and field.dtype == np.float32
    assert math.sqrt(np.mean(field.astype(float) ** 2)) == pytest.approx(1.5, rel=0.02)
    # Down and to the right, and each image, by themselves.
    down, right = field[:, 0, 10, 12], field[:, 1, 10, 12]
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.06
    assert abs(np.corrcoef(down[1:], down[:-1])[0, 1]) < 0.06
    beside = np.corrcoef(down, field[:, 0, 10, 15])[0, 1]
    wanted = covariance(24, 3)
    assert beside == pytest.approx(wanted[12, 15] / math.sqrt(wanted[12, 12] * wanted[15, 15]), abs=0.05)


@given(seed=seeds, shape=shapes, cut=st.integers(0, 5))
def test_a_batch_is_moved_the_same_in_parts(seed, shape, cut):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, *shape)).astype(np.uint8)
    moves = Moves.draw([Affine(20, 0.1, 0.1, 1), Elastic(1, 2)], rng, 5, shape[:2])
    before = images.copy()
    parts = [moves.apply(images[part], part) for part in (slice(0, cut), slice(cut, 5))]
    np.testing.assert_array_equal(np.concatenate(parts), moves.apply(images))
    np.testing.assert_array_equal(images, before)


def test_kinds_add_up():
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 8, 1)).astype(np.uint8)
    kinds = [Affine(20, 0.2, 0.2, 2), Elastic(1.5, 2)]
    moves = Moves.draw(kinds, np.random.default_rng(1), 6, (9, 8))
    fields = [kind.field(drawn, (9, 8)) for kind, drawn in zip(kinds, moves.drawn)]
    np.testing.assert_array_equal(moves.apply(images), sampled(images, fields[0] + fields[1], paper(images)))
    one = Moves(kinds[:1], moves.drawn[:1]).apply(images)
    assert (moves.apply(images) != one).any()


@pytest.mark.parametrize("kind", [Affine(), Elastic(strength=0)])
def test_unmoved_images_stay_the_same(kind):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 9, 3)).astype(np.uint8)
    moves = Moves.draw([kind], np.random.default_rng(0), 4, (8, 9))
    np.testing.assert_array_equal(moves.apply(images), images)


@pytest.mark.parametrize(
    ("kind", "values", "name"),
    [
        (Affine, {"shift": -1}, "shift"), (Affine, {"rotation": math.nan}, "rotation"),
        (Elastic, {"strength": math.inf}, "strength"), (Elastic, {"smoothness": 0}, "smoothness"),
    ],
)  # fmt: skip
def test_movements_that_make_no_sense(kind, values, name):
    with pytest.raises(ValueError, match=f"^{name} is a number from"):
        kind(**values)
