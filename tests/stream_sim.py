"""Amaranth simulation of a component with one input and one output stream, as a function."""

from __future__ import annotations

import warnings

import numpy as np
from amaranth.hdl import UnusedElaboratable
from amaranth.sim import Simulator


def run(component, beats, count: int, stalls: float = 0.0, seed: int = 0, limit: int = 200_000):
    """Drive `beats` into ``i`` and collect `count` beats from ``o``, with random stalls on both sides.

    The four rules of a stream are checked at the output on every cycle.

    Parameters
    ----------
    component : Component
    beats : iterable
        Payloads as Amaranth constants' initial values.
    count : int
    stalls : float
        Probability of a pause before a beat, and of not being ready, in a cycle.
    seed : int
    limit : int
        Cycles before the run counts as hung.

    Returns
    -------
    (list, list of int)
        Payloads, and the cycle in which each was taken.
    """
    random = np.random.default_rng(seed)
    got, cycles = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        simulator = Simulator(component)
    simulator.add_clock(1e-6)

    async def send(ctx):
        for beat in beats:
            while random.random() < stalls:
                await ctx.tick()
            ctx.set(component.i.payload, beat)
            ctx.set(component.i.valid, 1)
            await ctx.tick().until(component.i.ready)
            ctx.set(component.i.valid, 0)

    async def receive(ctx):
        waiting = None
        for cycle in range(limit):
            ready = random.random() >= stalls
            ctx.set(component.o.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(component.o.valid, component.o.payload)
            bits = payload.as_bits() if hasattr(payload, "as_bits") else payload
            assert waiting is None or (valid and bits == waiting), "a stalled beat changed"
            waiting = bits if valid and not ready else None
            if valid and ready:
                got.append(payload)
                cycles.append(cycle)
                if len(got) == count:
                    return
        raise AssertionError(f"{len(got)} of {count} beats after {limit} cycles")

    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    return got, cycles


def frames(net, images) -> list[dict]:
    """The accelerator's input beats for images: a pixel a beat, with marks."""
    beats = []
    for image in images:
        pixels = image.reshape(-1, net.in_shape[2]).tolist()
        beats += [
            {"data": pixel, "first": n == 0, "last": n == len(pixels) - 1} for n, pixel in enumerate(pixels)
        ]
    return beats
