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

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring

from hdl.device import Device
from hdl.folding import SHIFT_WIDTH, Folding, LoadableFolding, StagePlan
from hdl.loading import Loads
from hdl.loadrom import LoadRom
from hdl.memory import Rom
from hdl.pipe import Front, Pipe, delayed, lanes_of, tree, tree_latency
from hdl.requant import RequantPipe
from model.spec import WeightedSpec


class Sequencer(Front):
    """Hands an input beat out in slices of `input_lanes` values, each for as long as the output channels
    pass by, and numbers the steps and the output beats that they begin.

    Once a beat is in, its steps follow each other without a stall: the output FIFO kept room for what they
    yield. So the many registers that hold the beat hang on two flip-flops, and not on a chain of ready
    signals. Throughput: one step a cycle, if the next beat waits two cycles before the last step of this
    one.

    Parameters
    ----------
    folding : Folding
    slices : int
        Slices of an input beat: a window in one beat has `Folding.input_folds` of them for each group.
    """

    def __init__(self, folding: Folding, slices: int):
        self.folding, self.slices = folding, slices
        super().__init__(
            lanes_of(folding.spec.src, folding.plan.input_lanes * slices),
            step_layout(folding),
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
        index, _ = counter(m, "index", folding.steps, self.o.valid)
        # Where one counter is as long as another it stands for both.
        within, seed = index, output
        if folding.groups > 1:
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

        accepted = self.i.valid & self.i.ready
        beat = Signal(range(beats))
        with m.If(accepted):
            m.d.sync += beat.eq(Mux(beat == beats - 1, 0, beat + 1))
        m.d.comb += self.spend.eq(accepted & (beat == beats - 1))

        if self.steps == 1:
            m.d.comb += [
                self.i.ready.eq(self.room),
                self.o.valid.eq(accepted),
                step.x.eq(self.i.payload),
            ]
            return m

        # `take` is high in the one cycle in which a beat, seen the cycle before, is copied.
        take = Signal()
        left = Signal(range(self.steps + 1))
        held = Signal(len(Value.cast(self.i.payload)), reset_less=True)
        m.d.sync += take.eq(self.i.valid & self.room & (left <= 2) & ~take)
        m.d.comb += [
            self.i.ready.eq(take),
            self.o.valid.eq(left != 0),
            Value.cast(step.x).eq(held),
        ]
        with m.If(take):
            m.d.sync += [held.eq(Value.cast(self.i.payload)), left.eq(self.steps)]
        with m.Else():
            with m.If(last_output):
                m.d.sync += held.eq(held >> len(Value.cast(step.x)))
            with m.If(self.o.valid):
                m.d.sync += left.eq(left - 1)
        return m


def counter(m: Module, name: str, count: int, advance) -> tuple[Signal, Value]:
    """A signal that runs through ``0 .. count - 1`` as `advance` tells, and whether it is at the last."""
    value = Signal(range(count), name=name)
    last = value == count - 1
    with m.If(advance):
        m.d.sync += value.eq(Mux(last, 0, value + 1))
    return value, last


def step_layout(folding: Folding) -> data.StructLayout:
    """Payload of a step: the inputs, which weights and biases meet them, and where a sum starts and ends."""
    return data.StructLayout(
        {
            "x": lanes_of(folding.spec.src, folding.plan.input_lanes),
            "index": range(folding.steps),
            "seed": range(folding.seeds),
            "starts": 1,
            "ends": 1,
        }
    )


class MacPipe(Pipe):
    """``input_lanes * output_lanes`` multipliers, an adder tree for each output lane, and the sums.

    Latency: 5 + ceil(log2(input_lanes)) cycles: weights 2, products 2, tree, sum 1.
    Throughput: one step a cycle.

    Parameters
    ----------
    folding : Folding
    device : Device
    loads : Loads, optional
        Memories of a loadable folding.
    """

    def __init__(self, folding: Folding, device: Device, loads: Loads | None = None):
        self.folding, self.device, self.loads = folding, device, loads
        super().__init__(
            step_layout(folding),
            lanes_of(folding.accumulator, folding.plan.output_lanes),
            Rom.latency + 3 + tree_latency(folding.plan.input_lanes),
        )

    def elaborate(self, platform):
        m = Module()
        folding, spec, plan = self.folding, self.folding.spec, self.folding.plan
        step = self.i.payload
        width = spec.weight_format.width

        weights = self.rom(m, "weights", width * plan.input_lanes * plan.output_lanes, step.index)
        inputs = delayed(m, step.x, Rom.latency, "x")
        valid = delayed(m, self.i.valid, self.latency - 1, "valid", reset_less=False)
        starts = delayed(m, step.starts, self.latency - 1, "starts")
        ends = delayed(m, step.ends, self.latency - 1, "ends")
        seed_at = delayed(m, step.seed, self.latency - 1 - Rom.latency, "seed")

        bias = self.rom(m, "bias", folding.accumulator.width * plan.output_lanes, seed_at)

        for lane in range(plan.output_lanes):
            products = []
            for tap in range(plan.input_lanes):
                factor = weights.word_select(lane * plan.input_lanes + tap, width)
                factor = factor.as_signed() if spec.weight_format.signed else factor
                product = self.device.multiply(m, inputs[tap], factor, f"product_{lane}_{tap}")
                products.append(product)
            dot, _ = tree(m, products, lambda a, b: a + b, f"tree{lane}")

            seed = bias.word_select(lane, folding.accumulator.width).as_signed()
            total = Signal(signed(folding.accumulator.width), name=f"total{lane}")
            # As many sums are under way as there are output folds: they circulate.
            ring = [
                Signal.like(total, name=f"sum_{lane}_{n}", reset_less=True)
                for n in range(folding.output_folds)
            ]
            base = seed if folding.input_folds == 1 else Mux(starts, seed, ring[-1])
            m.d.comb += [total.eq(base + dot), self.o.payload[lane].eq(ring[0])]
            with m.If(valid):
                m.d.sync += Cat(ring).eq(Cat(total, *ring[:-1]))
        result = Signal()
        m.d.sync += result.eq(valid & ends)
        m.d.comb += self.o.valid.eq(result)
        return m

    def rom(self, m: Module, what: str, width: int, addr: Value) -> Value:
        """The weights or the biases at an address, two cycles later."""
        if self.loads is not None:
            rom = self.loads.rom(m, f"{self.folding.spec.name}.{what}", self.device)
            m.d.comb += rom.addr[0].eq(addr)
            return rom.data[0]
        words = self.folding.weight_words() if what == "weights" else self.folding.bias_words()
        m.submodules[what] = rom = Rom(width, words, self.device)
        m.d.comb += rom.addr.eq(addr)
        return rom.data


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
        lanes = folding.plan.output_lanes
        super().__init__(
            lanes_of(folding.accumulator, lanes), lanes_of(folding.aligned, lanes), int(self.selects)
        )

    def elaborate(self, platform):
        m = Module()
        shifts = self.folding.shifts
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
        lanes = folding.plan.output_lanes
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
        for lane in range(self.folding.plan.output_lanes):
            moved = Signal.like(self.o.payload[lane], name=f"moved{lane}", reset_less=True)
            m.d.sync += moved.eq(sums[lane] << shifts.data[0].word_select(lane, SHIFT_WIDTH))
            m.d.comb += self.o.payload[lane].eq(moved)
        return m


def mac_parts(
    spec: WeightedSpec, plan: StagePlan, device: Device, loads: Loads | None = None, *, whole: bool
) -> list[wiring.Component]:
    """From input vectors to beats of `output_lanes` outputs.

    Parameters
    ----------
    spec : WeightedSpec
    plan : StagePlan
    device : Device
    loads : Loads, optional
        Memories of weights that are written at run time.
    whole : bool
        Whether the vectors of a position come in one beat, or in beats of `input_lanes` values.
    """
    folding = Folding(spec, plan) if loads is None else loads.foldings[spec.name]
    slices = folding.groups * folding.input_folds if whole else 1
    parts = [Sequencer(folding, slices), MacPipe(folding, device, loads)]
    if folding.aligns:
        parts.append(AlignPipe(folding) if loads is None else ScalePipe(folding, device, loads))
    if folding.aligned != spec.dst:
        parts.append(RequantPipe(folding.aligned, spec.dst, plan.output_lanes, rounded=True))
    return parts
