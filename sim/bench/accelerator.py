"""The accelerator in simulation: images in, logits and figures out, compared with the golden model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring

from hdl.devices.device import PORTABLE, Device
from hdl.folding.net import Plan
from hdl.network import Accelerator
from hdl.planning.cost import bound_cycles, cost, planned_cycles
from model.cli import Failure
from model.golden.qnetwork import QNetwork
from sim.bench.bench import FOLDER, PATIENCE, SIMULATORS, Bench, Result, Stalls
from sim.bench.taps import Tapped
from sim.simulators.netlist import Recipe
from sim.simulators.verilog import taps_of

STEADY = 6
"""Frames at least, sent back to back, before the interval between answers is believed."""
LONGEST_IN = 16
"""Longest stall of the source, cycles."""


@dataclass(frozen=True)
class Figures:
    """What a run without stalls measured; all in cycles.

    Attributes
    ----------
    ii_cycles : int
        Between two answers, frames back to back.
    latency_cycles : int
        From the first pixel into an idle accelerator to its answer.
    cycles_after_last_pixel : int
        From the last pixel of that frame to its answer.
    bound_cycles : int
        What the input's width and the number of multipliers allow at best.
    """

    ii_cycles: int
    latency_cycles: int
    cycles_after_last_pixel: int
    bound_cycles: int

    @property
    def efficiency(self) -> float:
        """Share of the possible rate that is reached."""
        return self.bound_cycles / self.ii_cycles


@dataclass(frozen=True)
class Mismatch:
    """An answer that is not the golden model's.

    Attributes
    ----------
    frame : int
    logit : int or None
        The first that differs, or the first value of a net that does not classify; None if only the class
        does.
    got, expected : int
        The logit, or the class.
    word : str
        What a logit is called.
    """

    frame: int
    logit: int | None
    got: int
    expected: int
    word: str = "logit"

    def __str__(self) -> str:
        what = "class" if self.logit is None else f"{self.word} {self.logit}"
        return f"frame {self.frame}: {what} is {self.got}, the golden model says {self.expected}"


class Unloaded(wiring.Component):
    """An accelerator with the streams `i` and `o` alone: it keeps the weights that it begins with."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        super().__init__({name: accelerator.signature.members[name] for name in ("i", "o", "dropped")})

    @property
    def taps(self):
        """The streams that the accelerator shows."""
        return taps_of(self.accelerator)

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = inner = self.accelerator
        wiring.connect(m, wiring.flipped(self.i), inner.i)
        wiring.connect(m, inner.o, wiring.flipped(self.o))
        m.d.comb += self.dropped.eq(inner.dropped)
        return m


class AcceleratorBench:
    """The accelerator of a net and a plan, compiled for simulation.

    Parameters
    ----------
    net : QNetwork
    plan : Plan
    device : Device
    folder : path
        Where compiled simulators are kept.
    recipe : Recipe, optional
        Simulates the netlist that this makes, instead of the Verilog.
    tapped : bool
        Whether to watch the streams between layers.
    simulator : str
        As `Bench` takes it.
    """

    def __init__(
        self,
        net: QNetwork,
        plan: Plan,
        device: Device = PORTABLE,
        folder=FOLDER,
        *,
        recipe: Recipe | None = None,
        tapped: bool = False,
        simulator: str = SIMULATORS[0],
    ):
        self.net, self.plan = net, plan
        accelerator = (Tapped if tapped else Accelerator)(net, plan, device)
        self.lanes, self.beats = accelerator.lanes, accelerator.beats
        self.out_beats = accelerator.out_beats
        self.bench = Bench(Unloaded(accelerator) if plan.loadable else accelerator, folder, recipe, simulator)
        self.layers = accelerator.layers if tapped else {}
        self.patience = PATIENCE + 4 * sum(stage.cycles for stage in cost(net, plan))

    def run(
        self,
        images: np.ndarray,
        stalls: float = 0.0,
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
        longest_in: int = LONGEST_IN,
    ) -> Result:
        """All images back to back.

        Without stalls the first of them comes to an idle accelerator, when the padding before it is put.

        Parameters
        ----------
        images : ndarray of int, (N, H, W, C)
        stalls : float
            Probability that a stall begins in a cycle, of the source and of the sink. The sink's are as long
            as two frames take, so that an answer that waits stops every stage up to the input; as many of
            them begin in a frame, however many output beats it has.
        seed : int
        progress : callable, optional
            Called with the number of answers so far.
        longest_in : int
            Longest stall of the source, cycles.

        Returns
        -------
        Result
            Its `beats` and `out_cycles` are those of frames: of a net that does not classify `logits` has all
            beats' values, and the cycle is the last beat's.

        Raises
        ------
        Failure
            As `Bench.run`, or if a frame of values is not marked at its ends.
        """
        cycles = planned_cycles(self.net, self.plan)
        longest, each = 2 * cycles, self.out_beats
        result = self.bench.run(
            self.pack(images),
            each * len(images),
            stalls_in=Stalls(stalls, longest_in),
            stalls_out=Stalls(stalls / each, min(max(longest, LONGEST_IN), 1 << 24)),
            seed=seed,
            frame=self.beats,
            patience=self.patience,
            quiet=2 * longest,
            settle=0 if stalls else cycles,
            progress=progress and (lambda count: progress(count // each)),
        )
        return result if self.net.classifies else self.framed(result)

    def framed(self, result: Result) -> Result:
        """A result of frames, from one of beats of values."""
        for name, expected in ends(len(result.out_cycles), self.out_beats).items():
            if (wrong := result.beats[name] != expected).any():
                frame = int(wrong.argmax()) // self.out_beats
                raise Failure(
                    f"frame {frame} of the answers: the mark {name!r} does not stand at its end alone"
                )
        return replace(
            result,
            beats={"logits": result.beats["data"].reshape(-1, self.net.outputs)},
            out_cycles=result.out_cycles[self.out_beats - 1 :: self.out_beats],
        )

    def pack(self, images: np.ndarray) -> dict:
        """Images as input beats."""
        beats = self.net.checked(images).reshape(-1, self.lanes)
        return {"data": beats, **ends(len(beats), self.beats)}

    def figures(self, result: Result) -> Figures:
        """The figures of a run without stalls of `STEADY` frames or more."""
        (first, last), answers = result.in_cycles[0], result.out_cycles
        return Figures(
            # the second half: the first fills the stages
            ii_cycles=int(np.diff(answers[len(answers) // 2 - 1 :]).max()),
            latency_cycles=int(answers[0] - first),
            cycles_after_last_pixel=int(answers[0] - last),
            bound_cycles=bound_cycles(self.net, self.plan),
        )


def ends(count: int, beats: int) -> dict[str, np.ndarray]:
    """Marks on the ends of frames of so many beats, in a stream of `count` beats."""
    position = np.arange(count) % beats
    return {"first": position == 0, "last": position == beats - 1}


def wrong(expected: np.ndarray, result: Result) -> np.ndarray:
    """Which frames are not answered as the golden model does, (N,) bool.

    Parameters
    ----------
    expected : ndarray of int, (N, outputs)
        The golden model's logits, or its values.
    result : Result
        Of an `AcceleratorBench`; if it tells classes, they count too.
    """
    bad = (result.beats["logits"] != expected).any(axis=1)
    return bad | (result.beats["cls"] != expected.argmax(axis=1)) if "cls" in result.beats else bad


def first_mismatch(expected: np.ndarray, result: Result) -> Mismatch | None:
    """The first wrong answer, if there is one."""
    bad = wrong(expected, result)
    if not bad.any():
        return None
    frame = int(bad.argmax())
    logits, golden = result.beats["logits"][frame], expected[frame]
    differ = logits != golden
    if differ.any():
        logit = int(differ.argmax())
        word = "logit" if "cls" in result.beats else "value"
        return Mismatch(frame, logit, int(logits[logit]), int(golden[logit]), word)
    return Mismatch(frame, None, int(result.beats["cls"][frame]), int(golden.argmax()))


def measure(net: QNetwork, plan: Plan, device: Device = PORTABLE, *, seed: int = 0, folder=FOLDER) -> Figures:
    """The figures of an accelerator, measured with a few random frames.

    Raises
    ------
    Failure
        If an answer differs from the golden model's: a rate of wrong answers is no rate.
    """
    bench = AcceleratorBench(net, plan, device, folder)
    fmt = net.input_format
    images = np.random.default_rng(seed).integers(fmt.min, fmt.max + 1, (STEADY, *net.in_shape))
    result = bench.run(images)
    if mismatch := first_mismatch(net.logits(images), result):
        raise Failure(f"net {net.name!r} in simulation: {mismatch}")
    return bench.figures(result)
