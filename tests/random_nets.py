"""Nets of random shapes, formats and integers, for tests that compare hardware with the golden model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hdl.folding.net import Plan, weighted
from hdl.folding.stage import WIRED, StagePlan
from hdl.planning.search import divisors
from model.arithmetic.geometry import Geometry
from model.arithmetic.qformat import QFormat
from model.arithmetic.rescale import matched
from model.arithmetic.rules import ROUNDINGS, FloatProduct, Mean, TwoRoundings
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

TABLE_BITS = 12
"""Bits of a table's input, at most."""
INNER = "conv", "general", "pool", "table", "requant"
"""Kinds of the layers before the last."""


class NetDrawer:
    """Draws quantised nets from a seeded generator.

    Every accumulator is requantised so that its values spread over the output format and saturate now
    and then: rounding and clamping both get their share.
    """

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        # Of its own, so that it changes no shape or format of a net that tests know by its seed.
        self.scales = np.random.default_rng((seed, 1))
        self.sharing = np.random.default_rng((seed, 2))
        # What another framework's rule makes of the sums that a rescale of this name takes, (C, N) to (C, N).
        self.rules: dict[str, Callable[[np.ndarray], np.ndarray]] = {}

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def format(self, low: int = 1, high: int = 9, signed: bool | None = None) -> QFormat:
        signed = bool(self.rng.integers(2)) if signed is None else signed
        return QFormat(self.integer(low + signed, high), self.integer(-1, 9), signed)

    def values(self, fmt: QFormat, shape) -> np.ndarray:
        return self.rng.integers(fmt.min, fmt.max + 1, shape)

    def geometry(self, shape, largest: int = 4) -> Geometry:
        kernel = tuple(self.integer(1, min(largest, size)) for size in shape[:2])
        padding = tuple((self.integer(0, k - 1), self.integer(0, k - 1)) for k in kernel)
        return Geometry(kernel, (self.integer(1, 3), self.integer(1, 3)), padding)

    def destination(self, accumulator: QFormat, signed: bool | None = None) -> QFormat:
        fmt = self.format(2, 9, signed)
        spread = accumulator.width - fmt.width - self.integer(0, 3)
        return QFormat(fmt.width, accumulator.frac - spread, fmt.signed)

    def spread_geometry(self, shape) -> Geometry:
        """Any dilation and padding."""
        kernel = tuple(self.integer(1, 3) for _ in range(2))
        dilation = tuple(self.integer(1, 3) for _ in range(2))
        sides = []
        for size, k, d in zip(shape, kernel, dilation):
            reach = (k - 1) * d
            before, after = self.integer(0, reach), self.integer(0, reach)
            sides.append((before, after) if size + before + after > reach else (reach, after))
        return Geometry(kernel, (self.integer(1, 3), self.integer(1, 3)), tuple(sides), dilation)

    def weighted(self, make, name, shape, src, weights_shape, last: bool, bias_shape=None, **fields):
        weight_format = self.format(1, 8)
        weights = self.values(weight_format, weights_shape)
        if self.scales.random() < 0.3:  # binary or ternary
            weight_format = QFormat(2, weight_format.frac)
            weights = self.scales.integers(0, 3, weights_shape) - 1
            if self.scales.random() < 0.5:
                weights[weights == 0] = 1
        if self.scales.random() < 0.5:
            fields["shifts"] = self.scales.integers(0, self.scales.integers(2, 8), weights_shape[-1])
        bias = self.values(QFormat(self.integer(2, 12), 0), bias_shape or weights_shape[-1])
        fields.update(
            name=name, in_shape=shape, src=src, weights=weights, weight_format=weight_format, bias=bias
        )
        accumulator = make(**fields, dst=src).accumulator
        return make(**fields, dst=accumulator if last else self.destination(accumulator))

    def layer(self, kind: str, name: str, shape, src: QFormat, last: bool = False):
        if kind == "conv":
            geometry = self.geometry(shape)
            shape_of_weights = (*geometry.kernel, shape[2], self.integer(1, 6))
            return self.weighted(
                ConvSpec, name, shape, src, shape_of_weights, last,
                stride=geometry.stride, padding=geometry.padding,
            )  # fmt: skip
        if kind == "general":
            geometry = self.spread_geometry(shape)
            options = divisors(shape[2])
            groups = options[self.integer(0, len(options) - 1)]
            kernels = groups * self.integer(1, 3)
            by_pixel = self.integer(0, 2) == 0
            return self.weighted(
                ConvSpec, name, shape, src, (*geometry.kernel, shape[2] // groups, kernels), last,
                (*geometry.positions(shape), kernels) if by_pixel else None,
                stride=geometry.stride, padding=geometry.padding, dilation=geometry.dilation, groups=groups,
                fill=int(self.scales.integers(src.min, src.max + 1)) if self.scales.integers(0, 2) else 0,
            )  # fmt: skip
        if kind == "residual":
            return self.residual(name, shape, src)
        if kind == "dense":
            shape_of_weights = (int(np.prod(shape)), self.integer(1, 6))
            return self.weighted(DenseSpec, name, shape, src, shape_of_weights, last)
        if kind == "pool":
            geometry = self.geometry(shape, 3)
            mode = ("max", "avg", "sum")[self.integer(0, 2)]
            fields = dict(name=name, in_shape=shape, src=src, mode=mode, kernel=geometry.kernel,
                          stride=geometry.stride, padding=geometry.padding)  # fmt: skip
            if mode == "max":
                return PoolSpec(**fields, dst=src)
            wide = PoolSpec(**fields, dst=src).sum_format
            return PoolSpec(**fields, dst=src if self.integer(0, 2) == 0 else self.destination(wide))
        if kind == "grey":
            mode = ("average", "lightness", "luminosity")[self.integer(0, 2)]
            return GreySpec(name=name, in_shape=shape, src=src, dst=src, mode=mode)
        if kind == "reduce":
            geometry = self.geometry(shape, 3)
            weights = self.rng.integers(-20, 30, geometry.kernel)
            weights[0, 0] |= 1  # at least one that counts
            divisor = (self.integer(1, 9), 1 << self.integer(0, 7), self.integer(1, 200))[self.integer(0, 2)]
            return ReduceSpec(
                name=name, in_shape=shape, src=src, dst=src, weights=weights, divisor=divisor,
                stride=geometry.stride, padding=geometry.padding,
            )  # fmt: skip
        if kind == "table":
            dst = self.format()
            return TableSpec(
                name=name, in_shape=shape, src=src, dst=dst, function="random",
                table=self.values(dst, 1 << src.width),
            )  # fmt: skip
        return RequantSpec(name=name, in_shape=shape, src=src, dst=self.destination(src))

    def rescale(self, name: str, shape, src: QFormat) -> RescaleSpec:
        """A rescale whose products may need any of the golden model's types, with channels of all sizes."""
        channels, dst = shape[2], self.format(1, 9)
        low, high = sorted(self.integer(dst.min, dst.max) for _ in range(2))
        bits = self.integer(0, 62 - src.width)
        reach = 1 << min(bits + src.width - 1, 60)
        multipliers = self.rng.integers(0, 1 << bits, channels)
        offsets = np.sort(self.rng.integers(-reach, reach, (2, channels)), axis=0)
        if self.integer(0, 1):
            offsets[0] = offsets[1] + self.rng.integers(0, multipliers + 1) * self.integer(0, 1)
        # Offsets of their own for odd results are at most a step away.
        odd = offsets + self.rng.integers(0, 2, channels) if self.integer(0, 3) == 0 else None
        return RescaleSpec(
            name=name, in_shape=shape, src=src, dst=dst, low=low, high=high, offsets=offsets,
            multipliers=multipliers, odd=odd,
            shifts=self.rng.integers(0, bits + src.width, channels),
        )  # fmt: skip

    def scaled(self, name: str, shape, src: QFormat) -> list:
        """A layer that leaves its sums exact, and what the rule of another framework makes of them."""
        kind = ("general", "general", "dense", "sums", "addition")[self.integer(0, 4)]
        if kind in ("general", "dense"):
            spec = self.layer(kind, name, shape, src, True)
            low, high = (end << spec.shifts for end in spec.sum_ranges)
            if low.ndim > 1:
                low, high = low.min(axis=(0, 1)), high.max(axis=(0, 1))
            spec = replace(spec, dst=spec.accumulator)
        elif kind == "sums":
            geometry = self.geometry(shape, 3)
            spec = PoolSpec(
                name=name, in_shape=shape, src=src, dst=src, mode="sum", kernel=geometry.kernel,
                stride=geometry.stride, padding=geometry.padding,
            )  # fmt: skip
            spec = replace(spec, dst=spec.sum_format)
            low, high = (np.array([end]) for end in (spec.dst.min, spec.dst.max))
        else:
            spec = self.addition(name, shape, src)
            low, high = (
                np.array([sum(int(end(branch[-1].table)) for branch in spec.branches)])
                for end in (np.min, np.max)
            )
        low, high = (np.resize(end, spec.out_shape[2]) for end in (low, high))
        return [spec, self.ruled(f"{name}_out", spec, low, high)]

    def addition(self, name: str, shape, src: QFormat) -> ResidualSpec:
        """Two branches that end in a table, as a framework's addition at two scales does."""
        ends = []
        for branch in "ab":
            specs, fmt = [], src
            if (branch == "a" and self.integer(0, 1)) or src.width > TABLE_BITS:
                kernel = self.integer(1, 3), self.integer(1, 3)
                padding = Geometry.resolve(shape, kernel, (1, 1), "same").padding
                weights = (*kernel, shape[2], shape[2])
                specs.append(
                    self.weighted(ConvSpec, f"{name}{branch}", shape, src, weights, False, padding=padding)
                )
                fmt = specs[-1].dst
            dst = QFormat(self.integer(2, 12), 0)
            codes = self.values(dst, 1 << fmt.width)
            table = TableSpec(
                name=f"{name}_{branch}", in_shape=shape, src=fmt, dst=dst, function="scale", table=codes
            )
            ends.append((*specs, table))
        spec = ResidualSpec(name=name, in_shape=shape, src=src, dst=src, body=ends[0], shortcut=ends[1])
        return replace(spec, dst=spec.sum_format)

    def ruled(self, name: str, spec, low: np.ndarray, high: np.ndarray) -> RescaleSpec:
        """A rescale that does what a rule does, of any kind, at any scales and zero point."""
        channels, dst = spec.out_shape[2], self.format(2, 9)
        dst = QFormat(min(dst.width, 9), 0, dst.signed)
        bottom, top = sorted(self.integer(dst.min, dst.max) for _ in range(2))
        bottom, top = (dst.min, dst.max) if self.integer(0, 1) else (bottom, top)
        zero = (0, dst.min, dst.max, self.integer(dst.min, dst.max))[self.integer(0, 3)]
        reach = np.maximum(np.maximum(np.abs(low), np.abs(high)), 1)
        scales = (1 << dst.width) / reach * 2.0 ** (self.rng.integers(-400, 100, channels) / 100)
        kind = self.integer(0, 3)
        if kind == 0:
            rule = TwoRoundings.of(scales, zero)
        elif kind == 3:
            rule = Mean(self.integer(1, 64))
        else:
            rounding = list(ROUNDINGS)[self.integer(0, len(ROUNDINGS) - 1)]
            rule = FloatProduct(scales, zero, (np.float32, np.float64)[kind - 1], rounding)
        try:
            form = matched(rule, low, high, bottom, top)
            fields = dict(
                multipliers=form.multipliers, offsets=form.offsets, shifts=form.shifts, odd=form.odd
            )
            made = RescaleSpec(
                **fields, name=name, in_shape=spec.out_shape, src=spec.dst, dst=dst, low=bottom, high=top
            )
        except ValueError:  # no such form, or too wide: the importer refuses such a net too
            return self.rescale(name, spec.out_shape, spec.dst)
        self.rules[name] = lambda sums: np.clip(rule(sums), bottom, top)
        return made

    def residual(self, name: str, shape, src: QFormat) -> ResidualSpec:
        """Two branches of up to three layers each, which keep their places in the image together."""
        stride = self.integer(1, 2), self.integer(1, 2)
        channels = self.integer(1, 4)
        if self.integer(0, 1):
            stride, channels = (1, 1), shape[2]
        ends = []
        for branch in ("a", "b"):
            specs, at, fmt, step, kernels = [], shape, src, stride, channels
            idle = stride == (1, 1) and channels == shape[2] and not (branch == "b" and not ends[0])
            for index in range(self.integer(0 if idle else 1, 3)):
                kinds = ["conv", "conv", "pool", "table", "requant"] if index else ["conv"]
                kind = kinds[self.integer(0, len(kinds) - 1)]
                inner = f"{name}{branch}{index}"
                kernel = tuple(self.integer(1, 4) for _ in range(2))
                if kind in ("conv", "pool"):
                    geometry = Geometry.resolve(at, kernel, step, "same")
                    fields = dict(stride=geometry.stride, padding=geometry.padding)
                if kind == "conv":
                    weights = (*kernel, at[2], kernels)
                    specs.append(self.weighted(ConvSpec, inner, at, fmt, weights, False, **fields))
                elif kind == "pool":
                    fields.update(name=inner, in_shape=at, src=fmt, dst=fmt, mode="max", kernel=kernel)
                    specs.append(PoolSpec(**fields))
                else:
                    specs.append(self.layer(kind, inner, at, fmt))
                at, fmt, step = specs[-1].out_shape, specs[-1].dst, (1, 1)
            ends.append(tuple(specs))
        spec = ResidualSpec(name=name, in_shape=shape, src=src, dst=src, body=ends[0], shortcut=ends[1])
        return replace(spec, dst=self.destination(spec.sum_format))

    def net(
        self,
        layers: int,
        largest: int = 8,
        *,
        prepared: bool = False,
        inner: Sequence[str] = INNER,
        classifies: bool = True,
    ) -> QNetwork:
        """A net of `layers` layers on images up to `largest` pixels wide, ending in a dense layer or not.

        All but the last of one that classifies are of the kinds `inner`. A `prepared` one has up to two more
        layers before them, which make its images grey or reduce them.
        """
        shape = (self.integer(1, largest), self.integer(1, largest), self.integer(1, 3))
        src = input_format = self.format(1, 8)
        specs = []
        if prepared:
            shape = (*shape[:2], 3)
            for kind in (["grey"], ["reduce"], ["grey", "reduce"], ["reduce", "grey"])[self.integer(0, 3)]:
                specs.append(self.layer(kind, f"{kind}1", shape, src))
                shape = specs[-1].out_shape
        for index in range(layers):
            last = classifies and index == layers - 1
            kinds = ["conv", "dense"] if last else inner
            kind = kinds[self.integer(0, len(kinds) - 1)]
            if kind == "scaled" and self.integer(0, 2):
                *before, spec = self.scaled(f"layer{index}", shape, src)
                specs += before
            elif kind == "scaled":
                # exact sums, and a rescale that no framework has
                specs.append(self.layer("general", f"layer{index}", shape, src, True))
                spec = self.rescale(f"layer{index}_out", specs[-1].out_shape, specs[-1].dst)
            else:
                spec = self.layer(kind, f"layer{index}", shape, src, last)
            specs.append(spec)
            shape, src = spec.out_shape, spec.dst
        return QNetwork("random", input_format, tuple(specs), classifies=classifies)

    def plan(self, net: QNetwork, *, shares: bool = True) -> Plan:
        """A legal plan: any lanes, shared in any way or not at all."""
        stages = {}
        for spec in weighted(net):
            inputs, outputs = (divisors(n) for n in spec.matrices.shape[1:])
            if isinstance(spec, ConvSpec):
                inputs = range(1, inputs[-1] + 1)
            stages[spec.name] = StagePlan(
                inputs[self.integer(0, len(inputs) - 1)],
                outputs[self.integer(0, len(outputs) - 1)],
                (None, "a", "a", "b")[self.sharing.integers(4)] if shares else None,
            )
        return Plan(stages)

    def broad(self, net: QNetwork, plan: Plan) -> Plan:
        """The plan with pixel lanes wherever a convolution outside of a residual addition can have any."""
        stages = dict(plan.stages)
        for spec in net.specs:
            if not isinstance(spec, ConvSpec) or spec.groups > 1:
                continue
            stage = replace(stages[spec.name], output_lanes=spec.out_shape[2], array=None)
            lanes = self.rng.permutation(np.arange(2, spec.out_shape[1] + 1)).tolist()
            for wider in ({**stages, spec.name: replace(stage, pixel_lanes=count)} for count in lanes):
                try:
                    Plan(wider).check(net)
                except ValueError:
                    continue  # as many do not divide a row
                stages = wider
                break
        return Plan(stages)

    def wired(self, net: QNetwork, plan: Plan) -> Plan:
        """The plan with some convolutions hard-wired, with digits where there can be some."""
        stages = dict(plan.stages)
        for spec in net.specs:
            if not isinstance(spec, ConvSpec) or self.integer(0, 2) == 0:
                continue
            single = spec.src.signed or spec.bias.ndim > 1
            stages[spec.name] = replace(
                stages[spec.name], input_lanes=spec.matrices.shape[1], output_lanes=spec.out_shape[2],
                array=None, weights=WIRED, digits=1 if single else self.integer(1, spec.src.width),
            )  # fmt: skip
        return Plan(stages)

    def images(self, net: QNetwork, count: int) -> np.ndarray:
        return self.values(net.input_format, (count, *net.in_shape))
