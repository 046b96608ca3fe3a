"""Boards with a Lattice ECP5."""

from __future__ import annotations

from functools import partial

from amaranth.build import Attrs
from amaranth_boards import (
    butterstick,
    colorlight_5a75b_r7_0,
    ecpix5,
    icepi_zero,
    icesugar_pro,
    logicbone,
    orangecrab_r0_2,
    ulx3s,
    versa_ecp5,
)
from amaranth_boards.resources import UARTResource

from boards.catalogue.board import Pin, Programmer, Target, leds, rgb_leds, shipped
from boards.catalogue.vccio import Supply

ecp5 = partial(shipped, clock_mhz=100)
SMALL = {"12F": "tiny", "25F": "tiny"}
"""Nets for the chips with 28 multipliers."""


def open_loader(*options: str) -> Programmer:
    """openFPGALoader, which does both."""
    return Programmer(("openFPGALoader", *options), ("openFPGALoader", *options, "--write-flash"))


def dfu(device: str, *options: str) -> Programmer:
    """A boot loader on USB, which writes to flash only."""
    return Programmer(flash=("dfu-util", "-d", device, "-a", "0", *options, "-D"))


def wired(connector: str, rx: str, tx: str) -> tuple:
    """A serial port on pins of a connector."""
    attributes = Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")
    return (UARTResource(0, rx=rx, tx=tx, conn=(connector, 0), attrs=attributes),)


def ulx3s_board(size: str) -> Target:
    """The ULX3S; its bridge is an FT231X, 3 Mbaud by its data sheet."""
    return ecp5(
        f"ulx3s-{size.lower()}",
        getattr(ulx3s, f"ULX3S_{size}_Platform"),
        lights=leds(8),
        reset=Pin("button_pwr"),
        programmer=open_loader("--board", "ulx3s"),
        net=SMALL.get(size, "lenet"),
    )


def orangecrab_board(size: str) -> Target:
    """The OrangeCrab r0.2; USB ends at the chip, so the serial port is wired."""
    return ecp5(
        f"orangecrab-{size.lower()}",
        getattr(orangecrab_r0_2, f"OrangeCrabR0_2_{size}Platform"),
        clock_mhz=96,
        lights=rgb_leds(),
        reset=Pin("button"),
        resources=wired("io", rx="0", tx="1"),
        programmer=dfu("1209:5af0"),
        net=SMALL.get(size, "lenet"),
        wiring="serial adapter of 3.3 V: its TX to pin 0 (RX), its RX to pin 1 (TX), GND to GND",
    )


def ecpix5_board(size: str) -> Target:
    """The ECPIX-5; the green of each LED is a bit."""
    return ecp5(
        f"ecpix5-{size.lower()}",
        getattr(ecpix5, f"ECPIX5{size[:-1]}Platform"),
        lights=tuple(Pin("rgb_led", number, "g") for number in range(4)),
        reset=Pin("rst"),
        programmer=open_loader("--board", "ecpix5"),
    )


def logicbone_board(size: str, base: type) -> Target:
    """The Logicbone; USB ends at the chip, so the serial port is wired, where a BeagleBone has its UART1."""
    return ecp5(
        f"logicbone-{size.lower()}",
        base,
        lights=leds(4),
        reset=Pin("button"),
        resources=wired("P9", rx="26", tx="24"),
        programmer=dfu("1d50:615d", "-R"),
        wiring="serial adapter of 3.3 V: its TX to P9.26, its RX to P9.24, GND to P9.1",
    )


TARGETS = (
    *map(ulx3s_board, ("12F", "25F", "45F", "85F")),
    *map(orangecrab_board, ("25F", "85F")),
    ecp5(
        "colorlight-5a75b",
        colorlight_5a75b_r7_0.Colorlight_5A75B_R70Platform,
        # its only LED and button are the serial pins
        programmer=open_loader("--cable", "ft232", "--board", "colorlight"),
        net="tiny",
        wiring="serial adapter of 3.3 V on J19: its TX to KEY+ (pin 2), its RX to DATA_LED- (pin 5)",
    ),
    ecp5(
        "icepi-zero",
        icepi_zero.IcepiZero1_3Platform,
        lights=leds(5),
        reset=Pin("button"),
        programmer=open_loader("--board", "icepi-zero"),
        net="tiny",
    ),
    ecp5(
        "butterstick",
        butterstick.ButterStickPlatform,
        resources=wired("syzygy", rx="S0", tx="S1"),
        support=Supply,
        programmer=dfu("1209:5af1"),
        wiring="serial adapter of 3.3 V on SYZYGY port 0: its TX to S0, its RX to S1, GND to GND",
    ),
    *map(ecpix5_board, ("45F", "85F")),
    ecp5(
        "versa-ecp5",
        versa_ecp5.VersaECP5Platform,
        lights=leds(8),
        reset=Pin("rst"),
        programmer=open_loader("--cable", "ft2232"),
    ),
    ecp5(
        "icesugar-pro",
        icesugar_pro.ICESugarProPlatform,
        baud=115_200,
        max_baud=1_000_000,
        lights=rgb_leds(),
        programmer=Programmer(flash=("icesprog",)),
        net="tiny",
    ),
    logicbone_board("45F", logicbone.LogicbonePlatform),
    logicbone_board("85F", logicbone.Logicbone85FPlatform),
)
