"""Nets and plans that Hypothesis draws: layers of every kind, any widths, any legal plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from drawn_rules import draw_rule
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import SERIAL, WIRED, StagePlan
from hdl.planning.search import divisors
from model.arithmetic.qformat import QFormat
from model.arithmetic.rescale import matched
from model.arithmetic.steps import Function
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.layers import ConvSpec, PoolSpec, RescaleSpec
from random_nets import INNER, NetDrawer

INSIDE = (*INNER, "residual", "scaled", "scaled")
"""Of the layers between the first and the last."""
SUMS = "general", "general", "dense", "average", "addition"
"""What a rescale follows."""
WIDEST_TABLE = 12
"""Bits of a table's input, at most."""


class Choices:
    """Hypothesis in the place of NumPy's generator: it decides numbers one by one, and arrays by a seed."""

    def __init__(self, draw):
        self.draw = draw
        self.noise = np.random.default_rng(draw(st.integers(0, (1 << 32) - 1)))

    def integers(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        if size is not None or np.ndim(high):
            return self.noise.integers(low, high, size)
        return self.draw(st.integers(int(low), int(high) - 1))

    def random(self) -> float:
        return self.draw(st.integers(0, 99)) / 100


class DrawnNets(NetDrawer):
    """A `NetDrawer` led by Hypothesis, which uses all widths up to 16 bits.

    Attributes
    ----------
    rules : dict of (str, Function)
        Of each rescale that was found for one: what another framework computes, and its name.
    """

    def __init__(self, draw):
        self.rng = self.scales = self.sharing = Choices(draw)
        self.rules: dict[str, tuple[str, Function]] = {}

    def any_of(self, names: Sequence[str]) -> str:
        """One of some names, each as likely, where Hypothesis itself prefers the first."""
        return names[int(self.rng.integers(0, len(names), 1)[0])]

    def format(self, low: int = 1, high: int = 9, signed: bool | None = None) -> QFormat:
        return super().format(low, (high, high, 16)[self.integer(0, 2)], signed)

    def layer(self, kind, name, shape, src, last=False):
        # what no table can take in
        if kind == "table" and src.width > WIDEST_TABLE:
            kind = "requant"
        # a dense layer inside a net rounds, and here the last one stands for it
        last = last and not (kind == "dense" and self.integer(0, 1))
        return super().layer(kind, name, shape, src, last)

    def layers(self, kind, name, shape, src, last):
        if kind != "scaled":
            made = super().layers(kind, name, shape, src, last)
            if last and made[-1].dst == made[-1].accumulator and self.integer(0, 1):
                made.append(self.ruled(f"{name}_out", made[-1]))
            return made
        made = self.sums(self.any_of(SUMS), name, shape, src)
        return [made, self.ruled(f"{name}_out", made)]

    def sums(self, kind: str, name: str, shape, src: QFormat) -> Spec:
        """A layer that leaves its sums exact."""
        if kind in ("general", "dense"):
            return super().layer(kind, name, shape, src, True)
        if kind == "average":
            geometry = self.geometry(shape, 3)
            spec = PoolSpec(
                name=name, in_shape=shape, src=src, dst=src, mode="sum", kernel=geometry.kernel,
                stride=geometry.stride, padding=geometry.padding,
            )  # fmt: skip
        else:
            spec = self.residual(name, shape, src)
            # the scales of the branches stand in tables, as TFLite's additions have them
            ends = []
            for end, branch in zip("ab", (spec.body, spec.shortcut)):
                fmt = branch[-1].dst if branch else src
                ends.append((*branch, self.layer("table", f"{name}{end}t", spec.out_shape, fmt)))
            spec = replace(spec, body=ends[0], shortcut=ends[1])
        return replace(spec, dst=spec.sum_format)

    def ruled(self, name: str, sums: Spec) -> RescaleSpec:
        """The rescale of a drawn rule; any other one where there is none."""
        shape, src = sums.out_shape, sums.dst
        # all 8-bit results, or those of a few bits
        dst = QFormat(8, 0, bool(self.integer(0, 1))) if self.integer(0, 1) else NetDrawer.format(self)
        low, high = (np.full(shape[2], end) for end in (src.min, src.max))
        if isinstance(sums, WeightedSpec) and sums.bias.ndim == 1:
            low, high = (end << sums.shifts for end in sums.sum_ranges)
        bottom, top = sorted(self.integer(dst.min, dst.max) for _ in range(2))
        if self.integer(0, 1):
            bottom, top = dst.min, dst.max
        rule, function = draw_rule(self, low, high, dst)
        try:
            form = matched(function, low, high, bottom, top)
            spec = RescaleSpec(
                name=name, in_shape=shape, src=src, dst=dst, low=bottom, high=top, odd=form.odd,
                multipliers=form.multipliers, offsets=form.offsets, shifts=form.shifts,
            )  # fmt: skip
        except ValueError:
            return self.rescale(name, shape, src)
        self.rules[name] = rule, function
        return spec

    def drawn(self) -> tuple[QNetwork, Plan]:
        """A net of 2 to 6 layers, grey and reduction among them, which classifies or not, and a plan."""
        prepared = self.integer(0, 3) == 3
        fewest, most = (1, 4) if prepared else (2, 6)
        net = self.net(self.integer(fewest, most), largest=7, prepared=prepared, inner=INSIDE)
        net = replace(net, classifies=self.integer(0, 3) > 0)
        return net, self.any_plan(net)

    def any_plan(self, net: QNetwork) -> Plan:
        """A legal plan; loadable where a set of weights fits one."""
        loadable = self.integer(0, 3) == 3
        plan = Plan({spec.name: self.stage(spec, shares=not loadable) for spec in weighted(net)})
        if not loadable:
            for spec in weighted(net):
                plan = self.changed(net, plan, spec)
            return plan
        try:
            made = plan.made_loadable(net)
        except ValueError:
            return plan
        return made if fits(made, net) else plan

    def changed(self, net: QNetwork, plan: Plan, spec) -> Plan:
        """The plan with weights of another kind or several pixels at once in a layer, where that is legal."""
        single = {"input_lanes": spec.matrices.shape[1], "array": None}
        whole = {"output_lanes": spec.out_shape[2], "array": None}
        wired = single | whole | {"weights": WIRED}
        pixels = [{"pixel_lanes": count} for count in range(2, spec.out_shape[1] + 1)]
        changes = (
            [],
            [wired],
            [wired | {"digits": count} for count in range(2, 5)],
            [single | {"weights": SERIAL, "output_lanes": 1}],
            [whole | count for count in pixels],
            [wired | count for count in pixels],
        )[self.integer(0, 5)]
        stage = plan.stages[spec.name]
        others = [
            replace(plan, stages={**plan.stages, spec.name: replace(stage, **change)}) for change in changes
        ]
        legal = [other for other in others if fits(other, net)]
        return legal[self.integer(0, len(legal) - 1)] if legal else plan

    def stage(self, spec, *, shares: bool) -> StagePlan:
        """A legal plan of a layer with multipliers."""
        inputs, outputs = (divisors(n) for n in spec.matrices.shape[1:])
        if isinstance(spec, ConvSpec):
            inputs = range(1, inputs[-1] + 1)
        stage = StagePlan(
            inputs[self.integer(0, len(inputs) - 1)], outputs[self.integer(0, len(outputs) - 1)]
        )
        array = (None, "a", "a", "b")[self.integer(0, 3)] if shares else None
        return replace(stage, array=array)


def fits(plan: Plan, net: QNetwork) -> bool:
    """Whether a plan is one of a net."""
    try:
        plan.check(net)
    except ValueError:
        return False
    return True
