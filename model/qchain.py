"""Quantised layers one behind the other, for a chunk of images in the engine's layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model.spec import Spec, WeightedSpec


def new_caches(specs: Sequence[Spec]) -> list[dict]:
    """Working memory of one thread, a dict for each layer."""
    return [{} for _ in specs]


def outputs(specs: Sequence[Spec], x: np.ndarray, caches: Sequence[dict]) -> Iterator[np.ndarray]:
    """Every layer's output, (H, C, W, N), one after another, as `Spec.apply` gives them."""
    for spec, cache in zip(specs, caches):
        x = spec.apply(x, cache)
        yield x


def output(specs: Sequence[Spec], x: np.ndarray, caches: Sequence[dict]) -> np.ndarray:
    """The last layer's output, by a shorter way; the input where there is no layer.

    Where a maximum follows sums, the sums are pooled, and only those that win are rounded and saturated.
    """
    steps = list(zip(specs, caches))
    while steps:
        spec, cache = steps.pop(0)
        # A bias by pixel would tell the pixels of a window apart.
        if steps and steps[0][0].monotone and isinstance(spec, WeightedSpec) and spec.bias.ndim == 1:
            pool, pool_cache = steps.pop(0)
            x = spec.finish(pool.apply(spec.sums(x, cache), pool_cache))
        else:
            x = spec.apply(x, cache)
    return x
