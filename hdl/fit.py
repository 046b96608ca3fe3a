"""The fastest plan that a chip has room for, and what to say where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hdl.cost import planned_cycles
from hdl.device import Device
from hdl.estimate import UNITS, Budget, estimate, lacking
from hdl.netplan import Plan, weighted
from hdl.pipe import shape_of
from hdl.search import Search, divisors
from model.layers import ConvSpec
from model.qnetwork import QNetwork
from model.spec import WeightedSpec

PLENTY = 1 << 30
"""More multipliers than any plan has."""
SPEED = 3
"""Percents of the LUTs that a plan has to save to be preferred although it is one percent slower."""
STEPS = 16
"""A plan is looked for until a 16th more multipliers are known to be too many."""
NOTHING = Budget()
SHELL = 1100, 640
"""LUTs and flip-flops of what stands between the serial port and the accelerator."""
WAITING = 24, 8
"""Bits and number of answers without a result that may wait."""
FEW = 4
"""Channels of a pixel from which on it pays to take no more than a pixel in a cycle."""


class Frugal(Search):
    """Only plans whose windows are read from memory (`Folding.gathered`), which saves most flip-flops.

    A layer of few channels keeps all of its lanes: its windows are small, and a pixel of it little work.
    """

    def worthwhile(self, spec: WeightedSpec) -> tuple[list[int], list[int]]:
        inputs, outputs = super().worthwhile(spec)
        if isinstance(spec, ConvSpec) and spec.groups == 1 and spec.in_shape[2] >= FEW:
            inputs = divisors(spec.in_shape[2])
        return inputs, outputs


@dataclass(frozen=True)
class Fit:
    """A plan, and what it takes.

    Attributes
    ----------
    plan : Plan
    cycles : int
        A frame.
    need : Budget
    """

    plan: Plan
    cycles: int
    need: Budget


class Fitter:
    """Plans of a net for a family of chips.

    Parameters
    ----------
    net : QNetwork
    device : Device
    around : Budget
        What else has to find room beside the accelerator.
    loadable : bool
        Whether weights are written at run time; then layers do not share multipliers.
    """

    def __init__(self, net: QNetwork, device: Device, around: Budget = NOTHING, *, loadable: bool = False):
        self.net, self.device, self.around, self.loadable = net, device, around, loadable
        self.searches = [kind(net, shares=not loadable) for kind in (Search, Frugal)]
        self.least = max(len(weighted(net)), 1) if loadable else 1
        self.known: dict[tuple, Fit] = {}

    def fit(self, plan: Plan) -> Fit:
        """What a plan takes."""
        plan = plan.made_loadable(self.net) if self.loadable else plan
        key = tuple((name, tuple(stage.described().items())) for name, stage in plan.stages.items())
        if key not in self.known:
            need = estimate(self.net, plan, self.device) + self.around
            self.known[key] = Fit(plan, planned_cycles(self.net, plan), need)
        return self.known[key]

    def fastest(self, budget: Budget, limit: int = PLENTY) -> Fit | None:
        """The fastest plan found that fits, or a much smaller one that is nearly as fast; None if none fits.

        Parameters
        ----------
        budget : Budget
        limit : int
            Multipliers, at most.
        """
        found = [fit for search in self.searches for fit in self.steps(search, budget, limit)]
        return min(found, key=lambda fit: (fit.cycles**SPEED * fit.need.lut, fit.cycles), default=None)

    def steps(self, search: Search, budget: Budget, limit: int) -> Iterator[Fit]:
        """Plans of a search that fit, faster and faster."""
        high = min(limit, search.within(PLENTY).multipliers, self.products(budget.dsp))
        low = self.least
        if high < low:
            return
        fits = [self.fit(search.within(count)) for count in (low, high)]
        good = [not lacking(fit.need, budget) for fit in fits]
        yield from (fit for fit, fine in zip(fits, good) if fine)
        if all(good) or not good[0]:
            return
        high = fits[1].plan.multipliers
        while high - low > low // STEPS + 1:
            count = (low + high) // 2
            fit = self.fit(search.within(count))
            if lacking(fit.need, budget):
                high = min(count, fit.plan.multipliers)
            else:
                low = count
                yield fit

    def products(self, dsp: int) -> int:
        """Products a cycle of so many hard multipliers, if all of them are of the net's narrowest layer."""
        each = [
            self.device.per_multiplier(shape_of(spec.src), shape_of(spec.weight_format))
            for spec in weighted(self.net)
        ]
        return PLENTY if 0 in each else dsp * max(each, default=1)

    def nearest(self, budget: Budget) -> str | None:
        """What to say of the plan that does fit, or None."""
        near = self.fastest(budget)
        if near is None:
            return None
        return (
            f"the nearest plan that fits has {near.plan.multipliers} multipliers"
            f" and takes {near.cycles:,} cycles a frame"
        )

    def smallest(self) -> Fit:
        """The plan with the fewest LUTs found."""
        return min(
            (self.fit(search.within(self.least)) for search in self.searches), key=lambda fit: fit.need.lut
        )


def excess(need: Budget, budget: Budget) -> str:
    """What of which exceeds what."""
    return " and ".join(
        f"about {getattr(need, key):,} {UNITS[key]} of {getattr(budget, key):,}"
        for key in lacking(need, budget)
    )


def surroundings(net: QNetwork, device: Device) -> Budget:
    """What a board's serial port and image memory take beside the accelerator.

    Two images in block RAM, answers that wait, and logic that hardly depends on the net (`boards.shell`
    counts it more closely).
    """
    height, width, channels = net.in_shape
    images = device.brams(channels * net.input_format.width, 2 * height * width)
    logits = net.classes * net.output_format.width
    lut, ff = SHELL[0] + 2 * logits, SHELL[1] + 2 * logits
    waiting = 0 if device.lutram_words else device.brams(*WAITING)
    return Budget(lut=device.places(lut, ff), ff=ff, bram=images + waiting)
