"""Exact division by a constant with one multiplication and a shift, as hardware wants it."""

from __future__ import annotations


def reciprocal(low: int, high: int, numerator: int, divisor: int, addend: int) -> tuple[int, int, int]:
    """Integers (m, c, k): ``(n * m + c) >> k`` is ``floor((n * numerator + addend) / divisor)``.

    The division by an invariant integer of Granlund and Montgomery, "Division by Invariant Integers
    using Multiplication" (PLDI 1994), moved up so that negative numbers divide exactly as well.

    Parameters
    ----------
    low, high : int
        The numbers n that it must be exact for.
    numerator, divisor : int
        Positive.
    addend : int
        0 rounds down, half the divisor rounds half up.
    """
    bottom, top = low * numerator + addend, high * numerator + addend
    # lifted by a multiple of the divisor to be no less than zero
    lift = max(-(bottom // divisor), 0)
    largest = top + lift * divisor
    k = 0
    while True:
        m = -(-(1 << k) // divisor)
        excess = m * divisor - (1 << k)
        if excess * largest < 1 << k:
            break
        k += 1
    return numerator * m, addend * m + lift * excess, k
