"""What parts are made of, counted by kinds, and what a chip's tools make of each kind."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from pathlib import Path

from hdl.devices.budget import Budget
from hdl.devices.device import Device

FILE = Path(__file__).with_name("calibration.json")
"""What ``python -m benchmarks.calibrate`` has measured, and the coefficients that follow."""
KINDS = {
    "accelerator": "the gate and the verdict, once",
    "adder": "bits of adders and comparisons, on carry chains",
    "chain": "their carry chains",
    "counter": "bits of counters, each with a comparison",
    "counters": "counters",
    "choice": "bits chosen of two",
    "select": "bits of products by -1, 0 and 1, or by -1 and 1",
    "clamp": "bits of requantised values",
    "scale": "bits of rescaled sums: of products and offsets added up, and of results clipped",
    "shift": "bits of them chosen of two shifts",
    "control": "gates of hand-shakes",
    "lutram": "LUTs that are memory",
    "rom": "LUTs of tables",
    "graph": "places of the carry chains of hard-wired weights",
    "serial": "LUTs of tables of sums",
    "soft": "LUTs of multipliers without a DSP",
    "loading": "gates beside memories of loadable weights, and of their loader",
    "shell": "what stands round an accelerator on a board, once",
}
"""Kinds of logic, each counted in LUTs as its structure has it, or in pieces."""
PIECES = {"accelerator": 90, "chain": 2, "counter": 2, "counters": 2, "shell": 1300}
"""LUTs of those that are counted in pieces, where no tool was asked; of all others 1."""


class Tally:
    """Resources by kinds; tallies add up.

    Parameters
    ----------
    ff, dsp, bram : int
        Flip-flops, multipliers and block RAMs.
    **luts : int
        Amounts of `KINDS`.
    """

    def __init__(self, *, ff: int = 0, dsp: int = 0, bram: int = 0, **luts: int):
        self.ff, self.dsp, self.bram = ff, dsp, bram
        self.kinds = Counter({kind: amount for kind, amount in luts.items() if amount})

    def __add__(self, other: Tally) -> Tally:
        total = Tally(ff=self.ff + other.ff, dsp=self.dsp + other.dsp, bram=self.bram + other.bram)
        total.kinds = self.kinds + other.kinds
        return total

    def times(self, count: int) -> Tally:
        """That many of the same."""
        luts = {kind: amount * count for kind, amount in self.kinds.items()}
        return Tally(ff=self.ff * count, dsp=self.dsp * count, bram=self.bram * count, **luts)

    def luts(self, device: Device) -> int:
        """LUTs that a family's tools are expected to make of it."""
        each = coefficients(device.name)
        return math.ceil(sum(each[kind] * amount for kind, amount in self.kinds.items()))

    def on(self, device: Device) -> Budget:
        """Resources of a chip of a family, with the LUTs' places counted, some of which flip-flops take."""
        return Budget(device.places(self.luts(device), self.ff), self.ff, self.dsp, self.bram)


@cache
def recorded() -> dict:
    """The file."""
    return json.loads(FILE.read_text(encoding="utf-8"))


@cache
def coefficients(family: str) -> dict[str, float]:
    """LUTs of each kind; as the structure has them where the family, or the kind, was not calibrated.

    The first word of a family's name tells its tools.
    """
    structure = {kind: PIECES.get(kind, 1) for kind in KINDS}
    return structure | recorded()["coefficients"].get(family.split()[0], {})
