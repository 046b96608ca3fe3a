"""Quantised layers one behind the other: the whole of a net, or one branch of a residual addition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from model.arithmetic.geometry import Shape
from model.arithmetic.qformat import QFormat
from model.golden.spec import Spec, WeightedSpec


def check(specs: Iterable[Spec], shape: Shape, src: QFormat) -> tuple[Shape, QFormat]:
    """Shape and format behind layers that are fed with these, or a ValueError if two do not fit."""
    for spec in specs:
        if spec.in_shape != shape:
            spec.fail(f"takes {spec.in_shape}, but is given {shape}")
        if spec.src != src:
            spec.fail(f"takes {spec.src} values, but is given {src}")
        shape, src = spec.out_shape, spec.dst
    return shape, src


def walk(specs: Iterable[Spec]) -> Iterator[Spec]:
    """All layers, each followed by those that it is made of."""
    for spec in specs:
        yield spec
        for branch in spec.branches:
            yield from walk(branch)


def new_caches(specs: Sequence[Spec]) -> list[dict]:
    """Working memory of one thread, a dict for each layer."""
    return [{} for _ in specs]


def outputs(specs: Sequence[Spec], x: np.ndarray, caches: Sequence[dict]) -> Iterator[np.ndarray]:
    """Every layer's output, (H, C, W, N), one after another, as `Spec.apply` gives them."""
    for spec, cache in zip(specs, caches):
        x = spec.apply(x, cache)
        yield x


def output(specs: Sequence[Spec], x: np.ndarray, caches: Sequence[dict]) -> np.ndarray:
    """The last layer's output, by a shorter way; the input where there is no layer."""
    steps = list(zip(specs, caches))
    while steps:
        spec, cache = steps.pop(0)
        if steps and pooled_first(spec, steps[0][0]):
            pool, pool_cache = steps.pop(0)
            x = spec.finish(pool.apply(spec.sums(x, cache), pool_cache))
        else:
            x = spec.apply(x, cache)
    return x


def pooled_first(spec: Spec, following: Spec) -> bool:
    """Whether sums may be pooled before they are rounded and saturated, so that only those that win are.

    Padding is the smallest value of the output, and sums in floats stand in its steps: where it wins, they
    saturate to it. Integer sums stand in other steps.
    """
    return following.monotone and isinstance(spec, WeightedSpec) and spec.dtype is not np.int64
