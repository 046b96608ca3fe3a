"""How much a chip has, or a design takes of it."""

from __future__ import annotations

from dataclasses import dataclass, fields

UNITS = {"lut": "LUT", "ff": "flip-flops", "dsp": "multipliers", "bram": "block RAMs"}
"""Resources, and what they are called."""


@dataclass(frozen=True)
class Budget:
    """Resources of a chip, or what a design takes of them.

    Attributes
    ----------
    lut : int
        Places of lookup tables of four inputs, those of carry chains and LUT RAMs included.
    ff : int
        Flip-flops.
    dsp : int
        Multipliers.
    bram : int
        Block RAMs.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram: int = 0

    def __add__(self, other: Budget) -> Budget:
        return Budget(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def lacking(need: Budget, budget: Budget) -> list[str]:
    """Resources of which more is needed than there is."""
    return [name for name in UNITS if getattr(need, name) > getattr(budget, name)]


def shortage(need: Budget, budget: Budget) -> float:
    """How much more is needed than there is, in shares of it, all resources together; 0 if it fits."""
    pairs = [(getattr(need, name), getattr(budget, name)) for name in lacking(need, budget)]
    return sum((needed - there) / max(there, 1) for needed, there in pairs)
