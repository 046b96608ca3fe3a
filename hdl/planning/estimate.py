"""What an accelerator will take of a chip, counted part by part before any tool runs.

Multipliers and block RAMs follow from the structure. LUTs count adders by their carry chains, selections
by the bits they choose, LUT RAMs by their words, each weighted as the tools were seen to make them
(`hdl.planning.tally`); flip-flops by the registers that the parts describe.
"""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import UnusedElaboratable

from hdl.devices.budget import Budget
from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.folding.net import Plan
from hdl.network import Accelerator
from hdl.parts.chain import Chain
from hdl.parts.pipe import UNSEEN
from hdl.planning.pieces import counter, ram
from hdl.planning.products import resources
from hdl.planning.tally import Tally
from model.golden.qnetwork import QNetwork

SHELL_REGISTERS = 698
"""Flip-flops of what stands between the serial port and the accelerator, but for pixels and logits."""
MEASURED = 24
"""Bits of a pixel, at most, for which the rest of it is the same."""
WAITING = 24, 8
"""Bits and number of answers without a result that may wait."""


def estimate(net: QNetwork, plan: Plan, device: Device = ECP5) -> Budget:
    """Resources of the accelerator of a net under a plan.

    Raises
    ------
    ValueError
        If the plan does not fit the net.
    """
    return tally(net, plan, device).on(device)


def on_board(net: QNetwork, plan: Plan, device: Device) -> Budget:
    """Resources of the accelerator with what a board has `around` it."""
    return (tally(net, plan, device) + around(net, plan, device)).on(device)


def tally(net: QNetwork, plan: Plan, device: Device) -> Tally:
    """What the accelerator of a net under a plan is made of."""
    with counting():
        return counted(Accelerator(net, plan, device))


@contextmanager
def counting() -> Iterator[None]:
    """For parts that are counted, never elaborated: they are gone before Amaranth may complain of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        before = UNSEEN.set(True)
        try:
            yield
        finally:
            UNSEEN.reset(before)
        gc.collect()


def counted(accelerator: Accelerator) -> Tally:
    """What an accelerator is made of."""
    total = surround(accelerator)
    parts, arrays = accelerator.parts()
    for part in [Chain(parts, accelerator.device), *arrays]:
        total += resources(part, accelerator.device)
    return total


def surround(accelerator: Accelerator) -> Tally:
    """What stands round the layers: the gate, the verdict, and the loader if there is one."""
    total = Tally(accelerator=1, ff=60)
    if not accelerator.net.classifies:
        total += resources(accelerator.verdict(), accelerator.device)
    if accelerator.loads is not None:
        total += Tally(loading=150, ff=75) + counter(accelerator.loads.length)
    return total


def around(net: QNetwork, plan: Plan, device: Device) -> Tally:
    """What a serial port and a memory of images take beside the accelerator.

    Their logic hardly depends on the net, but for the answer, which is sent byte by byte: chosen among the
    logits, or values out of a memory of their own.
    """
    lanes = plan.lanes_before(net)
    word = lanes * net.input_format.width
    # Answers that wait stand in block RAM where LUTs cannot be written.
    waiting = 0 if device.lutram_words else device.brams(*WAITING)
    images = device.ram_brams(word, 2 * math.prod(net.in_shape) // lanes)
    total = Tally(shell=1, ff=SHELL_REGISTERS + 3 * word, bram=images + waiting)
    # More bits of a pixel than the shell was measured with are chosen at the gate, and held at the door.
    beyond = max(word - MEASURED, 0)
    total += Tally(choice=beyond, lutram=beyond if device.lutram_words else 0)
    width = net.output_format.width
    if net.classifies:
        # Of more than four logits, one of each four is chosen first.
        chosen = -(-net.outputs // 4) * width if net.outputs > 4 else 0
        return total + Tally(choice=net.outputs * width, ff=chosen)
    out = plan.lanes_behind(net.specs, lanes)
    beats = max(net.outputs // out, 2)
    held = Tally(choice=out * width, ff=out * width) + counter(beats).times(2)
    return total + held + ram(out * width, beats, device)
