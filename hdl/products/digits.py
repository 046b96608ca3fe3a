"""Inputs of hard-wired weights, some of their bits at a time: smaller sums, more cycles."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from hdl.folding.layer import Folding
from hdl.parts.pipe import Pipe, delayed, lanes_of
from hdl.products.sharing import adder_graph
from hdl.products.steps import Steps
from hdl.products.wired import Wired
from model.arithmetic.qformat import QFormat


def digit_layout(folding: Folding) -> data.StructLayout:
    """Payload of a step: a digit of every input, and whether it is the first or the last."""
    lanes = folding.inputs * folding.plan.pixel_lanes
    return data.StructLayout({"x": lanes_of(folding.digit, lanes), "starts": 1, "ends": 1})


class Digits(Steps):
    """Hands a beat's values out digit by digit, the lowest first.

    A digit is one of the `Steps`.

    Parameters
    ----------
    folding : Folding
        With more than one digit.
    """

    def __init__(self, folding: Folding):
        self.folding = folding
        super().__init__(
            lanes_of(folding.spec.src, folding.inputs * folding.plan.pixel_lanes),
            digit_layout(folding),
            steps=folding.plan.digits,
        )

    def elaborate(self, platform):
        m = Module()
        step, count = self.o.payload, self.steps
        left, soon = Signal(range(count + 1)), Signal(init=1)
        beat, digit = self.turned(), len(Value.cast(step.x))
        held = Signal(len(beat), reset_less=True)
        takes, own = self.copies(m, len(beat) - digit, soon)
        take, following = takes[0], held[digit:]
        m.d.comb += [
            self.i.ready.eq(take),
            self.spend.eq(take),
            self.o.valid.eq(left != 0),
            Value.cast(step.x).eq(held),
            step.starts.eq(left == count),
            step.ends.eq(left == 1),
        ]
        # The last digit moves on before the next beat comes, and behind it nobody looks: it needs no enable.
        m.d.sync += held[-digit:].eq(beat[-digit:])
        m.d.sync += [held[bits].eq(Mux(copy, beat[bits], following[bits])) for copy, bits in zip(takes, own)]
        self.count(m, take, left, soon)
        return m

    def turned(self) -> Value:
        """The input beat digit by digit, each of all values side by side."""
        width, source = self.folding.digit.width, self.folding.spec.src.width
        bits = Value.cast(self.i.payload)
        values = [bits.word_select(index, source) for index in range(len(bits) // source)]
        above = Const(0, width * self.steps - source)
        whole = [Cat(value, above) for value in values]
        return Cat(value.word_select(digit, width) for digit in range(self.steps) for value in whole)


class DigitPipe(Pipe):
    """Hard-wired sums of the digits, added up: each digit's sum to the ones before, shifted right.

    What the shift drops is done, and kept beside; so the adder is hardly wider than a digit's sums.

    Latency: the graph's and 1 cycle. Throughput: one digit a cycle.

    Parameters
    ----------
    folding : Folding
        With more than one digit, and biases by channel.
    """

    def __init__(self, folding: Folding):
        self.folding = folding
        # Each of its own: they stand far apart on the chip.
        graph = adder_graph(folding.matrix, folding.digit, None)
        self.dots = [Wired(graph, folding.digit) for _ in range(folding.plan.pixel_lanes)]
        super().__init__(
            digit_layout(folding), lanes_of(folding.accumulator, folding.plan.lanes), graph.latency + 1
        )

    @property
    def partial(self) -> QFormat:
        """Format of the sum up to any digit, what is done not counted."""
        folding, step = self.folding, self.folding.digit.width
        ends = []
        for digit in range(folding.plan.digits):
            most = min((1 << step * (digit + 1)) - 1, folding.spec.src.max)
            for weights in (folding.matrix.clip(max=0), folding.matrix.clip(min=0)):
                ends.append((weights.sum(axis=0) * most + folding.seeded_bias) >> (step * digit))
        return QFormat.spanning(min(end.min() for end in ends), max(end.max() for end in ends), 0)

    def elaborate(self, platform):
        m = Module()
        folding, step = self.folding, self.folding.digit.width
        sums = []
        for pixel, dots in enumerate(self.dots):
            m.submodules[f"dots{pixel}"] = dots
            own = self.i.payload.x.as_value().word_select(pixel, step * folding.inputs)
            m.d.comb += Value.cast(dots.x).eq(own)
            sums += list(dots.sums)
        late = self.latency - 1
        valid = delayed(m, self.i.valid, late, "valid", reset_less=False)
        starts, ends = (delayed(m, self.i.payload[name], late, name) for name in ("starts", "ends"))
        for lane, (dot, target) in enumerate(zip(sums, self.o.payload)):
            seed = int(folding.seeded_bias[lane % folding.outputs])
            total = Signal(signed(self.partial.width), name=f"total{lane}", reset_less=True)
            done = Signal(step * (folding.plan.digits - 1), name=f"done{lane}", reset_less=True)
            with m.If(valid):
                m.d.sync += [
                    total.eq(Mux(starts, seed, total >> step) + dot),
                    done.eq(Cat(done, total[:step])[step:]),
                ]
            m.d.comb += target.eq(Cat(done, total).as_signed())
        result = Signal()
        m.d.sync += result.eq(valid & ends)
        m.d.comb += self.o.valid.eq(result)
        return m
