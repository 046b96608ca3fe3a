"""What a plan makes of each layer: cycles, multipliers, estimated resources and latency, as a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from amaranth.lib import wiring
from rich.table import Table

from hdl.devices.budget import Budget
from hdl.devices.device import Device
from hdl.folding.net import Plan
from hdl.network import Accelerator, End
from hdl.parts.chain import Chain
from hdl.parts.gate import FrameVerdict
from hdl.parts.pipe import Elastic
from hdl.parts.window import Window
from hdl.planning.cost import answer_cycles, bound_cycles, cost, load_of, planned_cycles
from hdl.planning.estimate import around, counting, resources, surround
from hdl.planning.latency import Timeline, tolerance
from hdl.planning.tally import Tally
from hdl.stages.classify import Argmax
from hdl.stages.residual import Branches, Joint
from model.golden.qnetwork import QNetwork

TAKEN = ("LUT", "FF", "DSP", "BRAM")
NOTHING = Budget()


@dataclass(frozen=True)
class Row:
    """One layer, one shared array, or what stands at both ends of the net.

    Attributes
    ----------
    name, kind : str
    macs : int
        Products a frame.
    lanes : str
        Input lanes x output lanes, x pixel lanes if there are several, and the array if it is shared.
    multipliers : int
        Of its own; those of a shared array stand in the array's row.
    cycles, bound_cycles : int
        A frame: what it takes, and what its multipliers would take if they never waited.
    estimate : Budget
        A stage that several layers share (a convolution and the table behind it) stands with the first.
    latency : int or None
        Cycles from a frame's first pixel to the layer's last output.
    """

    name: str
    kind: str
    macs: int = 0
    lanes: str = ""
    multipliers: int = 0
    cycles: int = 0
    bound_cycles: int = 0
    estimate: Budget = NOTHING
    latency: int | None = None

    @property
    def efficiency(self) -> float | None:
        """Share of its cycles in which a row's own multipliers are busy."""
        return self.bound_cycles / self.cycles if self.multipliers else None

    def described(self) -> dict:
        """For JSON."""
        row = asdict(self)
        efficiency = self.efficiency
        return row | {"efficiency": None if efficiency is None else round(efficiency, 4)}


class Sheet:
    """A plan, laid out.

    Parameters
    ----------
    net : QNetwork
    plan : Plan
    device : Device
    on_board : bool
        Whether what a board has `around` the accelerator is counted too, its memory of images among it.

    Attributes
    ----------
    rows : list of Row
    total : Budget
    cycles, bound_cycles : int
        A frame, of the whole.
    latency : int
        Cycles from a frame's first pixel to its answer, computed.
    latency_within : int
        Cycles by which simulation may measure more or fewer.
    delays : dict of int
        Cycles in pipelines and FIFOs by layer, and by `End`.
    ends : int
        Those behind the last layer.
    """

    def __init__(self, net: QNetwork, plan: Plan, device: Device, *, on_board: bool = False):
        self.net, self.plan, self.device, self.on_board = net, plan, device, on_board
        self.cycles, self.bound_cycles = planned_cycles(net, plan), bound_cycles(net, plan)
        with counting():
            accelerator = Accelerator(net, plan, device)
            taken, self.delays, shared = counted(accelerator)
            beats = accelerator.out_beats
            ends = surround(accelerator) + sum((taken[end] for end in End), Tally())
            del accelerator
        done = Timeline(net, plan, self.delays).done
        self.ends = self.delays[End.LOGITS] + self.delays[End.ARGMAX]
        if not net.classifies:
            self.ends += FrameVerdict.latency
        self.latency = done[net.specs[-1].name] + self.ends
        self.latency_within = tolerance(plan, self.latency)
        self.rows = [self.layer(stage, taken[stage.name], done[stage.name]) for stage in cost(net, plan)]
        self.rows += [self.array(names, found) for names, found in shared]
        self.rows.append(
            Row(
                "frame, class" if net.classifies else "frame, values",
                "ends",
                cycles=answer_cycles(net) if net.classifies else beats,
                estimate=ends,
                latency=self.latency,
            )
        )
        if on_board:
            self.rows.append(Row("serial port, images", "board", estimate=around(net, plan, device)))
        self.total = sum((row.estimate for row in self.rows), Tally()).on(device)
        self.rows = [replace(row, estimate=row.estimate.on(device)) for row in self.rows]

    def layer(self, stage, taken: Tally, done: int) -> Row:
        """The row of a layer."""
        planned, lanes, multipliers = self.plan.stages.get(stage.name), "", stage.multipliers
        if planned:
            lanes = f"{planned.input_lanes}x{planned.output_lanes}"
            if planned.pixel_lanes > 1:
                lanes = f"{lanes}x{planned.pixel_lanes}"
            if any(stage.name in names for names in self.plan.arrays if len(names) > 1):
                lanes, multipliers = f"{lanes} of {planned.array}", 0
        return Row(
            stage.name,
            stage.kind,
            stage.macs,
            lanes,
            multipliers,
            stage.cycles,
            stage.bound_cycles,
            taken,
            done,
        )

    def array(self, names: tuple[str, ...], taken: Tally) -> Row:
        """The row of the array of some layers."""
        multipliers = self.plan.array_multipliers(names)
        macs = sum(stage.macs for stage in cost(self.net, self.plan) if stage.name in names)
        return Row(
            name=self.plan.stages[names[0]].array,
            kind="array",
            multipliers=multipliers,
            cycles=load_of(self.net, self.plan, names),
            bound_cycles=-(-macs // multipliers),
            estimate=taken,
        )

    @property
    def efficiency(self) -> float:
        """Share of the rate that the input and the multipliers allow."""
        return self.bound_cycles / self.cycles

    def table(self) -> Table:
        """To read."""
        table = Table("stage", "kind", "MACs", "lanes", "mult.", "cycles", "bound", "eff.", *TAKEN, "latency")
        for column in table.columns:
            column.no_wrap = True
            column.justify = "left" if column.header in ("stage", "kind", "lanes") else "right"
        for row in self.rows:
            table.add_row(
                row.name, row.kind, count(row.macs), row.lanes, *self.numbers(row), count(row.latency)
            )
        table.add_section()
        whole = Row(
            "all", "", self.net.macs, "", self.plan.multipliers, self.cycles, self.bound_cycles, self.total
        )
        table.add_row(whole.name, "", count(whole.macs), "", *self.numbers(whole), count(self.latency))
        return table

    def numbers(self, row: Row) -> list[str]:
        """The middle columns of a row."""
        efficiency = "" if row.efficiency is None else f"{row.efficiency:.3f}"
        taken = row.estimate
        return [
            *map(count, (row.multipliers, row.cycles, row.bound_cycles)),
            efficiency,
            *map(count, (taken.lut, taken.ff, taken.dsp, taken.bram)),
        ]


def count(number: int | None) -> str:
    """A number to read; nothing for none."""
    return f"{number:,}" if number else ""


def counted(accelerator: Accelerator) -> tuple[dict, Counter, list[tuple[tuple[str, ...], Tally]]]:
    """Resources by layer, cycles in pipelines and FIFOs by layer, and resources of arrays by layers."""
    taken, delays = defaultdict(Tally), Counter()
    parts, arrays = accelerator.parts()
    for layer, part in pieces(Chain(parts, accelerator.device)):
        taken[layer] += resources(part, accelerator.device)
        delays[layer] += delay(part)
    return taken, delays, [(tuple(array.clients), resources(array, accelerator.device)) for array in arrays]


def pieces(chain: Chain) -> Iterator[tuple[str | End, wiring.Component]]:
    """The stages of a chain with their layers; for a residual addition, those of its branches."""
    for layer, (_, part) in zip(chain.layers, chain.stages):
        if isinstance(part, Branches):
            for branch in part.chains:
                for inner, piece in pieces(branch):
                    yield layer if isinstance(inner, Joint) else inner, piece
        else:
            yield layer, part


def delay(part: wiring.Component) -> int:
    """Cycles from a beat to what comes of it, if nothing waits."""
    if isinstance(part, Elastic):
        return part.latency + 1
    if isinstance(part, Argmax):
        return part.count + 2
    if isinstance(part, Window):
        return part.latency
    return getattr(part, "latency", 1)
