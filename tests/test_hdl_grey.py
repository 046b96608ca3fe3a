"""Grey stages against the golden model and exact fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import stream_sim
from hdl.devices.device import PORTABLE
from hdl.parts.buffer import Buffer
from hdl.parts.chain import Chain
from hdl.stages.grey import grey_parts
from model.arithmetic.qformat import QFormat
from model.layers import GreySpec
from model.layers.grey import MODES
from test_model_grey import pixels, spec_of


def check(spec, images, lanes=3, stalls=(0.1, 0.2), seed=0, built=None):
    """Compare the stage (of the spec `built`, if there is another) with fractions; the outputs' cycles."""
    expected = [[naive.grey(pixel, spec.mode)] for pixel in images.reshape(-1, 3).tolist()]
    chain = Chain([("grey", part) for part in grey_parts(built or spec, lanes, PORTABLE)], PORTABLE)
    beats = images.reshape(-1, lanes).tolist()
    got, cycles = stream_sim.run(chain, beats, len(expected), stalls, seed, longest=6, limit=1000)
    assert stream_sim.values(got) == expected
    np.testing.assert_array_equal(spec.run(images).reshape(-1, 1), expected)
    return cycles


def sample(count: int, seed: int = 0) -> np.ndarray:
    """An image of some of the pixels that the model's test takes all of."""
    rng = np.random.default_rng(seed)
    found = rng.permutation(pixels())[: count - 4].astype(np.int64)
    extremes = [[0, 0, 0], [255, 255, 255], [0, 0, 255], [255, 0, 0]]
    return np.concatenate([extremes, found])[None, None]


@pytest.mark.parametrize("mode", MODES)
def test_pixels(mode):
    images = sample(1000)
    check(spec_of(mode, images.shape[1:]), images)


@pytest.mark.parametrize("mode", MODES)
def test_rate_and_latency_are_the_documented_ones(mode):
    images = sample(64)
    spec = spec_of(mode, images.shape[1:])
    cycles = check(spec, images, stalls=0.0)
    assert np.diff(cycles).tolist() == [1] * 63
    documented = {"average": 2 + 4, "lightness": 3 + 2, "luminosity": 3 + 4}[mode]
    # There is room from the second cycle; the FIFO takes two.
    assert cycles[0] == 1 + documented + Buffer.latency


@given(
    mode=st.sampled_from(MODES),
    fmt=st.builds(QFormat, st.integers(2, 9), st.integers(-2, 8), st.booleans()),
    lanes=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
@settings(derandomize=True, deadline=None, max_examples=25)
def test_any_format(mode, fmt, lanes, seed):
    rng = np.random.default_rng(seed)
    spec = GreySpec(name="grey1", in_shape=(3, 4, 3), src=fmt, dst=fmt, mode=mode)
    images = rng.integers(fmt.min, fmt.max + 1, (3, 3, 4, 3))
    images[0] = rng.choice([fmt.min, fmt.max], (3, 4, 3))
    check(spec, images, lanes, seed=seed)


@pytest.mark.parametrize(("mode", "other"), [MODES[:2], MODES[1:], MODES[::-2]])
def test_the_stage_of_another_mode_is_seen(mode, other):
    images = sample(300)
    spec = spec_of(mode, images.shape[1:])
    with pytest.raises(AssertionError):
        check(spec, images, built=spec_of(other, spec.in_shape))


def test_mutants_fail(monkeypatch):
    """Comparisons that choose the same side always."""
    images = sample(300)
    monkeypatch.setattr("hdl.stages.grey.larger", lambda a, b: a)
    with pytest.raises(AssertionError):
        check(spec_of("lightness", images.shape[1:]), images)
