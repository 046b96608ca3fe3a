"""Rescales against their definition: every input at small widths, products in parts, parts of a pixel."""

import numpy as np
import pytest
from amaranth.hdl import Module, Shape, Signal
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_sim
from hdl.devices.device import PORTABLE, Device
from hdl.parts.chain import Chain
from hdl.products import wide
from hdl.stages import rescale
from hdl.stages.rescale import rescale_parts
from model.arithmetic.qformat import QFormat
from model.layers import RescaleSpec
from random_nets import NetDrawer

NARROW = Device(multiplier_width=4)
"""Its multipliers are so narrow that small products have parts."""
NONE = Device(multiplier_width=0)


def defined(spec: RescaleSpec, pixel: list[int]) -> list[int]:
    """What one pixel becomes, in Python's integers."""
    result = []
    for channel, a in enumerate(pixel):
        steps = []
        for offsets in (spec.offsets, spec.odd):
            if offsets is not None:
                b = int(offsets[0 if a < 0 else 1, channel])
                steps.append((int(spec.multipliers[channel]) * a + b) >> int(spec.shifts[channel]))
        if len(steps) == 2:
            even, odd = (
                max(y for y in (step - 1, step) if y % 2 == parity) for parity, step in enumerate(steps)
            )
            steps = [max(even, odd)]
        result.append(min(max(steps[0], spec.low), spec.high))
    return result


def check(spec: RescaleSpec, pixels: list[list[int]], lanes: int, device=PORTABLE, stalls=(0.1, 0.2)):
    """Pixels through the hardware in beats of `lanes` values."""
    parts = Chain([("scale", part) for part in rescale_parts(spec, lanes, device)], device)
    expected = np.array([defined(spec, pixel) for pixel in pixels]).reshape(-1, lanes).tolist()
    beats = np.array(pixels).reshape(-1, lanes).tolist()
    got, _ = stream_sim.run(parts, beats, len(expected), stalls, longest=6)
    assert stream_sim.values(got) == expected


def small(signed: bool, odd=None) -> RescaleSpec:
    """Four channels with constants of all kinds: none, a power of two, by sign, odd factors."""
    src = QFormat(6, 0, signed)
    return RescaleSpec(
        name="scale", in_shape=(1, 1, 4), src=src, dst=QFormat(4, 0), multipliers=np.array([0, 1, 13, 27]),
        offsets=np.array([[5, 0, -3, -9], [5, 0, 40, 30]]), shifts=np.array([0, 2, 6, 6]), low=-7, high=5,
        odd=odd,
    )  # fmt: skip


def every(spec: RescaleSpec) -> list[list[int]]:
    """Each value of each channel."""
    values = np.arange(spec.src.min, spec.src.max + 1)
    return [[int(value)] * spec.in_shape[2] for value in values]


@pytest.mark.parametrize("device", [PORTABLE, NARROW, NONE], ids=["portable", "narrow", "none"])
@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("signed", [False, True])
def test_every_value(signed, lanes, device):
    spec = small(signed)
    check(spec, every(spec), lanes, device)


@pytest.mark.parametrize("lanes", [2, 4])
def test_halves_to_even_numbers(lanes):
    spec = small(True, np.array([[5, 1, -4, -9], [5, 1, 39, 31]]))
    check(spec, every(spec), lanes, NARROW)
    plain = small(True)
    assert [defined(spec, pixel) for pixel in every(spec)] != [
        defined(plain, pixel) for pixel in every(plain)
    ]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_drawn(seed):
    drawer = NetDrawer(seed)
    shape = 1, drawer.integer(1, 4), drawer.integer(1, 4)
    spec = drawer.rescale("scale", shape, drawer.format(2, 33))
    pixels = drawer.values(spec.src, (4, *shape))
    pixels[0], pixels[1] = spec.src.min, spec.src.max
    lanes = [lanes for lanes in range(1, shape[2] + 1) if shape[2] % lanes == 0]
    lanes += [shape[2] * pixels for pixels in range(2, shape[1] + 1) if shape[1] % pixels == 0]
    lanes = lanes[drawer.integer(0, len(lanes) - 1)]
    device = (PORTABLE, NARROW, NONE)[drawer.integer(0, 2)]
    check(spec, pixels.reshape(-1, shape[2]).tolist(), lanes, device, (0.2, 0.2) if seed % 2 else (0.0, 0.0))


@pytest.mark.parametrize("width", [0, 2, 3, 4, 9])
@pytest.mark.parametrize("signs", [(False, False), (True, False), (False, True), (True, True)])
def test_products_in_parts(width, signs):
    """Every product of 5 by 4 bits, and no part is wider than the multiplier."""
    device = Device(multiplier_width=width)
    a, b = Signal(Shape(5, signs[0])), Signal(Shape(4, signs[1]))
    m = Module()
    parts = wide.wide_product(m, a, b, device, "product")
    total = Signal(Shape(24, True))
    m.d.comb += total.eq(sum(parts))
    cuts = [wide.cut(value.shape(), width) for value in (a, b)]
    assert len(parts) == len(cuts[0]) * len(cuts[1])
    for value, cut in zip((a, b), cuts):
        assert sum(shape.width for shape in cut) == len(value)
        assert not width or all(shape.width + (not shape.signed) <= width for shape in cut)
    if width:
        assert wide.multipliers(device, a.shape(), b.shape()) == len(parts)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    pairs = [
        (x, y)
        for x in range(-16 * signs[0], 32 - 16 * signs[0])
        for y in range(-8 * signs[1], 16 - 8 * signs[1])
    ]

    async def drive(ctx):
        found = []
        for x, y in [*pairs, *[(0, 0)] * device.product_latency]:
            ctx.set(a, x)
            ctx.set(b, y)
            await ctx.tick()
            found.append(ctx.get(total))
        late = device.product_latency - 1
        assert found[late : late + len(pairs)] == [x * y for x, y in pairs]

    simulator.add_testbench(drive)
    simulator.run()


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("clamped", lambda m, value, low, high, name: value),
        ("wide_product", lambda m, a, b, device, name: wide.wide_product(m, a, b, device, name)[:1]),
    ],
)
def test_mutants_fail(name, mutant, monkeypatch):
    monkeypatch.setattr(rescale, name, mutant)
    spec = small(True)
    with pytest.raises(AssertionError):
        check(spec, every(spec), 4, NARROW)
