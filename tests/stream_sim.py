"""Amaranth simulation of a component with one input and one output stream, as a function."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
from amaranth.hdl import UnusedElaboratable, Value
from amaranth.sim import Simulator

QUIET = 24
"""Cycles after the last beat of both sides in which no other may appear."""


def run(
    component,
    beats,
    count: int,
    stalls: float | tuple[float, float] = 0.0,
    seed: int = 0,
    limit: int = 5_000,
    longest: int = 1,
    done=None,
):
    """Drive `beats` into ``i`` and collect `count` beats from ``o``, with random stalls on both sides.

    The four rules of a stream are checked at the output on every cycle, and that nothing follows the last
    beat. A stalled input shows random bits.

    Parameters
    ----------
    component : Component
    beats : list
        Payloads as Amaranth constants' initial values.
    count : int
    stalls : float or (float, float)
        Probability of a pause before a beat, and of not being ready, in a cycle.
    seed : int
    limit : int
        Cycles without a transfer before the run counts as hung.
    longest : int
        Cycles of a pause, at most.
    done : callable, optional
        Called at the end with the simulator's context.

    Returns
    -------
    (list, list of int)
        Payloads, and the cycle in which each was taken.
    """
    random = np.random.default_rng(seed)
    pauses_in, pauses_out = stalls if isinstance(stalls, tuple) else (stalls, stalls)
    taken, got, cycles = [], [], []
    simulator = simulator_of(component)

    async def send(ctx):
        payload = component.i.payload
        bits = Value.cast(payload)
        for beat in beats:
            while pauses_in and random.random() < pauses_in:
                ctx.set(bits, int.from_bytes(random.bytes(len(bits) // 8 + 1), "big"))
                for _ in range(random.integers(1, longest + 1)):
                    await ctx.tick()
            ctx.set(payload, beat)
            ctx.set(component.i.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(component.i.ready)
            ctx.set(component.i.valid, 0)
            taken.append(beat)

    async def receive(ctx):
        waiting, pause, quiet, moved, idle = None, 0, 0, 0, 0
        for cycle in itertools.count():
            if pause:
                pause -= 1
            elif pauses_out and random.random() < pauses_out:
                pause = int(random.integers(1, longest + 1))
            ready = not pause
            ctx.set(component.o.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(component.o.valid, component.o.payload)
            bits = payload.as_bits() if hasattr(payload, "as_bits") else payload
            assert waiting is None or (valid and bits == waiting), "a stalled beat changed"
            waiting = bits if valid and not ready else None
            if valid and ready:
                got.append(payload)
                cycles.append(cycle)
                assert len(got) <= count, f"more than {count} beats"
            quiet = quiet + 1 if len(got) == count and len(taken) == len(beats) else 0
            if quiet > QUIET:
                if done is not None:
                    done(ctx)
                return
            idle = idle + 1 if moved == len(taken) + len(got) else 0
            moved = len(taken) + len(got)
            assert idle < limit, f"it hangs after {len(taken)} beats in and {len(got)} of {count} out"

    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    return got, cycles


def simulator_of(component) -> Simulator:
    """A simulator with a clock."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        simulator = Simulator(component)
    simulator.add_clock(1e-6)
    return simulator


def frames(net, images, lanes: int = 0) -> list[dict]:
    """The accelerator's input beats for images: a pixel a beat, or as many `lanes` as given, with marks."""
    beats = []
    for image in images:
        pixels = image.reshape(-1, lanes or net.in_shape[2]).tolist()
        beats += [
            {"data": pixel, "first": n == 0, "last": n == len(pixels) - 1} for n, pixel in enumerate(pixels)
        ]
    return beats


def answers(
    accelerator, images, stalls=0.0, seed: int = 0, limit: int = 200_000, longest: int = 4
) -> np.ndarray:
    """What an accelerator answers to images, as `read` gives it."""
    beats = frames(accelerator.net, images, accelerator.lanes)
    count = len(images) * accelerator.out_beats
    got, _ = run(accelerator, beats, count, stalls, seed, limit, longest)
    return read(accelerator, got)


def read(accelerator, got) -> np.ndarray:
    """Answers of an accelerator, (N, outputs): logits or values; their classes or marks are asserted."""
    if accelerator.net.classifies:
        logits = np.array([list(answer.logits) for answer in got])
        np.testing.assert_array_equal([answer.cls for answer in got], logits.argmax(axis=1))
        return logits
    each = accelerator.out_beats
    ends = [(n % each == 0, n % each == each - 1) for n in range(len(got))]
    np.testing.assert_array_equal([(beat.first, beat.last) for beat in got], ends)
    return np.reshape([list(beat.data) for beat in got], (len(got) // each, -1))


def values(beats) -> list[list[int]]:
    """Beats of lanes as lists of integers."""
    return [list(beat) for beat in beats]
