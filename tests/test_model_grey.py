"""Grey levels against exact fractions."""

import itertools

import numpy as np
import pytest

import naive
from model.arithmetic.qformat import PIXELS
from model.layers import Grey, GreySpec
from model.layers.grey import MODES
from model.net.network import Network

LEVELS = (0, 1, 2, 3, 4, 13, 14, 21, 49, 50, 71, 72, 73, 99, 100, 127, 128, 129, 199, 200, 253, 254, 255)


def pixels() -> np.ndarray:
    """Every triple of some levels, pixels whose fractions are whole or nearly so, and random ones."""
    corners = np.array(list(itertools.product(LEVELS, repeat=3)))
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (400_000, 3))
    hundredths = drawn @ [21, 72, 7] % 100
    close = drawn[np.isin(hundredths, (0, 1, 99))][:4000]
    return np.concatenate([corners, close, drawn[:4000]]).astype(np.uint8)


def spec_of(mode, shape):
    return GreySpec(name="grey1", in_shape=shape, src=PIXELS, dst=PIXELS, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_grey_is_the_exact_fraction_rounded_down(mode):
    image = pixels()[None, None]
    spec = spec_of(mode, image.shape[1:])
    expected = [naive.grey(pixel, mode) for pixel in image[0, 0].tolist()]
    result = spec.run(image)
    assert result.dtype == np.int64 and result.shape == (1, 1, len(expected), 1)
    np.testing.assert_array_equal(result.ravel(), expected)
    network = Network([Grey(mode)], image.shape[1:], np.random.default_rng(0))
    np.testing.assert_array_equal(network.trace(image)[0].ravel() * 256, expected)


@pytest.mark.parametrize("mode", MODES)
def test_grey_stays_grey(mode):
    levels = np.arange(256)
    image = np.repeat(levels, 3).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(spec_of(mode, (16, 16, 3)).run(image).ravel(), levels)


def test_luminosity_sees_blue():
    """The slide's 0.07 r would not."""
    blue = np.array([0, 0, 255]).reshape(1, 1, 1, 3)
    assert spec_of("luminosity", (1, 1, 3)).run(blue).item() == 17  # 0.07 * 255 = 17.85


def test_mutants_fail():
    """The check of the fractions notices other weights and roundings."""
    image = pixels()[None, None]
    expected = np.array([naive.grey(pixel, "luminosity") for pixel in image[0, 0].tolist()])
    red, green, blue = image[0, 0].astype(int).T
    mutants = [
        (21 * red + 72 * green + 7 * red) // 100,
        (21 * red + 71 * green + 8 * blue) // 100,
        (21 * red + 72 * green + 7 * blue + 50) // 100,
        (54 * red + 184 * green + 18 * blue) >> 8,
        (13762 * red + 47185 * green + 4587 * blue) >> 16,
    ]
    assert (expected == (21 * red + 72 * green + 7 * blue) // 100).all()
    assert not any((mutant == expected).all() for mutant in mutants)


def test_grey_refuses():
    with pytest.raises(ValueError, match="average, lightness, luminosity, not 'luma'"):
        Grey("luma")
    with pytest.raises(ValueError, match=r"layer 'grey1': grey is made of 3 channels .* not 1"):
        Network([Grey()], (4, 4, 1), np.random.default_rng(0))
