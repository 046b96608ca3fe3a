"""A core with loadable weights in Amaranth's simulator: frames on one side, sets of weights on another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

import stream_sim
from hdl.folding.layer import MOST_SHIFT
from hdl.network import Accelerator
from model.golden.qnetwork import QNetwork
from model.golden.spec import WeightedSpec
from model.layers import ResidualSpec
from model.layers.table import TableSpec


@dataclass(frozen=True)
class Send:
    """Bytes of a set, once so many frames have begun."""

    data: bytes
    after: int = 0
    keep: bool = True


@dataclass
class Log:
    """What was seen.

    Attributes
    ----------
    logits : list of list of int
        Answers.
    epochs : list of int
        For each frame that began, the sets that had been kept before.
    whole, foreign, bad : list of int
        After each `Send`.
    """

    logits: list
    epochs: list
    whole: list
    foreign: list
    bad: list


def run(core: Accelerator, images, sends, *, stalls=0.0, seed=0, waits=None, settle=400, limit=60_000) -> Log:
    """Frames back to back, and sets beside them; ends when every frame is answered and all is quiet.

    Parameters
    ----------
    core : Accelerator
    images : ndarray
    sends : list of Send
    stalls : float
        Probability of a pause at every stream, in a cycle.
    seed : int
    waits : list of int, optional
        For each image, how many sets must be over before it is offered.
    settle : int
        Cycles to wait behind each set.
    limit : int
        Cycles after which the run counts as hung.
    """
    random = np.random.default_rng(seed)
    log = Log([], [], [], [], [])
    simulator = stream_sim.simulator_of(core)
    state = {"sends": 0, "done": 0}

    def pauses():
        return stalls and random.random() < stalls

    async def send_frames(ctx):
        for index, beat in enumerate(stream_sim.frames(core.net, images)):
            while pauses() or (waits and state["sends"] < waits[index // core.beats]):
                await ctx.tick()
            ctx.set(core.i.payload, beat)
            ctx.set(core.i.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(core.i.ready)
            if beat["first"]:
                log.epochs.append(state["done"])
            ctx.set(core.i.valid, 0)

    async def send_sets(ctx):
        for item in sends:
            while len(log.epochs) < item.after:
                await ctx.tick()
            ctx.set(core.keep, item.keep)
            for index, byte in enumerate(item.data):
                while pauses():
                    await ctx.tick()
                ctx.set(core.load.payload, {"data": byte, "first": index == 0})
                ctx.set(core.load.valid, 1)
                ready = False
                while not ready:
                    _, _, ready = await ctx.tick().sample(core.load.ready)
                ctx.set(core.load.valid, 0)
            await ctx.tick().repeat(settle)
            for name in ("whole", "foreign", "bad"):
                getattr(log, name).append(ctx.get(getattr(core, name)))
            state["sends"] += 1

    async def watch(ctx):
        while True:
            _, _, done = await ctx.tick().sample(core.done)
            state["done"] += done

    async def receive(ctx):
        quiet = 0
        for _ in range(limit):
            ctx.set(core.o.ready, not pauses())
            _, _, valid, ready, payload = await ctx.tick().sample(core.o.valid, core.o.ready, core.o.payload)
            if valid and ready:
                log.logits.append(list(payload.logits))
            quiet = quiet + 1 if len(log.logits) == len(images) and state["sends"] == len(sends) else 0
            if quiet > 100:
                return
        raise AssertionError(f"it hangs after {len(log.logits)} answers and {state['sends']} sets")

    simulator.add_testbench(send_frames, background=True)
    simulator.add_testbench(send_sets, background=True)
    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    return log


def expected(log: Log, nets, images) -> np.ndarray:
    """The golden answers: each frame by the net whose weights were there when it began."""
    return np.array([nets[e].logits(image[None])[0] for e, image in zip(log.epochs, images)])


def retrained(net: QNetwork, seed: int, shift: int = 0) -> QNetwork:
    """Another net of the same shapes and formats: other weights, biases, tables, and shifts up to `shift`."""
    rng = np.random.default_rng(seed)

    def other(spec):
        if isinstance(spec, WeightedSpec):
            fmt = spec.weight_format
            changes = {
                "weights": rng.integers(fmt.min, fmt.max + 1, spec.weights.shape),
                "bias": rng.integers(-300, 300, spec.bias.shape),
                "shifts": rng.integers(0, min(shift, MOST_SHIFT) + 1, spec.shifts.shape),
            }
            exact = spec.dst == spec.accumulator
            spec = replace(spec, **changes)
            return replace(spec, dst=spec.accumulator) if exact else spec
        if isinstance(spec, TableSpec):
            return replace(spec, table=rng.integers(spec.dst.min, spec.dst.max + 1, spec.table.shape))
        if isinstance(spec, ResidualSpec):
            body, shortcut = (tuple(map(other, branch)) for branch in spec.branches)
            return replace(spec, body=body, shortcut=shortcut)
        return spec

    return QNetwork(f"{net.name}{seed}", net.input_format, tuple(map(other, net.specs)))
