"""Boards with a Lattice iCE40."""

from __future__ import annotations

from amaranth.build import Attrs, Pins, Resource
from amaranth_boards import ice40_hx8k_b_evn, icebreaker, icebreaker_bitsy, icesugar, upduino_v3
from amaranth_boards.resources import UARTResource

from boards.catalogue.board import Pin, Programmer, leds, rgb_leds, shipped

LEVEL = Attrs(IO_STANDARD="SB_LVCMOS", PULLUP=1)

TARGETS = (
    shipped(
        "icebreaker",
        icebreaker.ICEBreakerPlatform,
        pll_pin=True,
        lights=leds(2),
        reset=Pin("button"),
        programmer=Programmer(flash=("iceprog",)),
        net="tiny",
    ),
    shipped(
        "icebreaker-bitsy",
        icebreaker_bitsy.ICEBreakerBitsyPlatform,
        pll_pin=True,
        lights=(*leds(2), *rgb_leds()),
        reset=Pin("button"),
        resources=(UARTResource(0, rx="0", tx="1", conn=("edge", 0), attrs=LEVEL),),
        programmer=Programmer(flash=("dfu-util", "-d", "1d50:6146", "-a", "0", "-R", "-D")),
        net="tiny",
        wiring="serial adapter of 3.3 V: its TX to edge pin 0, its RX to edge pin 1, GND to GND",
    ),
    shipped(
        "upduino3",
        upduino_v3.UpduinoV3Platform,
        oscillator="clk12",
        lights=rgb_leds(),
        # the bridge shares its lines with the flash, which must not hear them
        resources=(
            UARTResource(0, rx="15", tx="14", attrs=LEVEL),
            Resource("flash_select", 0, Pins("16", dir="o"), Attrs(IO_STANDARD="SB_LVCMOS")),
        ),
        high=(Pin("flash_select"),),
        programmer=Programmer(flash=("iceprog",)),
        net="tiny",
        wiring="close the jumper OSC: the clock of 12 MHz comes through it",
    ),
    shipped(
        "hx8k-breakout",
        ice40_hx8k_b_evn.ICE40HX8KBEVNPlatform,
        lights=leds(8),
        programmer=Programmer(("iceprog", "-S"), ("iceprog",)),
        net="tiny",
    ),
    shipped(
        "icesugar",
        icesugar.ICESugarPlatform,
        pll_pin=True,
        baud=115_200,
        max_baud=1_000_000,
        lights=leds(3),
        programmer=Programmer(flash=("icesprog",)),
        net="tiny",
    ),
)
