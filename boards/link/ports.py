"""The serial ports of this computer: which may be a board's, and what to do where one cannot be opened."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import re

import serial
from serial.tools import list_ports

try:
    import grp
    from termios import error as TerminalError
except ImportError:  # Windows has neither
    grp, TerminalError = None, OSError

TROUBLE = (OSError, ValueError, TerminalError)
"""What pyserial and the drivers below it raise."""
SAFE_BAUD = 9600
"""Every adapter does this; a rate that one refuses does not keep the port from being opened."""
BUSY = (errno.EBUSY, errno.EAGAIN)
FORBIDDEN = (errno.EACCES, errno.EPERM)
ABSENT = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


def usb_ports() -> list:
    """The serial ports that are USB devices, by name."""
    found = [port for port in list_ports.comports() if port.vid is not None]
    return sorted(found, key=lambda port: natural(port.device))


def natural(name: str) -> list:
    """A key that puts ttyUSB10 behind ttyUSB9."""
    return [
        (word.isdecimal(), int(word) if word.isdecimal() else 0, word) for word in re.split(r"(\d+)", name)
    ]


def find_ports() -> list[str]:
    """The ports at which the only board may be, the likeliest first.

    Many a bridge has two ports, of which the first programs the chip and the second is the board's serial
    port: the last one comes first.

    Raises
    ------
    ValueError
        If there is none, or ports of several devices.
    """
    found = usb_ports()
    if not found:
        raise ValueError("no USB serial port was found: connect the board, or name the port")
    if len({device_of(port) for port in found}) > 1:
        raise ValueError(f"there are several serial ports, name one: {listed(found)}")
    return [port.device for port in reversed(found)]


def device_of(port) -> tuple:
    """What the ports of one device have in common, and those of two have not."""
    place = (getattr(port, "location", None) or "").partition(":")[0]
    return port.vid, getattr(port, "pid", None), getattr(port, "serial_number", None), place


def listed(ports) -> str:
    """Ports for people."""
    return ", ".join(f"{port.device} ({port.description})" for port in ports)


def opened(name: str, **options) -> serial.Serial:
    """A port, opened at `SAFE_BAUD` for this process alone.

    Raises
    ------
    ValueError
        If that fails; the message says what to do.
    """
    try:
        return serial.Serial(name, SAFE_BAUD, exclusive=True, **options)
    except TROUBLE as error:
        raise ValueError(reason(name, error)) from None


def reason(name: str, error: Exception) -> str:
    """Why a port cannot be opened, and what to do."""
    number, said = getattr(error, "errno", None), str(error)
    if number in BUSY or "PermissionError" in said:  # so Windows calls it
        return f"{name} is in use by another program, such as a terminal or another host: end that"
    if number in FORBIDDEN:
        return f"{name}: you may not use it; {permission(name)}"
    if number in ABSENT or "FileNotFoundError" in said:
        found = usb_ports()
        there = f"the USB serial ports are {listed(found)}" if found else "no USB serial port is there"
        return f"there is no port {name}: {there}"
    if "onfigure" in said or number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR):
        return f"{name} is no serial port"
    return f"{name} cannot be opened: {said}"


def permission(name: str) -> str:
    """How one gets the permission to use a port."""
    group = user = None
    with contextlib.suppress(Exception):  # whatever of it cannot be told is left out
        group, user = grp.getgrgid(os.stat(name).st_gid).gr_name, getpass.getuser()
    if group in (None, "root"):
        return "its owner or the administrator has to allow it (a udev rule)"
    return f"it belongs to the group {group}: sudo usermod -aG {group} {user}, then log in again"
