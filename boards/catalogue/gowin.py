"""Boards with a chip of Gowin's."""

from __future__ import annotations

from amaranth_boards import tang_nano_9k, tang_primer_20k

from boards.catalogue.board import Pin, Programmer, Target, leds
from hdl.devices.chips import BOARDS

CLOCK = {"oscillator": "clk27", "oscillator_mhz": 27, "clock_mhz": 54}


def tang(board: str) -> Programmer:
    """openFPGALoader, which does both."""
    command = ("openFPGALoader", "--board", board)
    return Programmer(command, (*command, "--write-flash"))


TARGETS = (
    Target(
        name="tang-nano-9k",
        base=tang_nano_9k.TangNano9kPlatform,
        chip=BOARDS["tang-nano-9k"],
        **CLOCK,
        baud=115_200,
        lights=leds(6),
        # no reset: its buttons are in a bank of 1.8 V, which they would have to share with the LEDs
        programmer=tang("tangnano9k"),
        net="tiny",
    ),
    Target(
        name="tang-primer-20k",
        base=tang_primer_20k.TangPrimer20kDockPlatform,
        chip=BOARDS["tang-primer-20k"],
        **CLOCK,
        baud=115_200,
        lights=leds(6),
        reset=Pin("button"),
        programmer=tang("tangprimer20k"),
        wiring="on the Dock, with switch 1 of its DIP switches on",
    ),
)
