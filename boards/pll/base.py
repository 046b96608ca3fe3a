"""What the PLLs of all families have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from fractions import Fraction

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import io

Limits = tuple[Fraction | int, Fraction | int]
"""Least and greatest frequency, MHz."""

SETTLE_SECONDS = 15e-6
"""From the PLL's lock to the end of the reset. Block RAMs of the iCE40 read as zeros for about 3
microseconds after configuration (https://github.com/YosysHQ/icestorm/issues/76), here with a margin of 5."""


class Pll(ABC):
    """The dividers of a PLL, as a frozen dataclass.

    Attributes
    ----------
    input_mhz : Fraction
        Of the oscillator.
    input_div : int
        What it is divided by before the phase detector.
    """

    input_mhz: Fraction
    input_div: int

    @property
    def phase_mhz(self) -> Fraction:
        """At the phase detector."""
        return self.input_mhz / self.input_div

    @property
    @abstractmethod
    def vco_mhz(self) -> Fraction:
        """Of the oscillator inside."""

    @property
    @abstractmethod
    def output_mhz(self) -> Fraction:
        """Of the core's clock."""

    @property
    def output_hz(self) -> int:
        """Of the core's clock, rounded."""
        return round(self.output_mhz * 1_000_000)

    @abstractmethod
    def place(self, m: Module, port: io.PortLike, core: Signal) -> Value:
        """Put the chip's PLL into a module.

        Parameters
        ----------
        m : Module
        port : PortLike
            Pin of the oscillator.
        core : Signal
            Driven with the clock.

        Returns
        -------
        Value
            Whether the PLL has locked, asynchronous.
        """


def buffered(m: Module, port: io.PortLike) -> Value:
    """The signal of an input pin."""
    m.submodules.oscillator = buffer = io.Buffer("i", port)
    return buffer.i


def exact(mhz) -> Fraction:
    """A frequency in whole hertz.

    Raises
    ------
    ValueError
        If it is not finite.
    """
    try:
        return Fraction(round(mhz * 1_000_000), 1_000_000)
    except (OverflowError, ValueError):
        raise ValueError(f"a clock of {mhz} MHz is no frequency") from None


def check_limits(frequencies: Iterable[tuple[str, Fraction, Limits]]) -> None:
    """Raises a ValueError for the first frequency outside its limits: (what runs at it, MHz, limits)."""
    for name, mhz, (low, high) in frequencies:
        if not low <= mhz <= high:
            raise ValueError(
                f"PLL: its {name} would run at {float(mhz):g} MHz, the chip allows"
                f" {float(low):g} to {float(high):g}"
            )


def check_possible(source: Fraction, wanted: Fraction, sources: Limits, outputs: Limits) -> None:
    """Raises a ValueError if no dividers could help: the oscillator or the wanted clock is out of range."""
    for name, mhz, (low, high) in ("input", source, sources), ("output", wanted, outputs):
        if not low <= mhz <= high:
            raise ValueError(
                f"a clock of {float(mhz):g} MHz is impossible as the PLL's {name}:"
                f" the chip allows {float(low):g} to {float(high):g} MHz"
            )


def best(solutions: Iterable[Pll], source: Fraction, wanted: Fraction, vco: Limits) -> Pll:
    """The solution that comes closest to the wanted frequency from below.

    Among equals the fastest phase detector wins, then the oscillator nearest to the middle
    of its range.

    Raises
    ------
    ValueError
        If there is none.
    """
    middle = sum(map(Fraction, vco)) / 2
    found = min(
        solutions,
        key=lambda pll: (-pll.output_mhz, -pll.phase_mhz, abs(pll.vco_mhz - middle)),
        default=None,
    )
    if found is None:
        raise ValueError(f"no PLL setting makes about {float(wanted):g} MHz from {float(source):g} MHz")
    return found
