"""Verilog of an Amaranth component."""

from __future__ import annotations

import re

from amaranth.back import verilog
from amaranth.hdl import Const, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from sim import tools

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def ports_of(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """The ports of a component by their names in Verilog (``i__payload``); a constant is no port."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Const):
            direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            ports["__".join(map(str, path))] = (value, direction)
    return ports


def emit(component: wiring.Component, name: str = "top") -> str:
    """Verilog of a component, clocked by ``clk`` with the synchronous reset ``rst``.

    Parameters
    ----------
    component : wiring.Component
        Its members become ports, named ``i__payload`` and so on; a structured payload is one vector,
        first field in the least significant bits. A component without registers has no ``clk``.
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
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a Verilog module")
    tools.use_yosys()
    return verilog.convert(component, name, ports=ports_of(component), emit_src=False)
