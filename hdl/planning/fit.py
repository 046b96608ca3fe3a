"""The fastest plan that a chip has room for, and what to say where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hdl.devices.budget import UNITS, Budget, lacking, shortage
from hdl.devices.device import Device
from hdl.folding.net import Plan, weighted
from hdl.parts.pipe import shape_of
from hdl.planning.cost import planned_cycles
from hdl.planning.estimate import estimate, on_board
from hdl.planning.harden import MOST, constant_luts, serialised, wirable
from hdl.planning.search import Search, divisors
from model.golden.qnetwork import QNetwork
from model.golden.spec import WeightedSpec
from model.layers import ConvSpec

PLENTY = 1 << 30
"""More multipliers than any plan has."""
SPEED = 3
"""Percents of the LUTs that a plan has to save to be preferred although it is one percent slower."""
STEPS = 16
"""A plan is looked for until a 16th more multipliers are known to be too many."""
TRIED = 32
"""Up to so many multipliers plans with each number of them are tried."""
EFFORT, PLAIN = 1_000_000, 17_500
"""Plans that are counted in search of the smallest: so many flip-flops together, each plan with some more.
Parts are described bit by bit, so it takes some 2 us a flip-flop.
"""
PATIENCE = 8
"""Numbers of multipliers that are tried although none of them has made what is short less."""
SLACK = 0.25
"""No plan with more multipliers than the fewest is counted where these lack so much logic, see `shortage`."""
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
    on_board : bool
        Whether what a board has `around` the accelerator has to find room too.
    loadable : bool
        Whether weights are written at run time; then layers do not share multipliers.
    """

    def __init__(self, net: QNetwork, device: Device, *, on_board: bool = True, loadable: bool = False):
        self.net, self.device, self.on_board, self.loadable = net, device, on_board, loadable
        self.searches = [kind(net, shares=not loadable, device=device) for kind in (Search, Frugal)]
        self.known: dict[tuple, Fit] = {}
        self.least: dict[Budget, Fit] = {}

    def fit(self, plan: Plan) -> Fit:
        """What a plan takes."""
        plan = plan.made_loadable(self.net) if self.loadable else plan
        key = tuple((name, tuple(stage.described().items())) for name, stage in plan.stages.items())
        if key not in self.known:
            count = on_board if self.on_board else estimate
            need = count(self.net, plan, self.device)
            self.known[key] = Fit(plan, planned_cycles(self.net, plan), need)
        return self.known[key]

    def fastest(self, budget: Budget, limit: int = PLENTY, *, wires: bool = True) -> Fit | None:
        """The fastest plan found that fits, or a much smaller one that is nearly as fast; None if none fits.

        Where a chip has too few multipliers to keep up with the pixels, layers are hard-wired, one after
        another, as long as that makes it faster; and where they still are too few, a layer that has the time
        takes its inputs bit by bit.

        Parameters
        ----------
        budget : Budget
        limit : int
            Multipliers, at most.
        wires : bool
            Whether layers may be hard-wired for want of multipliers.
        """
        best = self.best(self.searches, budget, limit)
        for wired in wirable(self.net, self.device, budget.lut) if wires and not self.loadable else ():
            if best is not None and best.cycles <= self.searches[0].floor:
                break
            search = Search(self.net, device=self.device, wired=wired)
            tried = self.best([search], budget, limit)
            if tried is not None and (best is None or tried.cycles < best.cycles):
                best = tried
        if wires and not self.loadable:
            best = self.serial(best, budget)
        return best or self.upwards(budget, limit)

    def upwards(self, budget: Budget, limit: int) -> Fit | None:
        """The fastest plan found from the smallest one on, where that is not the one with fewest multipliers.

        None if that does not fit either.
        """
        start = self.smallest(budget)
        if lacking(start.need, budget):
            return None
        most = min(self.products(budget.dsp), limit)
        found = [start]
        for search in self.searches:
            count = start.plan.multipliers
            while (count := count + max(count // STEPS, 1)) <= min(search.most, most):
                fit = self.fit(search.within(count))
                if lacking(fit.need, budget):
                    break
                found.append(fit)
        return preferred(found)

    def serial(self, best: Fit | None, budget: Budget) -> Fit | None:
        """A plan as fast as pixels come, with layers bit by bit, if the best one is slower; else that."""
        search = self.searches[0]
        if best is not None and best.cycles <= search.floor:
            return best
        tried = serialised(self.net, search.plan(search.floor), search.floor, budget.dsp)
        if constant_luts(self.net, tried, self.device) > MOST:
            return best
        found = self.fit(tried)
        return best if lacking(found.need, budget) else found

    def best(self, searches: list[Search], budget: Budget, limit: int) -> Fit | None:
        """The best plan of some searches that fits."""
        found = [fit for search in searches for fit in self.steps(search, budget, limit)]
        return preferred(found)

    def steps(self, search: Search, budget: Budget, limit: int) -> Iterator[Fit]:
        """Plans of a search that fit, faster and faster."""
        low, high = search.least, min(search.most, self.products(budget.dsp))
        high = max(min(high, limit), low)
        ends = [self.fit(search.within(count)) for count in (low, high)]
        good = [not lacking(fit.need, budget) for fit in ends]
        yield from (fit for fit, fits in zip(ends, good) if fits)
        if all(good) or not good[0]:
            return
        most = high
        while high - low > low // STEPS + 1:
            count = (low + high) // 2
            fit = self.fit(search.within(count))
            if lacking(fit.need, budget):
                high = count
            else:
                low = count
                yield fit
        # More multipliers may take less beside them. Of few, all numbers are tried.
        for count in range(most - 1, low, -1) if most <= TRIED else ():
            if not lacking((fit := self.fit(search.within(count))).need, budget):
                yield fit
                return

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
            f"the nearest plan that fits has {multipliers(near.plan)}"
            f" and takes {near.cycles:,} cycles a frame"
        )

    def short(self, budget: Budget) -> str:
        """What to say where no plan fits: what the one that lacks least is short of."""
        least = self.smallest(budget)
        return (
            f"no plan fits: the smallest has {multipliers(least.plan)} and is short of about"
            f" {missing(least.need, budget)}"
        )

    def smallest(self, budget: Budget) -> Fit:
        """The smallest plan found: the smallest in what a budget is short of.

        A plan that fits, if any of those looked at does; else the one that lacks least. The fewest
        multipliers take the fewest LUTs and flip-flops or hardly more, but not the least memory, which
        depends on how wide its words are. So where there is logic enough, plans of more multipliers are
        counted too, one after another, until `PATIENCE` or `EFFORT` is at its end.
        """
        if budget not in self.least:
            self.least[budget] = self.least_lacking(budget)
        return self.least[budget]

    def least_lacking(self, budget: Budget) -> Fit:
        """What `smallest` says."""
        first = self.searches[0].least
        found = [self.fit(search.within(first)) for search in self.searches]
        base = min(found, key=lambda fit: fit.need.lut).need
        if all(lacking(fit.need, budget) for fit in found) and logic_short(base, budget) <= SLACK:
            count = EFFORT // (PLAIN + base.ff) // len(self.searches)
            last = min(first + count, max(search.most for search in self.searches))
            lack, vain = min(shortage(fit.need, budget) for fit in found), 0
            for number in range(first + 1, last + 1):
                found += [self.fit(search.within(number)) for search in self.searches]
                least = min(shortage(fit.need, budget) for fit in found)
                vain = 0 if least < lack else vain + 1
                if not least or vain == PATIENCE:
                    break
                lack = least
        return min(found, key=lambda fit: (shortage(fit.need, budget), fit.need.lut))


def logic_short(need: Budget, budget: Budget) -> float:
    """How much logic is short."""
    return shortage(replace(need, dsp=0, bram=0), budget)


def missing(need: Budget, budget: Budget) -> str:
    """What is short, and by how much."""
    return " and ".join(
        f"{getattr(need, key) - getattr(budget, key):,} {UNITS[key]}" for key in lacking(need, budget)
    )


def preferred(found: list[Fit]) -> Fit | None:
    """The fastest plan of some, or a much smaller one that is nearly as fast."""
    return min(found, key=lambda fit: (fit.cycles**SPEED * fit.need.lut, fit.cycles), default=None)


def excess(need: Budget, budget: Budget) -> str:
    """What of which exceeds what."""
    return " and ".join(
        f"about {getattr(need, key):,} {UNITS[key]} of {getattr(budget, key):,}"
        for key in lacking(need, budget)
    )


def multipliers(plan: Plan) -> str:
    """How many there are, and what is no multiplier but counts as some."""
    wired = sum(stage.multipliers for stage in plan.stages.values() if stage.wired)
    return f"{plan.multipliers} multipliers" + (f" ({wired} of them hard-wired)" if wired else "")
