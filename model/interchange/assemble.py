"""Specs from a description: zero points go into biases and padding, roundings into rescales."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np

from model.arithmetic.addition import scaled
from model.arithmetic.geometry import Geometry, Shape
from model.arithmetic.qformat import QFormat
from model.arithmetic.rescale import Rescale, Unmatched, matched
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.interchange.branches import Branch, Brancher, Chain
from model.interchange.description import (
    Average,
    Conv,
    Dense,
    Description,
    Map,
    Maximum,
    Node,
    Pad,
    Refused,
    Rounding,
    Unknown,
    Values,
    View,
    problem,
)
from model.layers import ConvSpec, DenseSpec, PoolSpec, RescaleSpec, ResidualSpec, TableSpec

WEIGHTS = QFormat(8, 0)
BORDERED = "a convolution, or a max pooling of values whose zero point is the least of them"
MAX_CHANNELS, MAX_WEIGHTS = 1 << 13, 1 << 23
"""Output channels of all layers together, each of which has a rescale to be found, and their weights: layers
may share these in a file."""


def assembled(description: Description, name: str, problems: list[str]) -> QNetwork:
    """The net that a description describes.

    Its metadata say under "converted" where it is from (``source``), which spec's output is which tensor of
    the file (``tensors``), and the ``step`` and ``zero`` of the values at its ends (``input``, ``output``).

    Parameters
    ----------
    description : Description
    name : str
    problems : list of str
        Those that the reader found already.

    Raises
    ------
    Refused
        With these and all others.
    """
    brancher = Brancher(description)
    chain = brancher.chain()
    assembler = Assembler(description, [*problems, *brancher.problems])
    first = description.values.get(description.input)
    specs: list[Spec] = []
    if first is not None:
        chain, shape = assembler.entered(chain, first)
        specs, _ = assembler.chain(chain, shape)
    if not assembler.problems and not specs:
        assembler.problems.append("the net has no layers")
    if assembler.problems:
        raise Refused(assembler.problems)
    ends = {
        key: {"step": value.step, "zero": value.zero}
        for key, value in (("input", first), ("output", description.values[description.output]))
    }
    converted = {"source": description.source, "tensors": assembler.tensors, **ends}
    classes = description.softmax or classifies(specs[0].in_shape, specs[-1].out_shape)
    return QNetwork(name, first.format, tuple(specs), {"converted": converted}, classes)


class Assembler:
    """Makes specs, chain by chain, and gathers the problems of all of them."""

    def __init__(self, description: Description, problems: list[str]):
        self.values, self.notes, self.problems = description.values, description.notes, problems
        self.tensors: dict[str, str] = {}
        self.left_out = 0
        weighted = [node for node in description.nodes if isinstance(node, Conv | Dense)]
        sums = (
            ("channels", sum(len(node.bias) for node in weighted), MAX_CHANNELS),
            ("weights", sum(node.weights.size for node in weighted), MAX_WEIGHTS),
        )
        larger = [
            problem(f"the sum of {what} of all layers", f"{found:,}", f"{most:,}")
            for what, found, most in sums
            if found > most
        ]
        self.too_large = bool(larger)
        self.problems += larger
        self.counts: Counter[str] = Counter()

    def entered(self, chain: Chain, first: Values) -> tuple[Chain, Shape]:
        """The net's shape, and the chain without the views before its first layer, which decide it."""
        dims = first.dims
        while chain and isinstance(chain[0], View):
            dims, chain = self.values[chain[0].output].dims, chain[1:]
        return chain, shape_of(dims)

    def chain(self, chain: Chain, shape: Shape) -> tuple[list[Spec], Shape]:
        """The specs of a chain that is fed with an image of a shape, and the shape behind it."""
        specs: list[Spec] = []
        border: Pad | None = None
        for step in chain:
            node = step.node if isinstance(step, Branch) else step
            try:
                if border is not None:
                    border, node = None, self.bordered(border, node)
                if isinstance(node, Pad):
                    border, made = node, []
                else:
                    made = self.made(step, node, shape)
            except ValueError as error:
                self.problems.append(f"{node.where}: {error}")
                made = []
                self.left_out += 1
            specs += made
            if made:
                self.tensors[made[-1].name] = node.output
                shape = made[-1].out_shape
            elif not isinstance(node, View | Pad):
                self.left_out += isinstance(node, Unknown)
                shape = shape_of(self.values[node.output].dims)
        if border is not None:
            self.problems.append(f"{border.where}: accepted: before {BORDERED}")
        return specs, shape

    def bordered(self, pad: Pad, node: Node) -> Node:
        """A node with the border before it as part of its padding."""
        src = self.values[pad.inputs[0]]
        if isinstance(node, Unknown):
            return node
        if not isinstance(node, Conv) and not (isinstance(node, Maximum) and src.zero == src.format.min):
            raise ValueError(f"has a border before it ({pad.where}); accepted: before {BORDERED}")
        padding = tuple(tuple(a + b for a, b in zip(*sides)) for sides in zip(node.padding, pad.padding))
        kernel, dilation = (
            (node.weights.shape[:2], node.dilation) if isinstance(node, Conv) else (node.kernel, (1, 1))
        )
        extent = Geometry(kernel, dilation=dilation).extent
        if any(max(sides) >= size for sides, size in zip(padding, extent)):
            accepted = f"less than its window on each side, {extent}"
            raise ValueError(problem(f"padding, with that of {pad.where},", padding, accepted))
        return replace(node, inputs=pad.inputs, padding=padding)

    def made(self, step, node: Node, shape: Shape) -> list[Spec]:
        """The specs of one node."""
        if isinstance(node, View | Unknown):
            return []
        src, dst = self.values[node.inputs[0]], self.values[node.output]
        if isinstance(node, Conv | Maximum | Average) and shape_of(src.dims) != shape:
            raise ValueError(
                problem(
                    "its input's shape", f"{src.dims}, of values that a layer left as {shape}",
                    "a reshape before a dense layer, at the net's ends, or of dimensions of 1",
                )
            )  # fmt: skip
        if self.too_large and isinstance(node, Conv | Dense):
            self.left_out += 1
            return []
        if isinstance(node, Conv):
            return self.conv(node, shape, src, dst)
        if isinstance(node, Dense):
            spec = DenseSpec(
                name=self.name("dense"), in_shape=shape, src=src.format, dst=WEIGHTS, weights=node.weights,
                weight_format=WEIGHTS, bias=node.bias - src.zero * node.weights.sum(axis=0),
            )  # fmt: skip
            return self.weighted(node, spec, node.rounding, dst)
        if isinstance(node, Maximum):
            return self.maximum(node, shape, src, dst)
        if isinstance(node, Average):
            return self.average(node, shape, src, dst)
        if isinstance(node, Map):
            return [self.table(self.name(node.function), node.function, node.entries, shape, src, dst.format)]
        return self.addition(step, shape, dst)

    def name(self, kind: str) -> str:
        """A name for the next layer of a kind."""
        self.counts[kind] += 1
        return f"{kind}{self.counts[kind]}"

    def conv(self, node: Conv, shape: Shape, src: Values, dst: Values) -> list[Spec]:
        """A convolution."""
        kind = "depthwise" if node.groups == shape[2] > 1 else "conv"
        spec = ConvSpec(
            name=self.name(kind), in_shape=shape, src=src.format, dst=WEIGHTS, weights=node.weights,
            weight_format=WEIGHTS, bias=node.bias - src.zero * node.weights.sum(axis=(0, 1, 2)),
            stride=node.stride, padding=node.padding, dilation=node.dilation, groups=node.groups,
            fill=src.zero if np.any(node.padding) else 0,
        )  # fmt: skip
        return self.weighted(node, spec, node.rounding, dst)

    def maximum(self, node: Maximum, shape: Shape, src: Values, dst: Values) -> list[Spec]:
        """A max pooling, and the clip of its activation."""
        spec = PoolSpec(
            name=self.name("pool"), in_shape=shape, src=src.format, dst=src.format, mode="max",
            kernel=node.kernel, stride=node.stride, padding=node.padding,
        )  # fmt: skip
        if (node.low, node.high) == (dst.format.min, dst.format.max):
            return [spec]
        form = Rescale(np.array([1]), np.zeros((2, 1), int), np.array([0]), node.low, node.high)
        return [spec, self.rescale_of(spec, src.format, form, dst)]

    def average(self, node: Average, shape: Shape, src: Values, dst: Values) -> list[Spec]:
        """A sum, rounded. The addend moves the sums' sign, which a rescale of the plain sum may not need."""
        name, channels = self.name("pool"), shape[2]
        spec = PoolSpec(
            name=name, in_shape=shape, src=src.format, dst=src.format, mode="sum", kernel=node.kernel,
            stride=node.stride,
        )  # fmt: skip
        inner, area = node.rounding, node.kernel[0] * node.kernel[1]
        ends = area * src.format.min, area * src.format.max
        moved = Rounding(lambda a: inner.rule(a + node.addend), inner.low, inner.high)
        try:
            form = matched(moved.rule, *np.atleast_1d(*ends), moved.low, moved.high)
            spec = replace(spec, dst=spec.sum_format)
            return [spec, self.rescale_of(spec, spec.dst, form, dst)]
        except Unmatched:
            if not node.addend:
                raise
        ones = ConvSpec(
            name=name, in_shape=shape, src=src.format, dst=WEIGHTS, stride=node.stride, groups=channels,
            weights=np.ones((*node.kernel, 1, channels), int), weight_format=QFormat(2, 0),
            bias=np.full(channels, node.addend),
        )  # fmt: skip
        return self.weighted(node, ones, inner, dst)

    def weighted(self, node: Node, spec: WeightedSpec, rounding: Rounding, dst: Values) -> list[Spec]:
        """A layer of weights that leaves its sums exact, and their rescale.

        A channel whose output no input can change needs no weights. Frameworks leave them enormous biases,
        which would make the sums of all channels wide.
        """
        form = matched(rounding.rule, *spec.sum_ranges, rounding.low, rounding.high)
        least, most = (form(end[:, None])[:, 0] for end in spec.sum_ranges)
        if (constant := least == most).any():
            self.notes.append(f"{node.where}: the weights of {constant.sum()} channels that are constant")
            form = replace(
                form,
                multipliers=np.where(constant, 0, form.multipliers),
                offsets=np.where(constant, least, form.offsets),
                odd=None if form.odd is None else np.where(constant, least, form.odd),
                shifts=np.where(constant, 0, form.shifts),
            )
            spec = replace(
                spec, weights=np.where(constant, 0, spec.weights), bias=np.where(constant, 0, spec.bias)
            )
        spec = replace(spec, dst=spec.accumulator)
        return [spec, self.rescale_of(spec, spec.dst, form, dst)]

    def table(self, name, function, entries, shape: Shape, src: Values, dst: QFormat) -> TableSpec:
        """A table of entries that begin with the smallest input."""
        return TableSpec(
            name=name, in_shape=shape, src=src.format, dst=dst, function=function,
            table=np.roll(entries, src.format.min),
        )  # fmt: skip

    def addition(self, step: Branch, shape: Shape, dst: Values) -> list[Spec]:
        """Both branches, each with its table, and the sum's rescale: a shift, if there are such tables."""
        node, before, name = step.node, self.left_out, self.name("add")
        chains = [self.chain(chain, shape) for chain in step.chains]
        tables, form = summed(node.entries, node.rounding)
        branches = []
        for (specs, end), source, entries in zip(chains, node.inputs, tables):
            fmt = QFormat.spanning(int(entries.min()), int(entries.max()), 0)
            place = f"{name}_{'ab'[len(branches)]}"
            table = self.table(place, "scale", entries, end, self.values[source], fmt)
            branches.append((*specs, table))
        if self.left_out > before:
            return []
        body, shortcut = sorted(branches, key=len, reverse=True)
        spec = ResidualSpec(
            name=name, in_shape=shape, src=body[0].src, dst=WEIGHTS, body=body, shortcut=shortcut
        )
        spec = replace(spec, dst=spec.sum_format)
        return [spec, self.rescale_of(spec, spec.dst, form, dst)]

    def rescale_of(self, spec: Spec, src: QFormat, form: Rescale, dst: Values) -> RescaleSpec:
        """The layer of a rescale, of each channel or of one for all."""
        arrays = {"multipliers": form.multipliers, "offsets": form.offsets, "shifts": form.shifts}
        if form.odd is not None:
            arrays["odd"] = form.odd
        if len(form.multipliers) == 1:
            repeated = spec.out_shape[2]
            arrays = {key: np.repeat(array, repeated, axis=-1) for key, array in arrays.items()}
        return RescaleSpec(
            **arrays, name=f"{spec.name}_out", in_shape=spec.out_shape, src=src, dst=dst.format,
            low=form.low, high=form.high,
        )  # fmt: skip


def summed(entries, rounding: Rounding) -> tuple[tuple[np.ndarray, np.ndarray], Rescale]:
    """Tables whose sums a rescale rounds as it must: by a shift alone, if there are such tables."""
    first, second = entries
    ends = ([int(end(first) + end(second))] for end in (np.min, np.max))
    form = matched(rounding.rule, *ends, rounding.low, rounding.high)
    results = form((first[:, None] + second)[None])[0]
    slope = float(form.multipliers[0]) * 2.0 ** -float(form.shifts[0])
    return scaled(entries, results, slope, form.low, form.high) or (entries, form)


def classifies(before: Shape, behind: Shape) -> bool:
    """Whether outputs without a softmax are taken for logits.

    A map of pixels is not, nor one value, nor as many values as an autoencoder has, which are its inputs'.
    """
    return behind[:2] == (1, 1) and behind[2] > 1 and behind[2] != math.prod(before)


def shape_of(dims: tuple[int, ...]) -> Shape:
    """Dimensions without the batch as height, width and channels."""
    return (*(1,) * (3 - len(dims)), *dims)
