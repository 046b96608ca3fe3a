"""Verilog and RTLIL of an Amaranth component."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from amaranth._toolchain import ToolNotFound
from amaranth._toolchain.yosys import YosysError
from amaranth.back import rtlil, verilog
from amaranth.hdl import Const, Fragment, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from model.cli import Failure
from sim.simulators import process, tools

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PARTS = ("payload", "valid", "ready")
"""Of a stream."""


def ports_of(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """The ports of a component by their names in Verilog (``i__payload``); a constant is no port."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Const):
            direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            ports["__".join(map(str, path))] = (value, direction)
    return ports


def taps_of(component: wiring.Component) -> dict:
    """The streams inside a component that it shows, by name; there are none before it is elaborated."""
    return getattr(component, "taps", {})


def tap_ports(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """The ports that show these streams."""
    return {
        f"{name}__{part}": (Value.cast(getattr(stream, part)), PortDirection.Output)
        for name, stream in taps_of(component).items()
        for part in PARTS
    }


def emit(component: wiring.Component, name: str = "top") -> str:
    """Verilog of a component, clocked by ``clk`` with the synchronous reset ``rst``.

    Parameters
    ----------
    component : wiring.Component
        Its members become ports, named ``i__payload`` and so on; a structured payload is one vector,
        first field in the least significant bits. A component without registers has no ``clk``. The streams
        that it shows (`taps_of`) are ports too.
    name : str
        Of the top module.

    Returns
    -------
    str
        The same text for the same hardware: no paths, no dates.

    Raises
    ------
    ValueError
        For a name that is none, or if Yosys is missing.
    """
    tools.use_yosys()
    return convert(verilog, component, name)


def emit_rtlil(component: wiring.Component, name: str = "top") -> str:
    """As `emit`, in yosys' own language."""
    return convert(rtlil, component, name)


def convert(backend, component: wiring.Component, name: str) -> str:
    """A component in the language of one of Amaranth's backends."""
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a Verilog module")
    fragment = Fragment.get(component, None)
    ports = ports_of(component) | tap_ports(component)
    with amaranths():
        return backend.convert(fragment, name, ports=ports, emit_src=False)


@contextlib.contextmanager
def amaranths() -> Iterator[None]:
    """Meanwhile Amaranth may work, and start yosys: no variable changes what it does.

    Raises
    ------
    Failure
        If yosys does not work.
    """
    with process.undisturbed():
        try:
            yield
        except (YosysError, ToolNotFound) as error:
            said = [line for line in str(error).splitlines() if line.strip()]
            raise Failure(f"yosys failed: {said[-1].strip() if said else 'it said nothing'}") from None
