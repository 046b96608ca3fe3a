"""The end of the net: all logits side by side, and the class they speak for."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.parts.comparing import exceeds
from hdl.parts.counting import counter
from hdl.parts.pipe import lanes_of
from model.arithmetic.qformat import QFormat


class Argmax(wiring.Component):
    """Index of the largest of `count` values, the first of equals.

    Latency: ``count + 2`` cycles, one to see the values and one a comparison; initiation interval:
    ``count + 3``.

    Parameters
    ----------
    fmt : QFormat
    count : int

    Members
    -------
    i : stream of `count` values
    o : stream of {"cls": index, "logits": the values}
    """

    def __init__(self, fmt: QFormat, count: int):
        self.fmt, self.count = fmt, count
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, count))),
                "o": Out(stream.Signature(answer_layout(fmt, count))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        values = Signal(self.i.payload.shape(), reset_less=True)
        best = Signal(values[0].shape(), reset_less=True)
        winner = Signal(range(self.count), reset_less=True)
        # The many registers that take the values hang on one flip-flop.
        takes, busy, done = Signal(), Signal(), Signal()
        index, last = counter(m, "index", self.count, busy)
        first = Signal(init=1)
        bits = Value.cast(values)
        value = values[0]
        # A value is compared in the cycle before, with the best so far and with the one that may become it.
        replaced, beats_last, beats_best, larger = Signal(), Signal(), Signal(), Signal()
        m.d.comb += larger.eq(first | Mux(replaced, beats_last, beats_best))
        m.d.comb += [
            self.i.ready.eq(takes),
            self.o.valid.eq(done),
            self.o.payload.cls.eq(winner),
            self.o.payload.logits.eq(values),
        ]
        m.d.sync += takes.eq(self.i.valid & ~busy & ~done & ~takes)
        with m.If(takes):
            m.d.sync += [values.eq(self.i.payload), busy.eq(1)]
        with m.If(busy):
            # A full turn: the values stand where they stood when the answer is given.
            m.d.sync += bits.eq(bits.rotate_right(self.fmt.width))
            m.d.sync += [
                first.eq(last),
                replaced.eq(larger),
                beats_last.eq(exceeds(values[1 % self.count], value)),
                beats_best.eq(exceeds(values[1 % self.count], best)),
            ]
            with m.If(larger):
                m.d.sync += [best.eq(value), winner.eq(index)]
            with m.If(last):
                m.d.sync += [busy.eq(0), done.eq(1)]
        with m.If(done & self.o.ready):
            m.d.sync += done.eq(0)
        return m


def answer_layout(fmt: QFormat, count: int) -> data.StructLayout:
    """Payload of the answer to a frame."""
    return data.StructLayout(
        {"cls": unsigned(max(1, (count - 1).bit_length())), "logits": lanes_of(fmt, count)}
    )
