"""What a board is: its chip, clock, serial port and lights, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from amaranth.build import DiffPairs, Pins, Platform, Resource, Subsignal
from amaranth.hdl import Elaboratable

from boards.catalogue import toolchains
from boards.catalogue.toolchains import Toolchain
from hdl.devices.budget import Budget
from hdl.devices.chips import BOARDS, Chip
from hdl.devices.device import Device


class Pin(NamedTuple):
    """A pin of a platform: resource, its number, and of a resource with parts the part."""

    resource: str
    number: int = 0
    part: str | None = None


@dataclass(frozen=True)
class Programmer:
    """How a bitstream gets into a board.

    Attributes
    ----------
    load : tuple of str or None
        The command that loads it until the power goes, which is named after it; None where the board keeps
        all it is given.
    flash : tuple of str or None
        The command that keeps it; None where there is none.
    """

    load: tuple[str, ...] | None = None
    flash: tuple[str, ...] | None = None


UART, NO_PROGRAMMER = Pin("uart"), Programmer()


@dataclass(frozen=True, eq=False)
class Target:
    """A board.

    Parameters
    ----------
    name : str
        At most 16 ASCII characters.
    base : type
        Platform of amaranth-boards, or one like these.
    chip : Chip
    oscillator : str
        Resource of the clock that feeds the PLL.
    oscillator_mhz : float
    clock_mhz : float
        Of the core, where nothing else is asked for.
    baud, max_baud : int
        Of the serial port, likewise; and the most that the bridge to the computer does.
    uart : Pin
        Resource of the serial port, with parts ``rx`` and ``tx``.
    lights : tuple of Pin
        LEDs, the lowest bit of the class first.
    reset : Pin or None
        A button that resets the core.
    programmer : Programmer
    net : str
        Built where no other is asked for.
    resources : tuple of Resource
        Added to the platform's own.
    high : tuple of Pin
        Outputs that have to be driven, and held at 1.
    support : callable or None
        Makes, for a frequency of the core in Hz, an Elaboratable that the board needs to work at all.
    pll_pin : bool
        Whether the oscillator stands at the PLL's own pin (iCE40).
    wiring : str
        Which pins the user has to connect to a serial adapter, or which jumpers to close; empty if none.
    """

    name: str
    base: type
    chip: Chip
    oscillator: str
    oscillator_mhz: float
    clock_mhz: float
    baud: int = 1_000_000
    max_baud: int = 3_000_000
    uart: Pin = UART
    lights: tuple[Pin, ...] = ()
    reset: Pin | None = None
    programmer: Programmer = NO_PROGRAMMER
    net: str = "lenet"
    resources: tuple[Resource, ...] = ()
    high: tuple[Pin, ...] = ()
    support: Callable[[float], Elaboratable] | None = None
    pll_pin: bool = False
    wiring: str = ""

    @property
    def device(self) -> str:
        """The chip's name."""
        return self.chip.name

    @property
    def budget(self) -> Budget:
        """What the chip has."""
        return self.chip.budget

    @property
    def family(self) -> Device:
        """The chip's primitives."""
        return self.chip.device

    @property
    def tools(self) -> Toolchain:
        """What builds for the chip."""
        return toolchains.of(self.base)

    @property
    def leds(self) -> int:
        """Number of lights."""
        return len(self.lights)

    def platform(self) -> Platform:
        """A new platform with all resources."""
        platform = self.base()
        platform.add_resources(self.resources)
        return platform

    def ends(self, pin: Pin) -> Pins | DiffPairs:
        """Where a pin of the platform ends.

        Raises
        ------
        ValueError
            If the resource has no such part.
        """
        ios = self.platform().lookup(pin.resource, pin.number).ios
        if pin.part is not None:
            parts = {part.name: part.ios for part in ios if isinstance(part, Subsignal)}
            if pin.part not in parts:
                raise ValueError(f"resource {pin.resource} has no part {pin.part!r}")
            ios = parts[pin.part]
        return ios[0]


def shipped(name: str, base: type, **settings) -> Target:
    """A board of the catalogue: its chip is known by its name, its clock by its platform.

    Parameters
    ----------
    name : str
        In `hdl.devices.chips.BOARDS`.
    base : type
        Its platform.
    **settings
        More of a `Target`, or another `oscillator` than the platform's default.
    """
    oscillator = settings.pop("oscillator", base.default_clk)
    clock = next(resource.clock for resource in base.resources if resource.name == oscillator)
    settings.setdefault("clock_mhz", toolchains.of(base).clock_mhz)
    megahertz = clock.frequency / 1e6
    return Target(name, base, BOARDS[name], oscillator=oscillator, oscillator_mhz=megahertz, **settings)


def chip_name(platform: type) -> str:
    """What `hdl.devices.chips` calls the chip of a platform."""
    return platform.family if toolchains.of(platform) is toolchains.APICULA else platform.device


def request(platform: Platform, resource: str, number: int):
    """The ports of a resource: of one with parts all of them, without buffers."""
    found = platform.lookup(resource, number)
    parts = {part.name: "-" for part in found.ios if isinstance(part, Subsignal)}
    return platform.request(resource, number, dir=parts or "-")


def leds(count: int, name: str = "led") -> tuple[Pin, ...]:
    """LEDs that are resources of their own."""
    return tuple(Pin(name, number) for number in range(count))


def rgb_leds(count: int = 1) -> tuple[Pin, ...]:
    """LEDs of three colours, each as three."""
    return tuple(Pin("rgb_led", number, colour) for number in range(count) for colour in "rgb")
