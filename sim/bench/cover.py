"""Functional coverage: which cases the images and stalls of simulations have met, and which not.

Values are the golden model's: a run that is right has put them all through the hardware.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
from rich.table import Table

from model.arithmetic.qformat import QFormat
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from sim.bench.bench import Result

REMAINDERS = ("exact", "below half", "half", "above half")
SATURATION = ("saturates up", "saturates down", "the top", "the bottom", "within")
ROUNDED = tuple(f"{sign}, {case}" for sign in ("positive", "negative") for case in REMAINDERS)
FLOORED = ("exact", "rounded down")
ARGMAX = ("one largest", "a tie", "all equal", "the first wins", "the last wins")
FRAMES = (
    "the next begins at once",
    "the next begins later",
    "a pause within",
    "no pause within",
    "begins while another is under way",
    "begins when all are answered",
    "answered while another comes in",
    "answered between two",
)
STATES = ("idle", "starved", "blocked", "moves")
"""Of a handshake, by ``2 * valid + ready``."""
CHANGES = tuple(
    f"{before} to {after}"
    for before in STATES
    for after in STATES
    # what is offered stays until it is taken
    if before != "blocked" or after in ("blocked", "moves")
)
GATE = tuple(change for change in CHANGES if "starved" not in change)
"""Changes at the input: `hdl.parts.gate.Gate` is not ready before a beat is there."""
BETWEEN = tuple(change for change in CHANGES if change not in ("starved to idle", "starved to blocked"))
"""Changes between layers: what has room keeps it until a beat comes."""
ANSWERS = tuple(change for change in CHANGES if change not in ("moves to moves", "moves to blocked"))
"""Changes at the output: `hdl.stages.classify.Argmax` takes a cycle at least from one answer to the next."""
POINTS = {
    "conv": SATURATION + ROUNDED,
    "dense": SATURATION + ROUNDED,
    "requant": SATURATION + ROUNDED,
    "residual": SATURATION + ROUNDED,
    "pool": SATURATION + ROUNDED,
    "grey": FLOORED,
    "reduce": (*FLOORED, *SATURATION),
    "table": ("the lowest entry", "the highest entry"),
    "argmax": ARGMAX,
    "frames": FRAMES,
    "handshake of the input": GATE,
    "handshake of the answers": ANSWERS,
    "handshakes between layers": BETWEEN,
}
"""The cases of each group."""
KINDS = {"conv", "dense", "requant", "residual", "pool", "grey", "reduce", "table", "argmax"}
"""Groups that are kinds of layers, or of answers."""


class Cover:
    """Counts how often each case of a net was met.

    Parameters
    ----------
    *nets : QNetwork
        Only groups of their layers' kinds count.

    Attributes
    ----------
    counts : Counter
        By group and case.
    """

    def __init__(self, *nets: QNetwork):
        self.net = nets[0] if nets else None
        kinds = {spec.kind for net in nets for spec in walk(net.specs)}
        if any(net.classifies for net in nets) or not nets:
            kinds.add("argmax")
        self.groups = [group for group in POINTS if group in kinds or group not in KINDS]
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, other: Cover) -> None:
        """What another net's runs have met."""
        self.groups = [group for group in POINTS if group in self.groups or group in other.groups]
        self.counts += other.counts

    def count(self, group: str, cases: dict[str, np.ndarray | bool]) -> None:
        """Note cases by where they hold."""
        for case, where in cases.items():
            self.counts[group, case] += int(np.count_nonzero(where))

    def add_values(self, images: np.ndarray) -> None:
        """The cases that images bring about."""
        net = self.net
        values = net.checked(images).astype(np.int64)
        self.add_chain(net.specs, values)
        if not net.classifies:
            return
        logits = net.logits(images)
        top = logits.max(axis=1, keepdims=True)
        ties = (logits == top).sum(axis=1)
        if net.outputs > 1:
            cases = ties == 1, ties > 1, ties == net.outputs
            first, last = logits.argmax(axis=1) == 0, logits.argmax(axis=1) == net.outputs - 1
            self.count("argmax", dict(zip(ARGMAX, (*cases, first, last))))

    def add_chain(self, specs: tuple[Spec, ...], x: np.ndarray) -> None:
        """The cases of layers one behind the other, fed with `x`, (N, H, W, C)."""
        for spec in specs:
            for branch in spec.branches:
                self.add_chain(branch, x)
            y = spec.run(x)
            if spec.kind == "table":
                low, high = x == spec.src.min, x == spec.src.max
                self.count("table", {"the lowest entry": low, "the highest entry": high})
            for sums, step in exact(spec, x):
                self.add_rounding(spec, sums, step, y)
            x = y

    def add_rounding(self, spec: Spec, sums: np.ndarray, step: Fraction, y: np.ndarray) -> None:
        """The cases of exact sums, one unit of which is `step` steps of the output."""
        whole, rest = np.divmod(sums * step.numerator, step.denominator)
        if spec.kind in ("grey", "reduce"):
            self.count(spec.kind, {"exact": rest == 0, "rounded down": rest != 0})
            rounded = whole
        else:
            twice = 2 * rest
            at = twice == step.denominator
            cases = rest == 0, (rest != 0) & (twice < step.denominator), at, twice > step.denominator
            for sign, side in (("positive", sums >= 0), ("negative", sums < 0)):
                if step.denominator > 1:
                    self.count(spec.kind, {f"{sign}, {c}": side & is_c for c, is_c in zip(REMAINDERS, cases)})
            rounded = whole + (twice >= step.denominator)
        if spec.kind != "grey":
            up, down = rounded > spec.dst.max, rounded < spec.dst.min
            top, bottom = rounded == spec.dst.max, rounded == spec.dst.min
            self.count(spec.kind, dict(zip(SATURATION, (up, down, top, bottom, ~(up | down)))))

    def add_run(self, result: Result, layers: dict[str, int]) -> None:
        """The cases of a run's stalls and frames.

        Parameters
        ----------
        result : Result
            Of a component that shows its streams.
        layers : dict of int
            Those streams, by name.
        """
        sent, answered = result.in_cycles, result.out_cycles
        follows = sent[1:, 0] == sent[:-1, 1] + 1
        held = sent[:, 1] - sent[:, 0] == (sent[:, 1] - sent[:, 0]).min()
        done = np.searchsorted(answered, sent[:, 0], side="right")
        busy = done < np.arange(len(sent))
        entering = ((answered[:, None] >= sent[:, 0]) & (answered[:, None] <= sent[:, 1])).any(axis=1)
        cases = follows, ~follows, ~held, held, busy[1:], ~busy[1:], entering, ~entering
        self.count("frames", dict(zip(FRAMES, cases)))
        names = ["handshake of the input", "handshake of the answers"]
        for group, table in zip([*names, *["handshakes between layers"] * len(layers)], result.handshakes):
            for before, row in zip(STATES, table):
                for after, number in zip(STATES, row):
                    self.counts[group, f"{before} to {after}"] += int(number)

    @property
    def holes(self) -> list[tuple[str, str]]:
        """Cases that were never met."""
        return [
            (group, case) for group in self.groups for case in POINTS[group] if not self.counts[group, case]
        ]

    def described(self) -> dict:
        """What JSON says of it."""
        return {group: {case: self.counts[group, case] for case in POINTS[group]} for group in self.groups}

    def table(self) -> Table:
        """The cases for people: how many of each group were met, and which not."""
        table = Table(title="cases met")
        for name, justify in (("group", "left"), ("met", "right"), ("never met", "left")):
            table.add_column(name, justify=justify)
        for group in self.groups:
            missing = [case for case in POINTS[group] if not self.counts[group, case]]
            total = len(POINTS[group])
            table.add_row(group, f"{total - len(missing)} of {total}", "; ".join(missing))
        return table


def exact(spec: Spec, x: np.ndarray) -> Iterator[tuple[np.ndarray, Fraction]]:
    """The exact sums of a layer before its rounding, and how many steps of its output one unit of them is."""
    if isinstance(spec, WeightedSpec):
        yield from between(replace(spec, dst=spec.accumulator).run(x), spec.accumulator, spec.dst)
    elif spec.kind == "requant":
        yield from between(x, spec.src, spec.dst)
    elif spec.kind == "residual":
        yield from between(replace(spec, dst=spec.sum_format).run(x), spec.sum_format, spec.dst)
    elif spec.kind == "pool" and spec.mode != "max":
        sums = replace(spec, mode="sum", dst=spec.sum_format).run(x)
        area = spec.kernel[0] * spec.kernel[1] if spec.mode == "avg" else 1
        yield sums, Fraction(2) ** (spec.dst.frac - spec.src.frac) / area
    elif spec.kind in ("grey", "reduce"):
        sums = spec.sums(x.transpose(1, 3, 2, 0).astype(spec.dtype, order="C"), {})
        yield sums.transpose(3, 0, 2, 1).astype(np.int64), Fraction(1, spec.divisor)


def between(sums: np.ndarray, src: QFormat, dst: QFormat) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Sums of a format that become another; none where nothing changes."""
    if src != dst and abs(dst.frac - src.frac) < 32:
        yield sums, Fraction(2) ** (dst.frac - src.frac)
