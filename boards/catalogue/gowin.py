"""Boards with a chip of Gowin's."""

from __future__ import annotations

from amaranth_boards import tang_nano_9k, tang_primer_20k

from boards.catalogue.board import Pin, Programmer, leds, shipped


def tang(board: str) -> Programmer:
    """openFPGALoader, which does both."""
    command = ("openFPGALoader", "--board", board)
    return Programmer(command, (*command, "--write-flash"))


TARGETS = (
    shipped(
        "tang-nano-9k",
        tang_nano_9k.TangNano9kPlatform,
        baud=115_200,
        lights=leds(6),
        # no reset: its buttons are in a bank of 1.8 V, which they would have to share with the LEDs
        programmer=tang("tangnano9k"),
        net="tiny",
    ),
    shipped(
        "tang-primer-20k",
        tang_primer_20k.TangPrimer20kDockPlatform,
        baud=115_200,
        lights=leds(6),
        reset=Pin("button"),
        programmer=tang("tangprimer20k"),
        wiring="on the Dock, with switch 1 of its DIP switches on",
    ),
)
