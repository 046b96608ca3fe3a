"""Pooling of windows side by side, whose values are taken up as they come, against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE
from hdl.devices.ice40 import ULTRAPLUS
from hdl.parts.comparing import smaller
from hdl.parts.pipe import Elastic
from hdl.stages import collect as module
from hdl.stages.collect import CollectPipe, Tiles, collects
from model.arithmetic.qformat import QFormat
from model.layers import PoolSpec


def expected(spec: PoolSpec, image: np.ndarray) -> list[list[int]]:
    """Maxima or exact sums of all windows, channels last."""
    (tall, wide), (down, right, _) = spec.kernel, spec.out_shape
    take = max if spec.mode == "max" else sum
    return [
        [
            take(int(value) for value in image[y * tall :, x * wide :][:tall, :wide, channel].ravel())
            for channel in range(spec.in_shape[2])
        ]
        for y in range(down)
        for x in range(right)
    ]


def check(spec, lanes, stalls=0.2, seed=0, make=Tiles, device=PORTABLE, frames=3):
    images = np.random.default_rng(seed).integers(spec.src.min, spec.src.max + 1, (frames, *spec.in_shape))
    wanted = np.array([expected(spec, image) for image in images]).reshape(-1, lanes).tolist()
    tiles = make(spec, lanes)
    dut = Elastic([CollectPipe(tiles, device)], device, tiles)
    got, cycles = stream_sim.run(
        dut, images.reshape(-1, lanes).tolist(), len(wanted), stalls, seed, longest=6
    )
    assert stream_sim.values(got) == wanted
    return cycles


S4 = QFormat(4, 0)


def pool(shape=(4, 6, 4), kernel=(2, 2), stride=(2, 2), mode="max", fmt=S4, **fields):
    return PoolSpec(
        name="pool", in_shape=shape, src=fmt, dst=fmt, mode=mode, kernel=kernel, stride=stride, **fields
    )


@st.composite
def cases(draw):
    lanes, groups = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)).filter(lambda k: k != (1, 1)))
    shape = tuple(draw(st.integers(size, 7)) for size in kernel)
    fmt = QFormat(draw(st.integers(2, 6)), 0, draw(st.booleans()))
    mode = draw(st.sampled_from(("max", "sum", "avg")))
    return pool((*shape, lanes * groups), kernel, kernel, mode, fmt), lanes


@settings(derandomize=True, deadline=None, max_examples=40)
@given(cases(), st.integers(0, 99), st.sampled_from([PORTABLE, ULTRAPLUS]))
def test_any_windows(case, seed, device):
    spec, lanes = case
    assert collects(spec, lanes)
    check(spec, lanes, seed=seed, device=device)


def test_a_beat_a_cycle():
    cycles = check(pool(), 2, stalls=0.0)
    beats = 4 * 6 * 2
    assert cycles[-1] - cycles[-1 - len(cycles) // 3] == beats


def test_windows_that_are_not_collected():
    assert collects(pool(), 2) and not collects(pool(), 4) and not collects(pool(), 3)
    assert not collects(pool(stride=(1, 2)), 2)
    assert not collects(pool(padding=((1, 0), (0, 0))), 2)
    assert not collects(pool(kernel=(1, 1), stride=(1, 1)), 2)


class Late(Tiles):
    """Reads each word a beat after the one in which it was written, which a pixel of one beat would need."""

    def __init__(self, spec, lanes):
        super().__init__(spec, lanes)
        self.groups = 1


def test_mutants_fail(monkeypatch):
    check(pool(), 2)
    with pytest.raises(AssertionError):
        check(pool(), 2, make=Late)
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(module, "larger", smaller)
        check(pool(), 2)
