"""Integers in the number types of NumPy that are exact for them, the quickest first."""

from __future__ import annotations

import numpy as np

FLOAT32_EXACT = 1 << 24
"""Up to this size float32 holds every integer, so that sums and products that stay below it are exact."""
FLOAT64_EXACT = 1 << 53
"""The same for float64."""
INT64_EXACT = 1 << 60
"""Bound of sums in int64: what rounding adds fits as well, and so does the rounding of the bound itself."""


def narrowest(bound: float) -> type:
    """The quickest type that is exact for integers, and for their sums, up to a bound.

    Multiplications by powers of two change nothing about this: in floats they are exact.

    Parameters
    ----------
    bound : int or float
        Largest magnitude of any integer on the way.

    Returns
    -------
    type
        ``float32``, ``float64`` or ``int64``.
    """
    if bound < FLOAT32_EXACT:
        return np.float32
    return np.float64 if bound < FLOAT64_EXACT else np.int64
