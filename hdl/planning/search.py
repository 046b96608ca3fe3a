"""The search for the best plan: which layers share multipliers, and how many lanes they have."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import StagePlan
from hdl.planning.cost import answer_cycles, beats_of, bound_cycles, slide_of
from hdl.planning.harden import all_lanes, hardened
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.golden.spec import WeightedSpec
from model.layers import ConvSpec

DEFAULT_MULTIPLIERS = 80
"""Multipliers of a plan where nobody says how many: half of a large board's, quick to place."""
ANY_SHARING = 6
"""Layers of a net in which any may share; in longer nets only neighbours do."""
SHARING = 0.05
"""What sharing costs for each further layer, in multipliers for each that is shared: its weights stand in
words as wide as the whole array, and a choice stands before every input.
"""


@dataclass(frozen=True, order=True)
class Option:
    """One way to build an array.

    Attributes
    ----------
    multipliers : int
        None of a hard-wired layer.
    cycles : int
        A frame.
    input_lanes, output_lanes : int
        Of the array; each of its layers uses of them what it can.
    """

    multipliers: int
    cycles: int
    input_lanes: int
    output_lanes: int


Arrayed = tuple[tuple[int, ...], Option]
"""Layers by their numbers, and the array that they have."""


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [n for n in range(1, number + 1) if number % n == 0]


def folds(number: int) -> list[int]:
    """The fewest lanes for each number of cycles in which they can take `number` values, ascending."""
    return sorted({-(-number // cycles) for cycles in range(1, number + 1)})


def lanes_of(spec: WeightedSpec) -> tuple[list[int], list[int]]:
    """Input and output lanes worth having: those that no fewer equal in cycles."""
    _, inputs, outputs = spec.matrices.shape
    return folds(inputs) if isinstance(spec, ConvSpec) else divisors(inputs), divisors(outputs)


def choices(spec: WeightedSpec) -> Iterator[StagePlan]:
    """Every `StagePlan` of a layer that no smaller one equals in cycles."""
    input_lanes, output_lanes = lanes_of(spec)
    for outputs in output_lanes:
        for inputs in input_lanes:
            yield StagePlan(inputs, outputs)


def search(net: QNetwork, multipliers: int = DEFAULT_MULTIPLIERS, *, shares: bool = True) -> Plan:
    """The plan with the fewest cycles a frame, then the cheapest.

    Parameters
    ----------
    net : QNetwork
    multipliers : int
        Not to be exceeded.
    shares : bool
        Whether layers may share multipliers.

    Raises
    ------
    ValueError
        If there is not even one, or one for each layer where none may share.
    """
    return Search(net, shares=shares).within(multipliers)


def default(net: QNetwork) -> Plan:
    """The plan that simulation and boards take if the user names none."""
    return search(net)


class Search:
    """All plans of a net that are worth a look.

    Parameters
    ----------
    net : QNetwork
    shares : bool
        Whether layers may share multipliers, or have none; with loadable weights they may not.
    device : Device
        For which weights are hard-wired where a layer has all lanes and that is cheaper.
    wired : set of str
        Layers that are hard-wired in any case; what is said of multipliers is said of the others.

    Attributes
    ----------
    floor : int
        Cycles a frame that no plan goes below.
    rates : list of int
        Cycles a frame that a plan may have, ascending.
    """

    def __init__(
        self,
        net: QNetwork,
        *,
        shares: bool = True,
        device: Device = ECP5,
        wired: frozenset[str] = frozenset(),
    ):
        self.net, self.layers, self.shares = net, weighted(net), shares
        self.device = device
        self.wired = {index for index, spec in enumerate(self.layers) if spec.name in wired}
        self.lanes = [self.worthwhile(spec) for spec in self.layers]
        # No plan is faster than the layers take their pixels, so no multiplier is spent on more.
        beats = [beats_of(spec, spec.in_shape[2]) for spec in walk(net.specs)]
        self.floor = max(answer_cycles(net), *beats)
        self.options = {members: list(self.options_of(members)) for members in self.sharings()}
        cycles = {option.cycles for options in self.options.values() for option in options}
        self.rates = sorted({self.floor, *cycles})

    def worthwhile(self, spec: WeightedSpec) -> tuple[list[int], list[int]]:
        """Input and output lanes that a layer may have, ascending."""
        return lanes_of(spec)

    def sharings(self) -> Iterator[tuple[int, ...]]:
        """Layers that may share an array, by their numbers."""
        yield from ((index,) for index in self.wired)
        others = [index for index in range(len(self.layers)) if index not in self.wired]
        count = len(others)
        for size in range(1, (count if self.shares else 1) + 1):
            if count <= ANY_SHARING:
                yield from combinations(others, size)
            else:
                yield from (tuple(others[first : first + size]) for first in range(count - size + 1))

    def options_of(self, members: tuple[int, ...]) -> Iterator[Option]:
        """Arrays of layers, more and more multipliers with fewer and fewer cycles."""
        if self.wired.issuperset(members):
            lanes = all_lanes(self.layers[members[0]])
            yield Option(0, self.floor, lanes.input_lanes, lanes.output_lanes)
            return
        input_lanes = sorted({lanes for index in members for lanes in self.lanes[index][0]})
        output_lanes = sorted({lanes for index in members for lanes in self.lanes[index][1]})
        best = None
        # Wide sums before many of them: a sum costs an accumulator.
        for inputs, outputs in sorted(
            ((inputs, outputs) for inputs in input_lanes for outputs in output_lanes),
            key=lambda lanes: (lanes[0] * lanes[1], -lanes[0]),
        ):
            loads = [self.load(index, inputs, outputs) for index in members]
            cycles = max(sum(loads), self.floor)
            if best is None or cycles < best:
                best = cycles
                yield Option(inputs * outputs, cycles, inputs, outputs)

    def load(self, index: int, inputs: int, outputs: int) -> int:
        """Cycles a frame for which a layer occupies an array of so many lanes."""
        spec = self.layers[index]
        groups, depth, kernels = spec.matrices.shape
        stage = self.stage(index, inputs, outputs)
        height, width, _ = spec.out_shape
        steps = groups * -(-depth // stage.input_lanes) * (kernels // stage.output_lanes)
        return max(height * width * steps, slide_of(spec, stage))

    def stage(self, index: int, inputs: int, outputs: int, array: str | None = None) -> StagePlan:
        """What a layer uses of an array's lanes."""
        own = [
            max(lanes for lanes in mine if lanes <= most)
            for mine, most in zip(self.lanes[index], (inputs, outputs))
        ]
        return StagePlan(*own, array)

    def cheapest(self, cycles: int, sharing: float = 0.0) -> list[Arrayed] | None:
        """The arrays with the fewest multipliers that keep a rate; None if none do.

        Parameters
        ----------
        cycles : int
            A frame, at most.
        sharing : float
            What another layer of an array is counted, as a share of the array's multipliers.
        """
        fitting = []
        for members, options in self.options.items():
            option = next((option for option in options if option.cycles <= cycles), None)
            if option:
                price = option.multipliers * (1 + sharing * (len(members) - 1))
                fitting.append((members, option, price))
        # By what is left to do, a set of layers; each time the first of them gets an array.
        best = {frozenset(range(len(self.layers))): ((0.0, 0), [])}
        while best:
            left = min(best, key=lambda layers: (-len(layers), sorted(layers)))
            (price, shared), arrays = best.pop(left)
            if not left:
                return arrays
            for members, option, more in fitting:
                if members[0] == min(left) and left.issuperset(members):
                    rest = left.difference(members)
                    total = price + more, shared + len(members) - 1
                    if rest not in best or total < best[rest][0]:
                        best[rest] = total, [*arrays, (members, option)]
        return None

    @property
    def least(self) -> int:
        """The fewest multipliers of any plan."""
        count = len(self.layers) - len(self.wired)
        return min(count, 1) if self.shares and self.layers else count

    @property
    def most(self) -> int:
        """The multipliers of the fastest plan."""
        return multipliers_of(self.cheapest(self.rates[self.first_within(None)]))

    def spent(self, plan: Plan) -> int:
        """Multipliers of a plan, those for the products of `wired` layers not counted."""
        return plan.multipliers - sum(
            plan.stages[self.layers[index].name].multipliers for index in self.wired
        )

    def first_within(self, multipliers: int | None) -> int:
        """The number of the highest rate that so many multipliers keep, or any number of them."""

        def fits(cycles: int) -> bool:
            arrays = self.cheapest(cycles)
            return arrays is not None and (multipliers is None or multipliers_of(arrays) <= multipliers)

        return bisect_left(self.rates, True, key=fits)

    def within(self, multipliers: int, busy: float = 0.0) -> Plan:
        """The plan with the fewest cycles of so many multipliers.

        Parameters
        ----------
        multipliers : int
            Not to be exceeded.
        busy : float
            Least efficiency, 0 to 1: faster plans in which multipliers wait more are passed over.

        Raises
        ------
        ValueError
            If there is not even one multiplier, or one for each layer where none may share.
        """
        if multipliers < self.least:
            least = "a multiplier" if self.least == 1 else f"{self.least} multipliers"
            each = "" if self.least == 1 else ", one for each layer"
            raise ValueError(f"net {self.net.name!r} needs {least} at least{each}, not {multipliers}")
        for cycles in self.rates[self.first_within(multipliers) :]:
            plan = self.plan(cycles, multipliers)
            if bound_cycles(self.net, plan) >= busy * cycles:
                return plan
        return plan

    def plan(self, cycles: int, multipliers: int | None = None) -> Plan:
        """The plan that keeps a rate at the least price.

        A few multipliers are cheaper than what sharing takes of the chip; where there are not as many
        (`multipliers`), layers share.

        Raises
        ------
        ValueError
            If no plan keeps it.
        """
        arrays = self.cheapest(cycles, SHARING)
        if arrays is None:
            least = self.rates[self.first_within(None)]
            raise ValueError(f"net {self.net.name!r} takes at least {least:,} cycles a frame, not {cycles:,}")
        if multipliers is not None and multipliers_of(arrays) > multipliers:
            arrays = self.cheapest(cycles)
        stages = {}
        for number, (members, option) in enumerate(arrays):
            array = f"array{number}" if len(members) > 1 else None
            for index in members:
                if index in self.wired:
                    stages[index] = all_lanes(self.layers[index])
                else:
                    stages[index] = self.stage(index, option.input_lanes, option.output_lanes, array)
        plan = Plan({spec.name: stages[index] for index, spec in enumerate(self.layers)})
        return hardened(self.net, plan, self.device) if self.shares else plan


def multipliers_of(arrays: list[Arrayed]) -> int:
    """Multipliers of arrays."""
    return sum(option.multipliers for _, option in arrays)
