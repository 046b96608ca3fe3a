"""The multiply-accumulate array behind convolution and dense layers.

An output vector of C_out sums over K products (of each group, where a convolution is grouped) is folded
onto ``input_lanes * output_lanes`` multipliers: beats of `input_lanes` values arrive in the order of K, and
each stays for ``C_out / output_lanes`` cycles while the output channels pass by. So one array serves a
convolution, whose windows are handed out in slices, and a dense layer, whose inputs come as they are.
Groups come one behind the other and bring their own weights, as pixels bring their own biases: both are
words of a ROM, and a counter addresses them. Scales by channel cost the multipliers nothing: a channel's sum
is shifted once, when it is done.
"""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring

from hdl.devices.device import Device
from hdl.folding.layer import SHIFT_WIDTH, Folding, LoadableFolding
from hdl.folding.stage import StagePlan
from hdl.loadable.loading import Loads, memory
from hdl.loadable.loadrom import LoadRom
from hdl.parts.counting import counter
from hdl.parts.memory import Rom
from hdl.parts.pipe import Front, Pipe, delayed, lanes_of
from hdl.parts.rounding import RequantPipe
from hdl.products.digits import DigitPipe, Digits
from hdl.products.dots import Dots
from hdl.products.serial import SerialDots
from hdl.products.share import Client
from hdl.products.steps import Steps
from hdl.products.wired import WiredPipe
from model.golden.spec import WeightedSpec

WIDE = 2048
"""Bits of a beat, above which it is shifted by a slice."""


class Sequencer(Steps):
    """Hands an input beat out in slices of `input_lanes` values, each for as long as the output channels
    pass by, and numbers the steps and the output beats that they begin.

    Once a beat is in, its `Steps` follow each other: the output FIFO kept room for what they yield.

    Parameters
    ----------
    folding : Folding
    whole : bool
        Whether an input beat is a whole position: `Folding.input_folds` slices for each group.
    client : Client, optional
        If the multipliers are shared: then steps wait for their turns.
    """

    def __init__(self, folding: Folding, whole: bool, client: Client | None = None):
        self.folding, self.whole, self.client = folding, whole, client
        self.slices = slices = folding.groups * folding.input_folds if whole else 1
        super().__init__(
            lanes_of(
                folding.spec.src,
                (folding.groups * folding.inputs if whole else folding.plan.input_lanes)
                * folding.plan.pixel_lanes,
            ),
            step_layout(folding, client),
            burst=folding.output_folds * max(slices // folding.input_folds, 1),
            steps=slices * folding.output_folds,
        )

    def elaborate(self, platform):
        m = Module()
        folding, slices = self.folding, self.slices
        step = self.o.payload
        beats = folding.groups * folding.input_folds // slices
        starts, ends = Signal(init=1), Signal(init=folding.input_folds == 1)
        output, last_output = counter(m, "output", folding.output_folds, self.o.valid)
        first = self.client.first if self.client else 0
        index, _ = counter(m, "index", folding.steps, self.o.valid, first)
        # Where one counter is as long as another it stands for both.
        within, seed = index, output
        if folding.groups > 1 or first:
            within, _ = counter(m, "within", folding.vector_steps, self.o.valid)
        if folding.seeds > folding.output_folds:
            seed, _ = counter(m, "seed", folding.seeds, self.o.valid & starts)
        m.d.comb += [
            step.index.eq(index),
            step.seed.eq(seed),
            step.starts.eq(starts),
            step.ends.eq(ends),
        ]
        with m.If(self.o.valid):
            if folding.input_folds > 1:
                last = folding.vector_steps
                for flag, at in ((starts, last), (ends, last - folding.output_folds)):
                    with m.If(within == at - 1):
                        m.d.sync += flag.eq(1)
                    with m.Elif(last_output):
                        m.d.sync += flag.eq(0)

        accepted = Signal()
        _, last_part = counter(m, "part", beats, accepted)
        m.d.comb += self.spend.eq(accepted & last_part)

        if self.steps == 1:
            go = self.room
            if self.client:
                m.d.comb += self.client.asks.eq(self.i.valid & self.room)
                go = self.client.turn
            m.d.comb += [
                accepted.eq(self.i.valid & go),
                self.i.ready.eq(go),
                self.o.valid.eq(accepted),
                Value.cast(step.x).eq(self.sliced()),
            ]
            return m

        # Where steps wait for their turns `take` waits too, until the last of them is done.
        take, left, soon = Signal(), Signal(range(self.steps + 1)), Signal(init=1)
        beat = self.sliced()
        held = Signal(len(beat), reset_less=True)
        takes, own = [take], [slice(None)]
        if self.client:
            seen = Signal()
            m.d.sync += seen.eq((self.i.valid & self.room & soon | seen) & ~take)
            m.d.comb += [
                self.client.asks.eq(left != 0),
                self.o.valid.eq(self.client.turn),
                take.eq(seen & ((left == 0) | ((left == 1) & self.client.turn))),
            ]
        else:
            takes, own = self.copies(m, len(beat), soon)
            m.d.comb += [self.o.valid.eq(left != 0), take.eq(takes[0])]
        m.d.comb += [accepted.eq(take), self.i.ready.eq(take), Value.cast(step.x).eq(held)]
        # Between two turns the slice stays; between two beats nobody looks.
        done = last_output & self.client.turn if self.client else last_output
        size = len(Value.cast(step.x))
        # Amaranth follows each bit of a shift to all others: minutes where a beat is wide. Narrow ones keep
        # the names of their cells, on which placements by a known seed depend.
        following = held >> size if len(held) <= WIDE else held[size:]
        for copy, bits in zip(takes, own):
            with m.If(copy):
                m.d.sync += held[bits].eq(beat[bits])
            if slices > 1:
                with m.Elif(done):
                    m.d.sync += held[bits].eq(following[bits])
        self.count(m, take, left, soon)
        return m

    def sliced(self) -> Value:
        """The input beat as slices side by side: behind each group zeros for lanes that have no input."""
        beat = Value.cast(self.i.payload)
        if not self.whole:
            return beat
        folding = self.folding
        width = folding.spec.src.width
        pixels, lanes = folding.plan.pixel_lanes, folding.plan.input_lanes
        idle = Const(0, width * (folding.input_folds * lanes - folding.inputs))
        vectors = [
            Cat(beat.word_select(vector, width * folding.inputs), idle)
            for vector in range(folding.groups * pixels)
        ]
        if pixels == 1:
            return Cat(vectors)
        # Pixels take their steps side by side.
        return Cat(
            vector.word_select(fold, width * lanes)
            for fold in range(folding.input_folds)
            for vector in vectors
        )


def step_layout(folding: Folding, client: Client | None) -> data.StructLayout:
    """Payload of a step: the inputs, which weights and biases meet them, and where a sum starts and ends."""
    return data.StructLayout(
        {
            "x": lanes_of(folding.spec.src, folding.plan.input_lanes * folding.plan.pixel_lanes),
            "index": range(folding.steps + (client.first if client else 0)),
            "seed": range(folding.seeds),
            "starts": 1,
            "ends": 1,
        }
    )


class MacPipe(Pipe):
    """Multiplies, adds over the input lanes, and sums up step by step.

    Latency: that of the `Dots` and 1 cycle. Throughput: one step a cycle.

    Parameters
    ----------
    folding : Folding
    device : Device
    client : Client, optional
        If the multipliers are shared.
    loads : Loads, optional
        Memories of a loadable folding.
    """

    def __init__(
        self,
        folding: Folding,
        device: Device,
        client: Client | None = None,
        loads: Loads | None = None,
    ):
        self.folding, self.device, self.client, self.loads = folding, device, client, loads
        spec, plan = folding.spec, folding.plan
        self.dots = None
        if plan.serial:
            self.dots = SerialDots(spec.src, folding.matrix, plan.output_lanes)
        elif client is None:
            self.dots = Dots(
                spec.src,
                spec.weight_format,
                plan.input_lanes,
                plan.output_lanes,
                folding.weight_words(),
                device,
                f"{spec.name}.weights",
                loads,
                plan.pixel_lanes,
            )
        super().__init__(
            step_layout(folding, client),
            lanes_of(folding.accumulator, plan.lanes),
            (client or self.dots).latency + 1,
        )

    def elaborate(self, platform):
        m = Module()
        folding, plan = self.folding, self.folding.plan
        step, source = self.i.payload, self.client or self.dots
        if self.dots:
            m.submodules.dots = self.dots
        m.d.comb += source.x.eq(step.x)
        m.d.comb += source.valid.eq(self.i.valid) if plan.serial else source.index.eq(step.index)
        valid = delayed(m, self.i.valid, self.latency - 1, "valid", reset_less=False)
        starts = delayed(m, step.starts, self.latency - 1, "starts")
        ends = delayed(m, step.ends, self.latency - 1, "ends")
        seed_at = delayed(m, step.seed, self.latency - 1 - Rom.latency, "seed")

        bias = memory(
            m,
            f"{folding.spec.name}.bias",
            folding.accumulator.width * folding.seed_lanes,
            folding.bias_words(),
            seed_at,
            self.device,
            self.loads,
        )

        for lane in range(plan.lanes):
            seed = bias.word_select(lane % folding.seed_lanes, folding.accumulator.width).as_signed()
            total = Signal(signed(folding.accumulator.width), name=f"total{lane}")
            # The sums that are under way circulate.
            ring = [Signal.like(total, name=f"sum_{lane}_{n}", reset_less=True) for n in range(folding.sums)]
            base = seed if folding.input_folds == 1 else Mux(starts, seed, ring[-1])
            m.d.comb += [total.eq(base + source.dots[lane]), self.o.payload[lane].eq(ring[0])]
            with m.If(valid):
                m.d.sync += Cat(ring).eq(Cat(total, *ring[:-1]))
        result = Signal()
        m.d.sync += result.eq(valid & ends)
        m.d.comb += self.o.valid.eq(result)
        return m


class AlignPipe(Pipe):
    """Shifts finished sums onto the grid that all output channels share.

    A lane whose channels all have the same shift is wires; else a counter of output beats selects.
    Latency: 1 cycle if any lane selects, else 0. Throughput: one beat a cycle.

    Parameters
    ----------
    folding : Folding
    """

    def __init__(self, folding: Folding):
        self.folding = folding
        self.selects = bool((folding.shifts != folding.shifts[0]).any())
        lanes = folding.plan.lanes
        super().__init__(
            lanes_of(folding.accumulator, lanes), lanes_of(folding.aligned, lanes), int(self.selects)
        )

    def elaborate(self, platform):
        m = Module()
        shifts = np.tile(self.folding.shifts, self.folding.plan.pixel_lanes)
        if self.selects:
            beat, _ = counter(m, "beat", len(shifts), self.i.valid)
        for lane, source in enumerate(self.i.payload):
            target = self.o.payload[lane]
            if not self.selects:
                m.d.comb += target.eq(source.shift_left(int(shifts[0, lane])))
                continue
            chosen = Signal.like(target, name=f"chosen{lane}", reset_less=True)
            m.d.comb += target.eq(chosen)
            with m.Switch(beat):
                for shift in sorted(set(shifts[:, lane].tolist())):
                    with m.Case(*(shifts[:, lane] == shift).nonzero()[0].tolist()):
                        m.d.sync += chosen.eq(source.shift_left(shift))
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m


class ScalePipe(Pipe):
    """An `AlignPipe` whose shifts are written at run time.

    Latency: 3 cycles, two to look the shifts up. Throughput: one beat a cycle.

    Parameters
    ----------
    folding : LoadableFolding
    device : Device
    loads : Loads
    """

    def __init__(self, folding: LoadableFolding, device: Device, loads: Loads):
        self.folding, self.device, self.loads = folding, device, loads
        lanes = folding.plan.lanes
        super().__init__(
            lanes_of(folding.accumulator, lanes), lanes_of(folding.aligned, lanes), LoadRom.latency + 1
        )

    def elaborate(self, platform):
        m = Module()
        shifts = self.loads.rom(m, f"{self.folding.spec.name}.shifts", self.device)
        beat, _ = counter(m, "beat", len(self.folding.shifts), self.i.valid)
        m.d.comb += [
            shifts.addr[0].eq(beat),
            self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False)),
        ]
        sums = delayed(m, self.i.payload, LoadRom.latency, "sums")
        plan = self.folding.plan
        for lane in range(plan.lanes):
            moved = Signal.like(self.o.payload[lane], name=f"moved{lane}", reset_less=True)
            shift = shifts.data[0].word_select(lane % plan.output_lanes, SHIFT_WIDTH)
            m.d.sync += moved.eq(sums[lane] << shift)
            m.d.comb += self.o.payload[lane].eq(moved)
        return m


def mac_parts(
    spec: WeightedSpec,
    plan: StagePlan,
    device: Device,
    client: Client | None = None,
    loads: Loads | None = None,
    *,
    whole: bool,
    front: Front | None = None,
) -> list[wiring.Component]:
    """From input vectors to beats of `output_lanes` outputs.

    Parameters
    ----------
    spec : WeightedSpec
    plan : StagePlan
    device : Device
    client : Client, optional
        If the multipliers are shared.
    loads : Loads, optional
        Memories of weights that are written at run time.
    whole : bool
        Whether the vectors of a position come in one beat, or in beats of `input_lanes` values.
    front : Front, optional
        What hands the steps out, in place of a `Sequencer`.
    """
    folding = Folding(spec, plan) if loads is None else loads.foldings[spec.name]
    if plan.wired and plan.digits > 1:
        parts: list[wiring.Component] = [Digits(folding), DigitPipe(folding)]
    elif plan.wired:
        parts = [WiredPipe(folding, device)]
    else:
        parts = [front or Sequencer(folding, whole, client), MacPipe(folding, device, client, loads)]
    if folding.aligns:
        parts.append(AlignPipe(folding) if loads is None else ScalePipe(folding, device, loads))
    if folding.aligned != spec.dst:
        parts.append(RequantPipe(folding.aligned, spec.dst, plan.lanes, rounded=True))
    return parts
