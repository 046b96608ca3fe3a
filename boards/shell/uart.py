"""Asynchronous serial lines, 8 data bits, no parity, 1 stop bit."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

MIN_CYCLES = 8
"""Fewest clock cycles a bit: the receiver sees an edge up to one cycle late, an eighth of a bit then."""
FRACTION = 20
"""Bits of the accumulator that divides the clock: its error stays under 0.05 % down to 1,000 cycles a bit."""
TOLERANCE = 0.005
"""Largest share by which a line's own rate may differ from what was asked for."""


@dataclass(frozen=True)
class Baud:
    """A bit rate made from the core's clock by a fractional accumulator.

    Parameters
    ----------
    clock_hz : float
    rate : int
        Bits per second.

    Raises
    ------
    ValueError
        If the clock has fewer than 8 cycles a bit, or the rate cannot be met within 0.5 %.
    """

    clock_hz: float
    rate: int

    def __post_init__(self):
        if self.rate < 1:
            raise ValueError(f"a serial line needs a positive baud rate, not {self.rate}")
        if self.clock_hz < MIN_CYCLES * self.rate:
            raise ValueError(
                f"a clock of {self.clock_hz / 1e6:g} MHz is too slow for {self.rate} baud: a bit takes"
                f" {MIN_CYCLES} cycles or more; use a faster clock or"
                f" {int(self.clock_hz) // MIN_CYCLES} baud or less"
            )
        if abs(self.actual / self.rate - 1) > TOLERANCE:
            raise ValueError(
                f"{self.rate} baud is too slow for a clock of {self.clock_hz / 1e6:g} MHz: the divider is"
                f" {abs(self.actual / self.rate - 1):.1%} off; use a faster rate or a slower clock"
            )

    @property
    def step(self) -> int:
        """What the accumulator adds each cycle; it overflows once a bit."""
        return max(round(self.rate * (1 << FRACTION) / self.clock_hz), 1)

    @property
    def actual(self) -> float:
        """The rate that the accumulator really makes."""
        return self.step * self.clock_hz / (1 << FRACTION)

    def cycles(self, bits: float) -> int:
        """Clock cycles of a number of bits, rounded up."""
        return -int(-bits * self.clock_hz // self.rate)


class Receiver(wiring.Component):
    """Bytes from a line, each bit sampled at its centre.

    A start bit that is gone at its centre is taken for noise. After a byte with a framing error (no stop
    bit) the line must be idle again before the next start bit counts.

    Parameters
    ----------
    baud : Baud

    Members
    -------
    line : in
        The pin, asynchronous.
    o : stream of {data, error}
        Cannot wait, and says so: whoever takes it is always ready. `error` marks a missing stop bit.
    """

    def __init__(self, baud: Baud):
        self.baud = baud
        layout = data.StructLayout({"data": 8, "error": 1})
        super().__init__({"line": In(1, init=1), "o": Out(stream.Signature(layout, always_ready=True))})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.line, line, init=1)

        phase = Signal(FRACTION)
        sample = Signal()
        bits = Signal(8)
        count = Signal(range(8))
        m.d.comb += [self.o.payload.data.eq(bits), self.o.payload.error.eq(~line)]
        m.d.sync += Cat(phase, sample).eq(phase + self.baud.step)

        with m.FSM():
            with m.State("IDLE"):
                # half a bit to the centre of the start bit, then a whole one to each further centre
                m.d.sync += [phase.eq(1 << (FRACTION - 1)), sample.eq(0), count.eq(0)]
                with m.If(~line):
                    m.next = "START"
            with m.State("START"), m.If(sample):
                with m.If(line):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "DATA"
            with m.State("DATA"), m.If(sample):
                m.d.sync += [bits.eq(Cat(bits[1:], line)), count.eq(count + 1)]
                with m.If(count == 7):
                    m.next = "STOP"
            with m.State("STOP"), m.If(sample):
                m.d.comb += self.o.valid.eq(1)
                with m.If(line):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "BREAK"
            with m.State("BREAK"), m.If(line):
                m.next = "IDLE"
        return m


class Transmitter(wiring.Component):
    """Bytes onto a line: 10 bits each, back to back while there are any.

    Parameters
    ----------
    baud : Baud

    Members
    -------
    i : stream of 8 bits
    line : out
        The pin; high when idle, straight from a register.
    """

    def __init__(self, baud: Baud):
        self.baud = baud
        super().__init__({"i": In(stream.Signature(8)), "line": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        phase = Signal(FRACTION)
        done = Signal()
        bits = Signal(9)
        left = Signal(range(11))
        m.d.sync += Cat(phase, done).eq(phase + self.baud.step)
        m.d.comb += self.i.ready.eq(left == 0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.line.eq(0),
                bits.eq(Cat(self.i.payload, 1)),
                left.eq(10),
                phase.eq(0),
                done.eq(0),
            ]
        with m.Elif(done & (left != 0)):
            m.d.sync += [Cat(self.line, bits).eq(Cat(bits, 1)), left.eq(left - 1)]
        return m
