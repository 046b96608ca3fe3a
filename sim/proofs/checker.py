"""Asks ABC's model checker, which comes within Yosys, whether a property can ever fail.

A bench becomes an and-inverter graph in the AIGER format (A. Biere, "The AIGER and-inverter graph format",
2007), and each of its properties a file of its own. Property directed reachability (A. Bradley, "SAT-based
model checking without unrolling", VMCAI 2011) proves it for ever, or finds a way in which it fails. No solver
beside Yosys is needed.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sim.simulators import process, tools

FLATTEN = """read_rtlil {name}.il
hierarchy -top top
flatten
proc
opt_expr
opt_merge
opt_clean
memory_map -formal
opt_expr
opt_clean
techmap
opt_expr
dffunmap
simplemap
opt_expr
opt_merge
opt_clean
setundef -anyseq
aigmap
opt_clean
write_aiger -zinit -symbols {name}.aig
"""
"""From RTLIL to AIGER, which knows no flip-flops with enables or resets. What is unknown may be anything.
Passes that look for constant flip-flops are left out: the checker finds those itself.
"""
CARRIER = """read_verilog <<EOT
module carrier(input a, b, output y); assign y = a & b; endmodule
EOT
techmap
abc -script {name}.abc
"""
"""Yosys runs ABC only on a netlist; this one is put aside before ABC reads what it is to prove."""
SEARCH = """strash
&get -n
read_aiger {name}.aig
strash
{method}
write_status {name}.status
&put
"""


@dataclass(frozen=True)
class Verdict:
    """What became of a property.

    Parameters
    ----------
    holds : bool or None
        None if the time was over first.
    depth : int
        How far the search went, cycles; of a bounded one that of the first failure, counted from 0.
    seconds : float
    """

    holds: bool | None
    depth: int
    seconds: float


class Graph:
    """An and-inverter graph with latches, as a binary AIGER file has it.

    Parameters
    ----------
    content : bytes

    Attributes
    ----------
    inputs : dict of int
        The literals of the inputs by their names, bits as ``name[0]``.
    outputs : dict of int
        The numbers of the outputs by their names.
    """

    def __init__(self, content: bytes):
        head, rest = content.split(b"\n", 1)
        self.largest, self.input_count, self.latch_count, outputs, ands = map(int, head.split()[1:6])
        lines = rest.split(b"\n", self.latch_count + outputs)
        self.latches, self.roots = lines[: self.latch_count], lines[self.latch_count : -1]
        body, place = lines[-1], 0
        for _ in range(2 * ands):
            while body[place] & 0x80:
                place += 1
            place += 1
        self.body = body[:place]
        names = [line.split(" ", 1) for line in body[place:].decode(errors="replace").splitlines()]
        symbols = dict(line for line in names if len(line) == 2)
        self.inputs = {symbols.get(f"i{n}", f"i{n}"): 2 * (n + 1) for n in range(self.input_count)}
        self.outputs = {symbols.get(f"o{n}", f"o{n}"): n for n in range(outputs)}

    def constant(self, output: str) -> bool | None:
        """The value of an output that is the same whatever happens, as far as synthesis saw that."""
        return {b"0": False, b"1": True}.get(self.roots[self.outputs[output]])

    def only(self, output: str) -> bytes:
        """The AIGER file of one output."""
        root = self.roots[self.outputs[output]]
        head = f"aig {self.largest} {self.input_count} {self.latch_count} 1 {len(self.gates)}"
        return b"\n".join([head.encode(), *self.latches, root, self.body])

    @cached_property
    def gates(self) -> dict[int, tuple[int, int]]:
        """The two literals that each gate's literal stands for."""
        found, place, literal = {}, 0, 2 * (self.input_count + self.latch_count)

        def delta():
            nonlocal place
            value, shift = 0, 0
            while True:
                byte = self.body[place]
                place, value, shift = place + 1, value | (byte & 0x7F) << shift, shift + 7
                if not byte & 0x80:
                    return value

        while place < len(self.body):
            literal += 2
            left = literal - delta()
            found[literal] = left, left - delta()
        return found

    def reaches(self, start: str, output: str) -> bool:
        """Whether a path without a register leads from an input to an output."""
        goal, seen = self.inputs[start], set()
        ahead = [int(self.roots[self.outputs[output]]) & ~1]
        while ahead:
            literal = ahead.pop()
            if literal == goal:
                return True
            if literal not in seen:
                seen.add(literal)
                ahead += [part & ~1 for part in self.gates.get(literal, ())]
        return False


def graph(rtlil: str, folder: Path, name: str) -> Graph:
    """The graph of a top module in RTLIL.

    Parameters
    ----------
    rtlil : str
    folder : Path
        For files.
    name : str
        How the files' names begin.
    """
    (folder / f"{name}.il").write_text(rtlil, encoding="utf-8")
    result = yosys(FLATTEN.format(name=name), folder, name)
    path = folder / f"{name}.aig"
    if not path.is_file() or not path.stat().st_size:
        raise ValueError(f"Yosys makes no AIGER file of {name}: {process.last_words(result)}")
    return Graph(path.read_bytes())


def check(source: Graph, output: str, folder: Path, name: str, bound: int | None, limit: float) -> Verdict:
    """Whether an output of a graph can ever be 1; it must not.

    Parameters
    ----------
    source : Graph
    output : str
    folder : Path
        For files.
    name : str
        How the files' names begin.
    bound : int or None
        Cycles to search, or None for a proof without bound.
    limit : float
        Seconds.
    """
    started = time.monotonic()
    constant = source.constant(output)
    if constant is not None:
        return Verdict(not constant, 0, time.monotonic() - started)
    (folder / f"{name}.aig").write_bytes(source.only(output))
    method = f"pdr -T {limit:.0f}" if bound is None else f"bmc3 -F {bound} -T {limit:.0f}"
    (folder / f"{name}.abc").write_text(SEARCH.format(name=name, method=method), encoding="utf-8")
    result = yosys(CARRIER.format(name=name), folder, f"{name}_run")
    path = folder / f"{name}.status"
    if not path.is_file():
        raise ValueError(f"ABC gives no answer for {name}: {process.last_words(result)}")
    word, depth = path.read_text(encoding="utf-8").split()[:2]
    holds = {"snl_UNSAT": True, "snl_SAT": False}.get(word)
    if bound is not None and holds is None and int(depth) >= bound - 1:
        holds = True
    # It says how many cycles after the first were searched without a failure.
    return Verdict(holds, int(depth) + (holds is False), time.monotonic() - started)


def yosys(script: str, folder: Path, name: str) -> subprocess.CompletedProcess:
    """Run a Yosys script. ABC's names differ from the carrier's at its end, so its status says nothing."""
    (folder / f"{name}.ys").write_text(script, encoding="utf-8")
    return process.run([tools.use_yosys(), "-Q", "-s", f"{name}.ys"], folder)
