"""The streams between an accelerator's layers, watched from outside and compared with the golden model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdl.network import Accelerator
from model.qnetwork import QNetwork


class Tapped(Accelerator):
    """An accelerator that shows the streams between its layers.

    Where neighbouring layers are one pipeline no stream is between them. What a residual addition is made
    of is not shown.

    Attributes
    ----------
    taps : dict of stream
        By name; known once it is elaborated.
    layers : dict of int
        For each of them the number of the layer whose output it is.
    """

    def elaborate(self, platform):
        m = super().elaborate(platform)
        chain = m.submodules.stages
        numbers = {spec.name: number for number, spec in enumerate(self.net.specs)}
        self.taps, self.layers = {}, {}
        for before, layer, (_, stage) in zip(chain.layers, chain.layers[1:], chain.stages[1:]):
            if layer == before:
                continue
            name = f"tap{len(self.taps)}"
            self.taps[name] = stage.i
            # what follows the last layer has no number
            self.layers[name] = numbers.get(layer, len(numbers)) - 1
        return m


@dataclass(frozen=True)
class Difference:
    """The first stage whose stream is not what the golden model says.

    Attributes
    ----------
    layer : str
    frame : int
    place : tuple of int
        Row, column and channel.
    got : int or None
        None if the value never came.
    expected : int
    """

    layer: str
    frame: int
    place: tuple[int, int, int]
    got: int | None
    expected: int

    def __str__(self) -> str:
        got = "never comes" if self.got is None else f"is {self.got}"
        y, x, channel = self.place
        return (
            f"the first stage that differs is layer {self.layer!r}: in frame {self.frame} the value at row"
            f" {y}, column {x}, channel {channel} {got}, the golden model says {self.expected}"
        )


def first_difference(
    net: QNetwork, images: np.ndarray, layers: dict[str, int], seen: dict[str, np.ndarray]
) -> Difference | None:
    """The first stage that differs from the golden model; None if none does.

    Parameters
    ----------
    net : QNetwork
    images : ndarray, (N, H, W, C)
    layers : dict of int
        The layer's number of each tap, in the net's order.
    seen : dict of ndarray
        Beats of each tap, (beats, lanes), as far as they came.
    """
    trace = net.trace(images)
    for name, number in layers.items():
        spec, expected = net.specs[number], trace[number]
        got = seen[name].ravel()
        wrong = got[: expected.size] != expected.ravel()[: len(got)]
        at = int(wrong.argmax()) if wrong.any() else len(got)
        if at < expected.size:
            frame, *place = map(int, np.unravel_index(at, expected.shape))
            value = int(got[at]) if at < len(got) else None
            return Difference(spec.name, frame, tuple(place), value, int(expected.flat[at]))
    return None
