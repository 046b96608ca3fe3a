"""The module between the bench and a design: the same ports whatever the design has, and watched streams."""

from __future__ import annotations

import re

from amaranth.hdl import Const, Shape, Value
from amaranth.lib import wiring

from sim.bench.packing import row_bytes
from sim.simulators.verilog import taps_of


def wrapper(component: wiring.Component, verilog: str, others: dict[str, int]) -> str:
    """The module ``dut``.

    Streams inside the design that it shows are written down as ``+taps=FOLDER`` asks: a file a stream, its
    name and ``.hex``, a payload a line. With ``+cover=FILE`` it is counted how often the handshake of each
    stream, ``i`` and ``o`` first, went from one state to another (``{valid, ready}`` before and after): 16
    numbers a stream.

    Parameters
    ----------
    component : wiring.Component
        Elaborated.
    verilog : str
        Of its top module, whose ports `sim.simulators.verilog.emit` names.
    others : dict of int
        Widths of its further outputs.
    """
    lines, connections = [], []
    for domain in ("clk", "rst"):
        # a component without registers has no clock
        if re.search(rf"^  input {domain} ?;$", verilog, re.MULTILINE):
            connections.append(f".{domain}({domain})")
    for side, output in (("i", "ready"), ("o", "valid")):
        for part in ("payload", "valid", "ready"):
            value = Value.cast(getattr(getattr(component, side), part))
            if not isinstance(value, Const):
                connections.append(f".{side}__{part}({side}_{part})")
            elif part == output:
                lines.append(f"  assign {side}_{part} = 1'd{value.value};")
    if others:
        bits = ", ".join(f"others_{name}" for name in reversed(others))
        lines += [f"  wire [{width - 1}:0] others_{name};" for name, width in others.items()]
        lines.append(f"  assign others = {{{bits}}};")
        connections += [f".{name}(others_{name})" for name in others]
    else:
        lines.append("  assign others = 1'd0;")
    taps = taps_of(component)
    for name, stream in taps.items():
        shape = stream.payload.shape()
        lines.append(f"  wire [{Shape.cast(shape).width - 1}:0] {name}_payload;")
        lines.append(f"  wire {name}_valid, {name}_ready;")
        connections += [f".{name}__{part}({name}_{part})" for part in ("payload", "valid", "ready")]
        lines.append(recorder(name, row_bytes(shape)))
    if taps:
        lines += [COVERING, *map(counters, ("i", "o", *taps))]
    in_width, out_width = (Shape.cast(getattr(component, side).payload.shape()).width for side in "io")
    newline = "\n"
    return f"""module dut (
    input clk, input rst,
    input [{in_width - 1}:0] i_payload, input i_valid, output i_ready,
    output [{out_width - 1}:0] o_payload, output o_valid, input o_ready,
    output [{max(sum(others.values()), 1) - 1}:0] others
);
{newline.join(lines)}
  top top ({", ".join(connections)});
endmodule
"""


def recorder(name: str, size: int) -> str:
    """Writes every payload of a stream down, in so many bytes."""
    return f"""
  string {name}_path;
  integer {name}_file = 0;
  wire [{8 * size - 1}:0] {name}_bytes = {name}_payload;
  initial if ($value$plusargs("taps=%s", {name}_path))
    {name}_file = $fopen({{{name}_path, "/{name}.hex"}}, "w");
  always @(posedge clk)
    if ({name}_file != 0 && !rst && {name}_valid && {name}_ready) $fwrite({name}_file, "%h\\n", {name}_bytes);
"""


COVERING = """
  string cover_path;
  integer cover_file = 0, state;
  initial if ($value$plusargs("cover=%s", cover_path)) cover_file = $fopen(cover_path, "w");
"""


def counters(name: str) -> str:
    """Counts the changes of state of a stream's handshake."""
    return f"""
  reg [1:0] {name}_was = 0;
  reg [63:0] {name}_counts [0:15];
  initial for (state = 0; state < 16; state = state + 1) {name}_counts[state] = 0;
  always @(posedge clk)
    if (cover_file != 0 && !rst) begin
      {name}_was <= {{{name}_valid, {name}_ready}};
      {name}_counts[{{{name}_was, {name}_valid, {name}_ready}}] <=
          {name}_counts[{{{name}_was, {name}_valid, {name}_ready}}] + 1;
    end
  final if (cover_file != 0)
    for (state = 0; state < 16; state = state + 1) $fwrite(cover_file, "%h\\n", {name}_counts[state]);
"""
