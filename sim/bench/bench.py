"""Runs whole frames through a component in Verilator: any component with an input stream ``i`` and an output
stream ``o``, with random stalls on both sides, and the stream rules checked at every clock."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

import cocotb
import cocotb_tools.config
import numpy as np
from amaranth.hdl import Const, Shape
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from cocotb_tools.check_results import get_results

from model.cli import Failure
from sim.bench import frames, packing
from sim.bench.wrapper import wrapper
from sim.simulators import cxxrtl, process, ready
from sim.simulators.build import FOLDER, PROGRAM, build
from sim.simulators.cells import cells
from sim.simulators.netlist import Recipe, synthesise
from sim.simulators.verilog import emit, ports_of, taps_of

PATIENCE = 1_000_000
"""Cycles without a transfer on either side after which a component counts as hung."""
QUIET = 256
"""Cycles after the last transfer in which no further output may appear."""
SIMULATORS = ("verilator", "cxxrtl")
"""What can simulate: Verilator under cocotb, and yosys' CXXRTL."""
MODULE = "frames"
"""What cocotb runs."""
RESULTS = "results.xml"
"""Where it says what became of that."""
BLAME = re.compile(r"\b(error|critical|exception|failed)\b", re.IGNORECASE)
"""What lines say that tell why it failed."""
COCOTB, LIBPYTHON = ".cocotb", ".libpython.so"
"""Links to its package and to Python's library, in the folder of a run."""
FAULTS = {
    1: "o.valid fell before the payload was taken",
    2: "o.payload changed before it was taken",
    3: "it hangs",
    4: "it puts out more than the {n_out} beats expected",
    5: "the files of the run cannot be read or written",
}
"""What the bench reports, by the numbers in bench.sv."""
HANGS = 3
"""The fault of a component that does nothing any more."""


@dataclass(frozen=True)
class Stalls:
    """How often and how long one side of a component pauses.

    Parameters
    ----------
    probability : float
        Of a stall to begin in a cycle that belongs to none; 0 to below 1.
    longest : int
        Cycles, rounded up to a power of two. Lengths from 1 on are drawn so that short and long stalls are
        about as frequent: the long ones fill every buffer, the short ones meet every state.
    """

    probability: float = 0.0
    longest: int = 16

    def __post_init__(self):
        if not 0 <= self.probability < 1:
            raise ValueError(f"the probability of a stall lies in 0 <= P < 1, not {self.probability}")
        if not 1 <= self.longest <= 1 << 24:
            raise ValueError(f"the longest stall has 1 to {1 << 24} cycles, not {self.longest}")

    @property
    def bits(self) -> int:
        """Logarithm of the longest length."""
        return (self.longest - 1).bit_length()

    @property
    def threshold(self) -> int:
        """The probability in steps of 2**-16; not zero unless it is."""
        return min(int(np.ceil(self.probability * 65536)), 65535)


class Broken(Failure):
    """A component that breaks a rule of streams, hangs, or puts out too much.

    Attributes
    ----------
    hangs : bool
    taps, handshakes
        As those of a `Result`, as far as it came.
    """

    def __init__(self, message: str, hangs: bool, taps: dict[str, np.ndarray], handshakes):
        super().__init__(message)
        self.hangs, self.taps, self.handshakes = hangs, taps, handshakes


@dataclass(frozen=True, eq=False)
class Result:
    """What came out of a run.

    Parameters
    ----------
    beats : array or dict
        Output payloads, nested as `sim.bench.packing` says.
    out_cycles : ndarray of int64, (n_out,)
        Cycle of each output transfer, counted from the end of reset.
    in_cycles : ndarray of int64, (frames, 2)
        Cycle of the first and the last input transfer of each frame.
    cycles : int
        Length of the run.
    others : dict of int
        Value of the component's other outputs at the end.
    taps : dict of array
        Payloads of the streams inside it that it shows, by name.
    handshakes : ndarray of int64, (2 + taps, 4, 4), or None
        If the component shows streams: how often the handshakes of i, o and these went from state to state,
        ``2 * valid + ready`` before and after.
    """

    beats: np.ndarray | dict
    out_cycles: np.ndarray
    in_cycles: np.ndarray
    cycles: int
    others: dict[str, int]
    taps: dict[str, np.ndarray]
    handshakes: np.ndarray | None


class Bench:
    """A component, compiled once, that runs many times.

    Parameters
    ----------
    component : wiring.Component
        With streams ``i`` and ``o``; other outputs are read at the end of a run, other inputs are refused.
    folder : path
        Where compiled simulators are kept.
    recipe : Recipe, optional
        Simulates the netlist that this makes of the component, instead of its Verilog.
    simulator : str
        One of `SIMULATORS`; the second knows Verilog alone, no netlist, and shows no streams inside.

    Raises
    ------
    ValueError
        If the component has another form, or a tool is missing.
    """

    def __init__(
        self,
        component: wiring.Component,
        folder=FOLDER,
        recipe: Recipe | None = None,
        simulator: str = SIMULATORS[0],
    ):
        self.name = type(component).__name__
        self.in_shape = component.i.payload.shape()
        self.out_shape = component.o.payload.shape()
        self.never_waits = isinstance(component.o.ready, Const)
        ready.check(Path(folder).resolve())
        verilog = emit(component) if recipe is None else synthesise(component, recipe, folder)
        ports = ports_of(component)
        self.tap_shapes = {name: stream.payload.shape() for name, stream in taps_of(component).items()}
        streams = {f"{side}__{part}" for side in "io" for part in ("payload", "valid", "ready")}
        self.others = {
            name: Shape.cast(value.shape()).width for name, (value, _) in ports.items() if name not in streams
        }
        for name in self.others:
            if ports[name][1] is PortDirection.Input:
                raise ValueError(f"the bench does not drive the input {name}, only the stream i")
        self.second = simulator != SIMULATORS[0]
        if self.second:
            if self.tap_shapes or recipe is not None:
                raise ValueError(f"{simulator} runs Verilog alone: no netlist, no streams inside")
            self.folder = cxxrtl.build({"top.v": verilog, **cells(verilog)}, folder)
            return
        sources = {
            "bench.sv": Path(__file__).with_name("bench.sv").read_text(encoding="utf-8"),
            "dut.sv": wrapper(component, verilog, self.others),
            "top.v": verilog,
            **cells(verilog),
        }
        parameters = {
            "IW": Shape.cast(self.in_shape).width,
            "OW": Shape.cast(self.out_shape).width,
            "EW": max(sum(self.others.values()), 1),
        }
        self.folder = build(sources, parameters, folder)

    def run(
        self,
        beats,
        n_out: int,
        *,
        stalls_in: Stalls = Stalls(),
        stalls_out: Stalls = Stalls(),
        seed: int = 0,
        frame: int = 1,
        patience: int = PATIENCE,
        quiet: int = QUIET,
        settle: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> Result:
        """Move all beats through the component.

        Parameters
        ----------
        beats : array or dict
            Input payloads, nested as `sim.bench.packing` says.
        n_out : int
            Output beats expected.
        stalls_in, stalls_out : Stalls
            Of the source and of the sink.
        seed : int
            Of the stalls.
        frame : int
            Input beats a frame: how `Result.in_cycles` is counted, nothing else.
        patience, quiet : int
            Cycles, see `PATIENCE` and `QUIET`; the longest stalls are added.
        settle : int
            Cycles after the reset before the first beat is offered.
        progress : callable, optional
            Called a few times a second with the number of output beats so far.

        Raises
        ------
        Failure
            If the component breaks a rule of streams, hangs, or puts out more than expected.
        """
        if self.never_waits and stalls_out.probability:
            raise ValueError("the component declares o always ready: it cannot be stalled there")
        rows = packing.pack(self.in_shape, beats)
        longest = (1 << stalls_in.bits) + (1 << stalls_out.bits)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".run-") as name:
            folder = Path(name).resolve()
            rows.tofile(folder / "in.bin")
            settings = {
                "in": folder / "in.bin",
                "out": folder / "out.hex",
                "times": folder / "times.hex",
                "n_in": len(rows),
                "n_out": n_out,
                "frame": frame,
                "seed": seed & 0xFFFFFFFF,
                "p_in": stalls_in.threshold,
                "p_out": stalls_out.threshold,
                "log_in": stalls_in.bits,
                "log_out": stalls_out.bits,
                "patience": patience + settle + 16 * longest,
                "quiet": quiet,
                "settle": settle,
            }
            if self.tap_shapes:
                settings |= {"taps": folder, "cover": folder / "cover.hex"}
            if self.second:
                widths = (Shape.cast(shape).width for shape in (self.in_shape, self.out_shape))
                settings |= dict(zip(("in_bits", "out_bits"), widths))
                counters = cxxrtl.simulate(
                    self.folder, folder, settings, self.row_chars, progress, self.others
                )
            else:
                counters = simulate(self.folder, folder, settings, self.row_chars, progress)
            taps = {name: self.seen(folder, name) for name in self.tap_shapes}
            handshakes = counts(folder / "cover.hex") if taps else None
            found = np.frombuffer(bytes.fromhex((folder / "out.hex").read_text(encoding="utf-8")), np.uint8)
            times = np.frombuffer(bytes.fromhex((folder / "times.hex").read_text(encoding="utf-8")), ">u8")
        if counters["fault"]:
            raise Broken(
                f"{self.name}: {FAULTS[counters['fault']].format(n_out=n_out)} (cycle {counters['cycle']},"
                f" after {counters['given']} of {len(rows)} input beats and {counters['taken']} of {n_out}"
                " output beats)",
                counters["fault"] == HANGS,
                taps,
                handshakes,
            )
        found = found.reshape(n_out, 8 + packing.row_bytes(self.out_shape))
        in_cycles = times.astype(np.int64)
        return Result(
            beats=packing.unpack(self.out_shape, found[:, 8:]),
            out_cycles=np.ascontiguousarray(found[:, :8]).view(">u8")[:, 0].astype(np.int64),
            in_cycles=np.stack([in_cycles] * 2, axis=1) if frame == 1 else in_cycles.reshape(-1, 2),
            cycles=counters["cycle"],
            others=self.split(counters["others"]),
            taps=taps,
            handshakes=handshakes,
        )

    def seen(self, folder: Path, name: str) -> np.ndarray:
        """The payloads that a stream inside was seen to carry."""
        shape = self.tap_shapes[name]
        rows = np.frombuffer(bytes.fromhex((folder / f"{name}.hex").read_text(encoding="utf-8")), np.uint8)
        return packing.unpack(shape, rows.reshape(-1, packing.row_bytes(shape)))

    @property
    def row_chars(self) -> int:
        """Characters of one output beat in the file: cycle, payload, end of line."""
        return 16 + 2 * packing.row_bytes(self.out_shape) + 1

    def split(self, value: int) -> dict[str, int]:
        """The other outputs, apart."""
        parts = {}
        for name, width in self.others.items():
            parts[name], value = value & ((1 << width) - 1), value >> width
        return parts


def counts(path: Path) -> np.ndarray:
    """What the counters of handshakes hold."""
    numbers = np.frombuffer(bytes.fromhex(path.read_text(encoding="utf-8")), ">u8")
    return numbers.astype(np.int64).reshape(-1, 4, 4)


def run(component: wiring.Component, beats, n_out: int, *, folder=FOLDER, **options) -> Result:
    """One run of a component: `Bench` and `Bench.run` in one."""
    return Bench(component, folder).run(beats, n_out, **options)


def simulate(program: Path, folder: Path, settings: dict, row_chars: int, progress) -> dict[str, int]:
    """One run of a compiled bench under cocotb; returns its counters."""
    result, out = folder / "result.json", settings["out"]
    # By itself beside the frames, so that no module of the user's is taken for one of ours.
    shutil.copy(frames.__file__, folder)
    words = [program / PROGRAM, *(f"+{name}={value}" for name, value in settings.items())]
    with process.threads(1) as pool:
        running = pool.submit(process.run, words, folder, environment=surroundings(folder, result))
        while not wait([running], timeout=0.2).done:
            if progress is not None and out.is_file():
                progress(out.stat().st_size // row_chars)
        ended = running.result()
    # a simulation that ran no test, or none that passed, must not count as one
    if ended.returncode or not passed(folder / RESULTS):
        raise Failure(f"the simulator failed: {blamed(ended)}")
    return json.loads(result.read_text(encoding="utf-8"))


def surroundings(folder: Path, result: Path) -> dict[str, str]:
    """What cocotb's libraries are told by variables, and no one else tells them.

    They separate paths by commas and semicolons: theirs are given by links, whatever is in them.
    """
    package = Path(cocotb.__file__).parent
    (folder / COCOTB).symlink_to(package)
    (folder / LIBPYTHON).symlink_to(ready.libpython())
    library, entry = cocotb_tools.config.pygpi_entry_point().rsplit(",", 1)
    inside = os.path.relpath(library, package.resolve())
    return {
        "COCOTB_TEST_MODULES": MODULE,
        "COCOTB_TOPLEVEL": PROGRAM,
        "COCOTB_RESULTS_FILE": str(folder / RESULTS),
        # without it, cocotb loads pytest, and with it whatever conftest.py is about
        "COCOTB_REWRITE_ASSERTION_FILES": "",
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "TOPLEVEL_LANG": "verilog",
        "GPI_USERS": f"./{LIBPYTHON};./{COCOTB}/{inside},{entry}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(sys.path),
        frames.RESULT: str(result),
    }


def blamed(ended: subprocess.CompletedProcess) -> str:
    """The line that says best why a simulation failed: an error, not what it says at its end in any case."""
    text = f"{ended.stdout}\n{ended.stderr}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and "$finish" not in line]
    found = [line for line in lines if BLAME.search(line)] or lines
    return found[-1] if found else f"status {ended.returncode}"


def passed(results: Path) -> bool:
    """Whether a results file says that one test ran, and passed."""
    return results.is_file() and get_results(results) == (1, 0)
