"""The plan of a net, apart from it: how parallel each layer is, and where its weights are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from hdl.folding.lanes import pooled
from hdl.folding.layer import MOST_SHIFT, Folding, LoadableFolding
from hdl.folding.stage import SERIAL, WIRED, StagePlan, pixels_in
from model.files.whole import replacing
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.layers import ConvSpec, GreySpec, PoolSpec, ReduceSpec

SPARE = 2
"""Fraction bits that later weights may have more than the first."""
WEIGHTS = ("fixed", "loadable", "scaled")
"""Where weights are: in ROMs, in memories written at run time, or that with a shift for each channel too."""


@dataclass(frozen=True)
class Plan:
    """How a net becomes hardware.

    Parameters
    ----------
    stages : dict of StagePlan
        One for each layer with weights, by the layer's name.
    weights : str
        One of `WEIGHTS`.
    fracs : dict of int
        Fraction bits of the finest weights that a layer can be loaded with; shifts make up for coarser ones.
        A layer that is not named takes those of its first net alone.
    clock_mhz : float, optional
        Of the core, where a board's user asks for no other; else the board's own.
    seed : int, optional
        Of placement, likewise: one with which that clock was reached.
    """

    stages: dict[str, StagePlan]
    weights: str = "fixed"
    fracs: dict[str, int] = field(default_factory=dict)
    clock_mhz: float | None = None
    seed: int | None = None

    def check(self, net: QNetwork) -> None:
        """Raise a ValueError, naming the layer, if the plan does not fit the net."""
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights are {', '.join(WEIGHTS)}, not {self.weights!r}")
        planned = {spec.name for spec in weighted(net)}
        if missing := planned - self.stages.keys():
            raise ValueError(f"the plan has no lanes for layer {min(missing)!r}")
        if surplus := self.fracs.keys() - planned:
            raise ValueError(
                f"the plan has fraction bits for {min(surplus)!r}, which is no layer with weights"
            )
        if surplus := self.stages.keys() - planned:
            raise ValueError(
                f"the plan names {min(surplus)!r}, which is no layer with weights of {net.name!r}"
            )
        for spec in weighted(net):
            if self.loadable and (own := self.stages[spec.name].weights):
                name = "hard-wired" if own == WIRED else own
                spec.fail(f"{name} weights cannot be written at run time; plan multipliers for it")
            self.folding(spec)
            if self.stages[spec.name].pixel_lanes > 1 and spec not in net.specs:
                spec.fail("it has pixel lanes, which are not built within a residual addition")
        self.lanes_before(net)
        if self.loadable and (shared := [names for names in self.arrays if len(names) > 1]):
            name, *others = shared[0]
            raise ValueError(
                f"layer {name!r}: it shares its multipliers with {others[0]!r}, and loadable weights need"
                " multipliers of the layer's own"
            )

    @property
    def loadable(self) -> bool:
        """Whether weights are written at run time."""
        return self.weights != "fixed"

    def made_loadable(self, net: QNetwork) -> Plan:
        """The same plan with loadable weights of any scale, up to `SPARE` bits finer than the net's."""
        fracs = {
            spec.name: spec.weight_format.frac + max(min(SPARE, MOST_SHIFT - int(spec.shifts.max())), 0)
            for spec in weighted(net)
            if spec is not net.specs[-1] or spec.dst != spec.accumulator
        }
        stages = {name: replace(stage, weights=None, digits=1) for name, stage in self.stages.items()}
        return Plan(stages, "scaled", fracs, self.clock_mhz)

    def folding(self, spec: WeightedSpec) -> Folding:
        """How a layer is folded."""
        stage = self.stages[spec.name]
        if self.loadable:
            return LoadableFolding(spec, stage, scaled=self.weights == "scaled")
        return Folding(spec, stage)

    def lanes_after(self, spec: Spec, lanes: int) -> int:
        """Values in a beat behind a layer that is fed with beats of `lanes`."""
        if isinstance(spec, WeightedSpec):
            return self.stages[spec.name].lanes
        if spec.branches:
            # Pixels come one by one, and both branches end in beats of the wider one.
            lanes = min(lanes, spec.in_shape[2])
            return max(self.lanes_behind(branch, lanes) for branch in spec.branches)
        if isinstance(spec, (PoolSpec, ReduceSpec)):
            return pooled(spec, lanes)[1]
        return spec.out_shape[2] if isinstance(spec, GreySpec) else lanes

    def lanes_before(self, net: QNetwork) -> int:
        """Values in an input beat of a net: those of the pixels that its first convolution takes, or of one.

        Raises
        ------
        ValueError
            If these do not divide a row; names the layer.
        """
        pixels = 1
        for spec in net.specs:
            if isinstance(spec, ConvSpec) and self.stages[spec.name].pixel_lanes > 1:
                pixels *= pixels_in(spec, self.stages[spec.name])
                if net.in_shape[1] % pixels:
                    spec.fail(
                        f"it takes {pixels} pixels a beat, which do not divide rows of {net.in_shape[1]}"
                    )
                return pixels * net.in_shape[2]
            if isinstance(spec, (PoolSpec, ReduceSpec)):
                pixels *= spec.geometry.stride[1]
            elif isinstance(spec, (WeightedSpec, GreySpec)) or spec.branches:
                break
        return net.in_shape[2]

    def lanes_behind(self, chain: tuple[Spec, ...], lanes: int) -> int:
        """Values in a beat behind layers that are fed with beats of `lanes`."""
        for spec in chain:
            lanes = self.lanes_after(spec, lanes)
        return lanes

    def placed(self, chain: tuple[Spec, ...], lanes: int) -> Iterator[tuple[Spec, int]]:
        """Every layer of a chain fed with beats of `lanes` values, and the values in its input beats.

        What a layer is made of comes before the layer itself.
        """
        for spec in chain:
            for branch in spec.branches:
                yield from self.placed(branch, min(lanes, spec.in_shape[2]))
            yield spec, lanes
            lanes = self.lanes_after(spec, lanes)

    @property
    def arrays(self) -> list[list[str]]:
        """The layers that share multipliers, and those that have their own, array by array."""
        found = {}
        for name, stage in self.stages.items():
            found.setdefault(("shared", stage.array) if stage.array else ("own", name), []).append(name)
        return list(found.values())

    def array_multipliers(self, names: list[str]) -> int:
        """Multipliers of an array of layers."""
        stages = [self.stages[name] for name in names]
        widest = max(stage.input_lanes for stage in stages) * max(stage.output_lanes for stage in stages)
        return widest * stages[0].pixel_lanes

    @property
    def multipliers(self) -> int:
        """Multipliers of all layers."""
        return sum(map(self.array_multipliers, self.arrays))

    @property
    def real_multipliers(self) -> int:
        """Those of layers whose weights are numbers."""
        return sum(
            self.array_multipliers(names) for names in self.arrays if not self.stages[names[0]].weights
        )

    def shared(self, net: QNetwork) -> list[dict[str, Folding]]:
        """The layers of each array that more than one layer uses, in the net's order."""
        order = {spec.name: spec for spec in weighted(net)}
        return [
            {name: Folding(spec, self.stages[name]) for name, spec in order.items() if name in names}
            for names in self.arrays
            if len(names) > 1
        ]

    @classmethod
    def serial(cls, net: QNetwork) -> Plan:
        """One multiplier a layer."""
        return cls({spec.name: StagePlan() for spec in weighted(net)})

    def save(self, path) -> None:
        """Write the plan as JSON, whole and readable again, or not at all."""
        with replacing(path, "w", holds=lambda place: Plan.load(place, None) == self) as file:
            stages = {name: stage.described() for name, stage in self.stages.items()}
            content = {"weights": self.weights, "stages": stages}
            more = {"fracs": self.fracs or None, "clock_mhz": self.clock_mhz, "seed": self.seed}
            more = {key: value for key, value in more.items() if value is not None}
            json.dump(content | more, file, indent=2)
            file.write("\n")

    @classmethod
    def load(cls, path, net: QNetwork | None) -> Plan:
        """Read a plan and check it against a net, if there is one.

        Raises
        ------
        ValueError
            If the file is no plan, or not one of this net; names the file.
        OSError
            If it cannot be read.
        """
        with open(path, "rb") as file:
            text = file.read(1 << 20)
        try:
            content = json.loads(text)
            stages = {
                name: StagePlan(**{key: read(key, value) for key, value in lanes.items()})
                for name, lanes in content["stages"].items()
            }
            fracs = {name: fraction(name, frac) for name, frac in content.get("fracs", {}).items()}
            clock = content.get("clock_mhz")
            if clock is not None and not 0 < clock < inf:
                raise ValueError(f"clock_mhz must be a number above 0, not {clock!r}")
            seed = content.get("seed")
            if seed is not None:
                seed = whole("seed", seed, 0)
            plan = cls(stages, content.get("weights", "fixed"), fracs, clock, seed)
            if net is not None:
                plan.check(net)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it is no plan"
            raise ValueError(f"cannot use plan {path}: {reason}") from None
        return plan


def beside(artifact: Path, net: QNetwork) -> Plan | None:
    """The plan that lies beside a net's file: for ``NAME.npz`` ``NAME.plan.json``. None if there is none.

    Raises
    ------
    ValueError
        If it is no plan of this net; names the file.
    """
    path = artifact.with_suffix(".plan.json")
    return Plan.load(path, net) if path.is_file() else None


def read(key: str, value) -> int | str:
    """What JSON says of a layer: numbers of lanes, the name of an array, where its weights are."""
    if key == "array":
        if not isinstance(value, str) or not value:
            raise ValueError(f"array must be a name, not {value!r}")
        return value
    if key == "weights":
        if value not in (WIRED, SERIAL):
            raise ValueError(
                f"a layer's own weights are {WIRED!r}, {SERIAL!r} or as the plan's, not {value!r}"
            )
        return value
    return whole(key, value, 1)


def whole(key: str, value, least: int) -> int:
    """What JSON says of a number of at most nine digits."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 10**9:
        raise ValueError(f"{key} must be a whole number from {least}, not {value!r}")
    return value


def fraction(name: str, value) -> int:
    """What JSON says of the fraction bits of a layer's loadable weights."""
    if type(value) is not int:
        raise ValueError(f"fracs of {name!r} must be a whole number, not {value!r}")
    return value


def weighted(net: QNetwork) -> list[WeightedSpec]:
    """The layers that a plan speaks of."""
    return [spec for spec in walk(net.specs) if isinstance(spec, WeightedSpec)]
