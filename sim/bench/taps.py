"""The streams between an accelerator's layers, watched from outside and compared with the golden model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdl.network import Accelerator
from model.golden.qnetwork import QNetwork

BLOCKED = 2
"""State of a handshake, ``2 * valid + ready``: something is offered, and not taken."""


class Tapped(Accelerator):
    """An accelerator that shows the streams between its layers.

    Where neighbouring layers are one pipeline no stream is between them. What a residual addition is made
    of is not shown.

    Attributes
    ----------
    taps : dict of stream
        By name; known once it is elaborated.
    layers : dict of range
        For each of them the numbers of the layers between the one before and it, the last one's output.
    """

    def elaborate(self, platform):
        m = super().elaborate(platform)
        chain = m.submodules.stages
        numbers = {spec.name: number for number, spec in enumerate(self.net.specs)}
        self.taps, self.layers, done = {}, {}, 0
        for before, layer, (_, stage) in zip(chain.layers, chain.layers[1:], chain.stages[1:]):
            # what follows the last layer has no number
            behind = numbers.get(layer, len(numbers))
            if layer == before or not behind:
                continue
            name = f"tap{len(self.taps)}"
            self.taps[name] = stage.i
            self.layers[name] = range(min(done, behind - 1), behind)
            done = behind
        if not self.net.classifies:
            # nothing stands behind the last layer but what it puts out
            name = f"tap{len(self.taps)}"
            self.taps[name], self.layers[name] = chain.o, range(min(done, len(numbers) - 1), len(numbers))
        return m


@dataclass(frozen=True)
class Difference:
    """The first stage whose stream is not what the golden model says.

    Attributes
    ----------
    layers : str
        The layer, or those of one pipeline.
    frame : int
    place : tuple of int
        Row, column and channel.
    got : int or None
        None if the value never came.
    expected : int
    """

    layers: str
    frame: int
    place: tuple[int, int, int]
    got: int | None
    expected: int

    def __str__(self) -> str:
        got = "never comes" if self.got is None else f"is {self.got}"
        y, x, channel = self.place
        return (
            f"the first stage that differs is {self.layers}: in frame {self.frame} the value at row {y},"
            f" column {x}, channel {channel} {got}, the golden model says {self.expected}"
        )


def named(net: QNetwork, numbers: range) -> str:
    """Layers by their names."""
    first, last = net.specs[numbers[0]].name, net.specs[numbers[-1]].name
    return f"layer {first!r}" if first == last else f"layers {first!r} to {last!r}"


def first_difference(
    net: QNetwork, images: np.ndarray, layers: dict[str, range], seen: dict[str, np.ndarray]
) -> Difference | None:
    """The first stage that differs from the golden model; None if none does.

    Parameters
    ----------
    net : QNetwork
    images : ndarray, (N, H, W, C)
    layers : dict of range
        Of each tap, in the net's order, as those of a `Tapped`.
    seen : dict of ndarray
        Beats of each tap, (beats, lanes), as far as they came.
    """
    trace = net.trace(images)
    for name, numbers in layers.items():
        expected = trace[numbers[-1]]
        got = seen[name].ravel()
        wrong = got[: expected.size] != expected.ravel()[: len(got)]
        at = int(wrong.argmax()) if wrong.any() else len(got)
        if at < expected.size:
            frame, *place = map(int, np.unravel_index(at, expected.shape))
            value = int(got[at]) if at < len(got) else None
            return Difference(named(net, numbers), frame, tuple(place), value, int(expected.flat[at]))
    return None


def stuck(net: QNetwork, layers: dict[str, range], handshakes: np.ndarray) -> str:
    """The layers in which a run has come to a stop: the first that neither put out nor are kept from it.

    Parameters
    ----------
    net : QNetwork
    layers : dict of range
        As those of a `Tapped`.
    handshakes : ndarray of int, (2 + taps, 4, 4)
        Of a run that stood still for much longer than it ran, as those of a `sim.bench.bench.Result`.
    """
    at_last = handshakes.diagonal(axis1=1, axis2=2).argmax(axis=1)[2:]
    for numbers, state in zip(layers.values(), at_last):
        if state != BLOCKED:
            return f"it stands still in {named(net, numbers)}"
    return "it stands still behind the last layer"
