"""How many images go through the engine together."""

from __future__ import annotations

CHUNK = 32
"""Images that go through the engine together at least: below, NumPy's calls are too short to pay off."""
VALUES = 400_000
"""Of a layer's output, up to which the arrays of more images stay in the cache too."""
MOST = 64
"""Images that go through the engine together at most in training."""


def chunk_of(values: int, most: int) -> int:
    """Images that go through the engine together, up to `most`, where layers make up to `values` of one."""
    return min(max(VALUES // (CHUNK * values), 1) * CHUNK, most)
