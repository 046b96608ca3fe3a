"""Residual addition: two branches of layers see the same input, and their outputs are added."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from model.arithmetic.exact import narrowest
from model.arithmetic.geometry import Shape
from model.arithmetic.qformat import QFormat
from model.arithmetic.scratch import scratch
from model.golden import qchain
from model.golden.spec import Spec
from model.net.chain import Chain
from model.net.layer import Layer


@dataclass(frozen=True, eq=False, kw_only=True)
class ResidualSpec(Spec):
    """A quantised residual addition.

    The branches' outputs are brought to the finer of their two grids, added exactly, and the sum goes to
    `dst`: it is rounded once.

    Parameters
    ----------
    body, shortcut : tuple of Spec
        Each a chain from `in_shape` and `src` on; an empty one hands its input on.
    """

    kind = "residual"
    since = 3
    body: tuple[Spec, ...]
    shortcut: tuple[Spec, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        ends = [qchain.check(branch, self.in_shape, self.src) for branch in self.branches]
        if ends[0][0] != ends[1][0]:
            self.fail(f"branches of {ends[0][0]} and {ends[1][0]} cannot be added")
        self.requant(self.sum_format)

    @property
    def branches(self) -> tuple[tuple[Spec, ...], tuple[Spec, ...]]:
        """Body and shortcut."""
        return self.body, self.shortcut

    @property
    def out_shape(self) -> Shape:
        branch = self.body or self.shortcut
        return branch[-1].out_shape if branch else self.in_shape

    @property
    def macs(self) -> int:
        return sum(spec.macs for branch in self.branches for spec in branch)

    @property
    def params(self) -> int:
        return sum(spec.params for branch in self.branches for spec in branch)

    @property
    def formats(self) -> tuple[QFormat, QFormat]:
        """Formats of the two outputs that are added."""
        return tuple(branch[-1].dst if branch else self.src for branch in self.branches)

    @property
    def shifts(self) -> tuple[int, int]:
        """Bits by which each branch's output moves left onto the common grid."""
        frac = max(fmt.frac for fmt in self.formats)
        return tuple(frac - fmt.frac for fmt in self.formats)

    @property
    def sum_format(self) -> QFormat:
        """Format of the exact sum."""
        low, high = (
            sum(bound << shift for bound, shift in zip(bounds, self.shifts))
            for bounds in ((fmt.min for fmt in self.formats), (fmt.max for fmt in self.formats))
        )
        try:
            return QFormat.spanning(low, high, max(fmt.frac for fmt in self.formats))
        except ValueError as error:
            self.fail(f"sums of {self.formats[0]} and {self.formats[1]} values are too wide: {error}")

    @cached_property
    def dtype(self) -> type:
        """The quickest type in which the sum is exact, and what is made of it."""
        largest = max(fmt.magnitude << shift for fmt, shift in zip(self.formats, self.shifts))
        return narrowest(max(self.requant(self.sum_format).bound(self.sum_format.magnitude), largest))

    def apply(self, x, cache):
        caches = cache.setdefault("caches", [qchain.new_caches(branch) for branch in self.branches])
        body, shortcut = (qchain.output(branch, x, one) for branch, one in zip(self.branches, caches))
        y = scratch(cache, "y", body.shape, self.dtype)
        y[...] = shortcut
        y *= 1 << self.shifts[1]
        moved = scratch(cache, "moved", body.shape, self.dtype)
        moved[...] = body
        moved *= 1 << self.shifts[0]
        y += moved
        return self.requant(self.sum_format).inplace(y)


class Residual(Layer):
    """The sum of two branches of layers: He et al., "Deep Residual Learning" (CVPR 2016).

    Parameters
    ----------
    body, shortcut : sequence of Layer
        With outputs of the same shape. The shortcut by default hands its input on; where the body changes
        the shape, a 1 x 1 convolution with the same stride fits it.
    """

    kind = "residual"

    def __init__(self, body: Sequence[Layer], shortcut: Sequence[Layer] = ()):
        if not body:
            raise ValueError("a residual addition needs at least one layer in its body")
        self.layers = tuple(body), tuple(shortcut)

    def build(self, name, in_shape, rng, dtype):
        super().build(name, in_shape, rng, dtype)
        for layer in (*self.layers[0], *self.layers[1]):
            if layer.prepares or layer.final:
                raise ValueError(f"a branch cannot hold a layer of the kind {layer.kind!r}")
        counts = Counter()
        self.branches = tuple(
            Chain.build(layers, in_shape, rng, dtype, f"{name}_", counts) for layers in self.layers
        )
        body, shortcut = (branch.out_shape for branch in self.branches)
        if body != shortcut:
            raise ValueError(
                f"its body makes {body}, its shortcut {shortcut}; a 1 x 1 convolution in the shortcut can"
                " change channels and stride"
            )
        self.params = self.branches[0].params | self.branches[1].params

    def with_branches(self, body: Sequence[Layer], shortcut: Sequence[Layer]) -> Residual:
        """The same addition of other layers, which are built."""
        other = copy.copy(self)
        other.layers = tuple(body), tuple(shortcut)
        other.branches = tuple(Chain(layers, self.in_shape) for layers in other.layers)
        other.params = other.branches[0].params | other.branches[1].params
        return other

    @property
    def out_shape(self) -> Shape:
        return self.branches[0].out_shape

    @property
    def macs(self) -> int:
        return sum(branch.macs for branch in self.branches)

    @property
    def measures(self) -> bool:
        return any(layer.measures for layers in self.layers for layer in layers)

    def bind(self, params):
        super().bind(params)
        for branch in self.branches:
            branch.bind(params)

    def forward(self, x, cache):
        caches = cache.setdefault("caches", [branch.new_caches() for branch in self.branches])
        body, shortcut = (
            branch.output(x, of_branch, cache.get("draw")) for branch, of_branch in zip(self.branches, caches)
        )
        return np.add(body, shortcut, out=scratch(cache, "y", body.shape, body.dtype))

    def gradients(self, dy, cache):
        results = [
            branch.backward(dy, of_branch) for branch, of_branch in zip(self.branches, cache["caches"])
        ]
        cache["slopes"] = [dx for dx, _ in results]
        return results[0][1] | results[1][1]

    def backward(self, dy, cache):
        body, shortcut = cache["slopes"]
        return np.add(body, shortcut, out=scratch(cache, "dx", body.shape, body.dtype))

    def quantise(self, src: QFormat, dst: QFormat | None, branches) -> ResidualSpec:
        """The addition in integers, of the `branches`' specs; without `dst` its sums stay exact."""
        body, shortcut = branches
        spec = ResidualSpec(
            name=self.name, in_shape=self.in_shape, src=src, dst=dst or src, body=body, shortcut=shortcut
        )
        return spec if dst else replace(spec, dst=spec.sum_format)

    def settle(self, cache):
        for branch, caches in zip(self.branches, cache["caches"]):
            branch.settle(caches)
