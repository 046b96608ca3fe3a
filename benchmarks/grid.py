"""The small nets that the estimator is calibrated on: every kind of stage, folded in many ways.

Weights are drawn; shapes, formats and lanes are laid down here. No shipped net is among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hdl.folding.net import Plan
from hdl.folding.stage import SERIAL, WIRED, StagePlan
from model.arithmetic.qformat import QFormat
from model.arithmetic.rescale import matched
from model.arithmetic.rules import FloatProduct, TwoRoundings
from model.golden.qnetwork import QNetwork
from model.layers import (
    ConvSpec,
    DenseSpec,
    GreySpec,
    PoolSpec,
    ReduceSpec,
    RequantSpec,
    RescaleSpec,
    ResidualSpec,
    TableSpec,
)

ONE = StagePlan()
SMALL = (
    "conv 5x5x1 of 4 by 4 bits, 5x2",
    "wired 3x3x1 of 4 by 2 bits",
    "max pool 2x2, 8 lanes",
    "two convolutions",
)
"""Nets of the grid that are counted on a board with an iCE40 as well."""


@dataclass(frozen=True)
class Point:
    """A net and a plan of it.

    Attributes
    ----------
    name : str
        What it is there for.
    net : QNetwork
    plan : Plan
    board : bool
        Whether it is counted with the shell of a board round it.
    """

    name: str
    net: QNetwork
    plan: Plan
    board: bool = False


class Builder:
    """A net, layer by layer, with drawn weights.

    Parameters
    ----------
    shape : tuple of int
        Of an image.
    width : int
        Bits of a pixel.
    """

    def __init__(self, shape: tuple[int, int, int], width: int = 8):
        self.rng = np.random.default_rng((*shape, width))
        self.shape, self.src = shape, QFormat(width, width, False)
        self.first, self.specs, self.stages = self.src, [], {}

    def add(self, spec, stage: StagePlan | None = None) -> Builder:
        """A layer, and how it is folded if it has weights."""
        self.specs.append(spec)
        self.shape, self.src = spec.out_shape, spec.dst
        if stage is not None:
            self.stages[spec.name] = stage
        return self

    def fields(self, kind: str) -> dict:
        """What all layers are told."""
        return {"name": f"{kind}{len(self.specs)}", "in_shape": self.shape, "src": self.src}

    def weights(self, bits: int, shape) -> tuple[QFormat, np.ndarray]:
        """Weights of so many bits; of 2 bits -1, 0 and 1, of 1 bit -1 and 1."""
        fmt = QFormat(max(bits, 2), max(bits, 2) - 1)
        if bits == 1:
            return fmt, 2 * self.rng.integers(0, 2, shape) - 1
        values = self.rng.normal(0, 2.0 ** (bits - 1) / 2.5, shape).round().astype(int)
        return fmt, values.clip(-fmt.max, fmt.max)

    def weighted(self, make, kind, shape, bits, to, stage, signed, spread, by_pixel=None, **more) -> Builder:
        """A layer with weights, whose sums are rounded to `to` bits, or kept whole if that is None."""
        fmt, weights = self.weights(bits, shape)
        fields = self.fields(kind) | more | {"weights": weights, "weight_format": fmt}
        fields["bias"] = self.rng.integers(-200, 200, by_pixel or shape[-1])
        if spread:
            fields["shifts"] = self.rng.integers(0, spread, shape[-1])
        sums = make(**fields, dst=self.src).accumulator
        kept = QFormat(to, sums.frac - (sums.width - to - 1), signed) if to else sums
        return self.add(make(**fields, dst=kept), stage)

    def conv(self, kernel, kernels, stage=ONE, *, bits=8, to=8, signed=False, spread=0, groups=1, **more):
        """A convolution."""
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = (*kernel, self.shape[2] // groups, kernels)
        return self.weighted(ConvSpec, "conv", shape, bits, to, stage, signed, spread, groups=groups, **more)

    def dense(self, outputs, stage=ONE, *, bits=8, to=None, signed=True, spread=0) -> Builder:
        """A dense layer."""
        shape = (int(np.prod(self.shape)), outputs)
        return self.weighted(DenseSpec, "dense", shape, bits, to, stage, signed, spread)

    def pool(self, mode="max", kernel=(2, 2), stride=(2, 2), *, whole=False) -> Builder:
        """A pooling; its sums are kept `whole` for a rescale that makes averages of them."""
        fields = self.fields("pool") | {"mode": mode, "kernel": kernel, "stride": stride}
        spec = PoolSpec(**fields, dst=self.src)
        return self.add(replace(spec, dst=spec.sum_format) if whole else spec)

    def table(self, to: int) -> Builder:
        """A table of drawn values."""
        dst = QFormat(to, to - 1, True)
        table = self.rng.integers(dst.min, dst.max + 1, 1 << self.src.width)
        return self.add(TableSpec(**self.fields("table"), dst=dst, function="drawn", table=table))

    def requant(self, to: int) -> Builder:
        """Values of fewer bits."""
        dst = QFormat(to, self.src.frac - 2, self.src.signed)
        return self.add(RequantSpec(**self.fields("requant"), dst=dst))

    def rescale(self, bits: int, to: int = 8, apart: int = 1) -> Builder:
        """Whole sums at drawn scales as integers of `to` bits.

        Parameters
        ----------
        bits : int
            Of the widest multiplier.
        to : int
        apart : int
            Shifts that channels may have.
        """
        channels, dst = self.shape[2], QFormat(to, 0)
        multipliers = self.rng.integers(1 << bits >> 1, 1 << bits, channels)
        offsets = np.sort(self.rng.integers(-(1 << bits), 1 << bits, (2, channels)), axis=0)
        shifts = self.src.width + bits - to + self.rng.integers(0, apart, channels)
        numbers = {"multipliers": multipliers, "offsets": offsets, "shifts": shifts}
        fields = self.fields("rescale") | numbers | {"low": dst.min, "high": dst.max}
        return self.add(RescaleSpec(**fields, dst=dst))

    def rounded(self, to: int = 8, *, signed: bool = True, halves: bool = False) -> Builder:
        """What another framework rounds exact sums to, at a drawn scale for each channel.

        TFLite's two roundings; with `halves` a float32 product, to the even of two as near integers, at
        powers of two, where that matters.
        """
        spec, channels = self.specs[-1], self.shape[2]
        sums = getattr(spec, "sum_ranges", None)
        low, high = sums or (np.full(channels, end) for end in (self.src.min, self.src.max))
        dst = QFormat(to, 0, signed)
        scales = (dst.max - dst.min) / np.maximum(high, -low) * self.rng.uniform(0.3, 2.0, channels)
        even = FloatProduct(2.0 ** np.floor(np.log2(scales)), dst.min)
        form = matched(even if halves else TwoRoundings.of(scales, dst.min), low, high, dst.min, dst.max)
        constants = {name: getattr(form, name) for name in ("multipliers", "offsets", "shifts", "odd")}
        fields = self.fields("rescale") | constants | {"low": form.low, "high": form.high}
        return self.add(RescaleSpec(**fields, dst=dst))

    def grey(self, mode: str) -> Builder:
        """One channel in place of three."""
        return self.add(GreySpec(**self.fields("grey"), dst=self.src, mode=mode))

    def reduce(self, kernel=(2, 2)) -> Builder:
        """A smaller image."""
        fields = self.fields("reduce") | {"weights": self.rng.integers(1, 9, kernel), "divisor": 11}
        return self.add(ReduceSpec(**fields, dst=self.src, stride=kernel))

    def residual(self, stage: StagePlan, bits: int = 8) -> Builder:
        """A 3 x 3 convolution beside nothing."""
        shape, src = self.shape, self.src
        self.conv(3, shape[2], stage, bits=bits, padding=((1, 1), (1, 1)))
        body = (self.specs.pop(),)
        self.shape, self.src = shape, src
        fields = {"name": "residual", "in_shape": shape, "src": src, "body": body, "shortcut": ()}
        wide = ResidualSpec(**fields, dst=self.src).sum_format
        return self.add(ResidualSpec(**fields, dst=QFormat(8, wide.frac - wide.width + 8, wide.signed)))

    def net(self, *, classifies: bool = True) -> QNetwork:
        """The net, whose answer is one of four, or whatever values are there."""
        if classifies and int(np.prod(self.shape)) != 4:
            self.dense(4)
        return QNetwork("grid", self.first, tuple(self.specs), classifies=classifies)

    def point(
        self, name: str, *, loadable: bool = False, board: bool = False, classifies: bool = True
    ) -> Point:
        """The net and its plan."""
        net = self.net(classifies=classifies)
        plan = Plan(self.stages)
        return Point(name, net, plan.made_loadable(net) if loadable else plan, board)


def grid() -> list[Point]:
    """All of them."""
    return [*folded(), *unmultiplied(), *between(), *written(), *several()]


def rescaled() -> Iterator[Point]:
    """Sums at any scale: each lane's product, offset and shift, and the constants of channels."""
    for bits, outputs, apart in ((16, 8, 1), (20, 1, 3), (20, 4, 3), (20, 8, 1), (23, 8, 4), (23, 2, 1)):
        net = Builder((8, 8, 4), 8).conv(1, 8, StagePlan(4, outputs), to=None).rescale(bits, apart=apart)
        yield net.point(f"rescale by {bits} bits, {outputs} lanes, {apart} shifts")
    net = Builder((6, 6, 2), 8).conv(3, 16, StagePlan(18, 4), to=None).rescale(19, apart=2)
    net = net.conv(1, 8, StagePlan(8, 4), to=None).rescale(21, apart=4)
    yield net.point("two rescales of 4 lanes")


def small() -> list[Point]:
    """Some of them, each with a board round it."""
    return [replace(point, board=True) for point in grid() if point.name in SMALL]


def folded() -> Iterator[Point]:
    """Layers with multipliers."""
    for width, bits in ((8, 8), (4, 4), (8, 3)):
        for inputs, outputs in ((1, 1), (5, 2), (25, 1), (25, 4)):
            net = Builder((12, 12, 1), width).conv(5, 4, StagePlan(inputs, outputs), bits=bits, to=width)
            yield net.point(f"conv 5x5x1 of {width} by {bits} bits, {inputs}x{outputs}")
    for inputs, outputs in ((1, 1), (4, 4), (8, 2), (24, 4), (72, 1)):
        net = Builder((10, 10, 8), 8).conv(3, 8, StagePlan(inputs, outputs))
        yield net.point(f"conv 3x3x8, {inputs}x{outputs}")
    for outputs in (1, 4):
        net = Builder((10, 10, 8), 4).conv(3, 8, StagePlan(24, outputs), bits=2, to=4, spread=4)
        yield net.point(f"conv 3x3x8 of -1, 0 and 1, 24x{outputs}")
        net = Builder((10, 10, 8), 4).conv(3, 8, StagePlan(24, outputs), bits=1, to=4, spread=4)
        yield net.point(f"conv 3x3x8 of -1 and 1, 24x{outputs}")
    for lanes in (2, 4):
        stage = StagePlan(9, 4, pixel_lanes=lanes)
        net = Builder((8, 8, 1), 8).conv(3, 4, stage, padding=((1, 1), (1, 1)))
        yield net.point(f"conv 3x3x1, {lanes} pixels")
    for inputs, outputs in ((1, 1), (4, 8), (16, 4)):
        net = Builder((4, 4, 16), 8).dense(32, StagePlan(inputs, outputs), to=8)
        yield net.point(f"dense 256x32, {inputs}x{outputs}")
    net = Builder((12, 12, 3), 8).conv(
        3, 8, StagePlan(27, 2), spread=5, stride=(2, 2), padding=((1, 1), (1, 1))
    )
    yield net.point("conv 3x3x3, stride 2, padded, shifts")
    net = Builder((16, 16, 1), 8).conv((3, 5), 4, StagePlan(15, 2), dilation=(2, 2), padding=((2, 2), (4, 4)))
    yield net.point("conv 3x5x1, dilated, padded")
    net = Builder((10, 10, 8), 8).conv(3, 8, StagePlan(9, 1), groups=8, signed=True)
    yield net.point("conv 3x3, a kernel a channel")
    net = Builder((8, 8, 4), 8).conv(1, 16, StagePlan(4, 4), signed=True, by_pixel=(8, 8, 16))
    yield net.point("conv 1x1, bias by pixel")


def unmultiplied() -> Iterator[Point]:
    """Layers without multipliers."""
    for channels, kernels, width, bits in (
        (1, 8, 8, 8),
        (1, 8, 8, 4),
        (1, 8, 4, 2),
        (4, 8, 8, 3),
        (4, 8, 4, 4),
    ):
        stage = StagePlan(9 * channels, kernels, weights=WIRED)
        net = Builder((10, 10, channels), width).conv(3, kernels, stage, bits=bits, to=width)
        yield net.point(f"wired 3x3x{channels} of {width} by {bits} bits")
    for digits in (2, 4):
        stage = StagePlan(36, 8, weights=WIRED, digits=digits)
        net = Builder((10, 10, 4), 8).conv(3, 8, stage, bits=4)
        yield net.point(f"wired 3x3x4 in {digits} digits")
    for lanes in (2, 4):
        stage = StagePlan(9, 6, weights=WIRED, pixel_lanes=lanes)
        net = Builder((8, 8, 1), 4).conv(3, 6, stage, bits=4, to=4, padding=((1, 1), (1, 1)))
        yield net.point(f"wired 3x3x1, {lanes} pixels")
    for outputs in (1, 2):
        stage = StagePlan(72, outputs, weights=SERIAL)
        net = Builder((8, 8, 8), 4).conv(3, 8, stage, bits=4, to=4)
        yield net.point(f"serial 3x3x8, {outputs} lanes")
    net = Builder((10, 10, 3), 8).conv(5, 8, StagePlan(75, 1, weights=SERIAL))
    yield net.point("serial 5x5x3")
    net = Builder((4, 4, 4), 6).dense(12, StagePlan(64, 1, weights=SERIAL), to=6)
    yield net.point("serial dense 64x12")


def between() -> Iterator[Point]:
    """Layers without weights, behind a convolution of one product."""

    def start(width: int = 8, outputs: int = 1, kernels: int = 8) -> Builder:
        return Builder((10, 10, 2), width).conv(1, kernels, StagePlan(2, outputs), bits=4, to=width)

    for mode in ("max", "avg"):
        for outputs in (1, 8):
            yield start(outputs=outputs).pool(mode).point(f"{mode} pool 2x2, {outputs} lanes")
    yield start().pool("max", (3, 3), (1, 1)).point("max pool 3x3, stride 1")
    yield start(4, 8).pool("sum").point("sum pool 2x2 of 4 bits")
    yield start(8, 4).table(8).point("table 8 to 8 bits, 4 lanes")
    yield start(5, 8).table(6).point("table 5 to 6 bits, 8 lanes")
    yield start(8, 8).requant(4).point("requantisation, 8 lanes")
    yield start(8, 2).residual(StagePlan(8, 2)).point("residual, 8x2")
    yield start(8, 8).residual(StagePlan(72, 1)).point("residual, 72x1")
    for mode in ("average", "lightness", "luminosity"):
        yield (
            Builder((12, 12, 3), 8)
            .grey(mode)
            .reduce()
            .conv(3, 2, StagePlan(9, 1))
            .point(f"grey by {mode}, reduced")
        )


def written() -> Iterator[Point]:
    """Layers whose weights are written at run time."""
    for inputs, outputs in ((5, 1), (25, 4)):
        net = Builder((12, 12, 1), 8).conv(5, 4, StagePlan(inputs, outputs), spread=3)
        yield net.point(f"loadable conv 5x5x1, {inputs}x{outputs}", loadable=True)
    net = Builder((10, 10, 8), 4).conv(3, 8, StagePlan(24, 2), bits=4, to=4).pool()
    yield net.point("loadable conv 3x3x8, 24x2", loadable=True)
    net = Builder((6, 6, 4), 8).conv(3, 8, StagePlan(4, 2)).table(6).dense(8, StagePlan(8, 4), to=8)
    yield net.point("loadable conv, table and dense", loadable=True)


def several() -> Iterator[Point]:
    """Nets of several layers, of which some share multipliers, and some have a board round them."""
    for inputs, outputs in ((1, 1), (9, 2)):
        first, second = (StagePlan(count, outputs, "a") for count in (inputs, inputs))
        net = (
            Builder((14, 14, 1), 8)
            .conv(3, 4, first)
            .pool()
            .conv(3, 8, second)
            .dense(10, StagePlan(1, 1, "a"), to=8)
        )
        yield net.point(f"three layers share {inputs}x{outputs}")
    for board in (False, True):
        net = Builder((16, 16, 1), 8).conv(3, 6, StagePlan(9, 3)).pool().conv(3, 8, StagePlan(18, 4))
        yield net.pool().point(f"two convolutions{' on a board' * board}", board=board)
        net = Builder((12, 12, 3), 4).conv(3, 8, StagePlan(27, 8, weights=WIRED), bits=2, to=4).pool()
        yield net.point(f"wired and pooled{' on a board' * board}", board=board)
    net = Builder((12, 12, 1), 8).conv(5, 4, StagePlan(5, 1))
    yield net.point("loadable on a board", loadable=True, board=True)
