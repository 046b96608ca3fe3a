"""What convolutions and dense layers have in common: weights, a bias, and their way to integers."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from model.arithmetic.exact import FLOAT64_EXACT
from model.arithmetic.grid import Grid
from model.arithmetic.qformat import QFormat
from model.golden.spec import WeightedSpec
from model.net.layer import Layer

MAX_WEIGHTS = 1 << 24
"""Weights of a layer, biases included; more are a slip of the pen, and would fill the memory."""


class Weighted(Layer):
    """A layer of products with weights, and biases.

    Parameters
    ----------
    channels : int
        Output channels.

    Attributes
    ----------
    params : dict
        ``weights``, with the output channel as last axis, and unless the layer has none ``bias``.
    """

    weighted = True
    spec: ClassVar[type[WeightedSpec]]

    def __init__(self, channels: int):
        if channels < 1:
            raise ValueError(f"{self.kind} needs at least 1 output channel, not {channels}")
        self.channels = channels

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator, bias: tuple[int, ...] | None) -> None:
        """First weights: uniform with the variance 1 / (products per output); biases of zero."""
        count = math.prod(shape) + math.prod(bias or ())
        if count > MAX_WEIGHTS:
            raise ValueError(f"it would have {count:,} weights; {MAX_WEIGHTS:,} are possible")
        limit = np.sqrt(3 / np.prod(shape[:-1]))
        self.params["weights"] = rng.uniform(-limit, limit, shape).astype(self.dtype)
        if bias is not None:
            self.params["bias"] = np.zeros(bias, self.dtype)

    def scaled(self, scale: np.ndarray, shift: np.ndarray) -> Weighted:
        """A copy whose output is ``scale * y + shift``, one of each for an output channel."""
        other = self.biased(self.biases * scale + shift)
        other.params["weights"] = self.params["weights"] * scale
        return other

    def biased(self, bias: np.ndarray) -> Weighted:
        """A copy with other biases, of the shape of `biases`."""
        other = copy.copy(self)
        other.params = {"weights": self.params["weights"], "bias": bias}
        return other

    @property
    def biases(self) -> np.ndarray:
        """What is added to the sums; zeros for each output channel if nothing is."""
        return self.params.get("bias", np.zeros(self.channels, self.dtype))

    def windows(self, x: np.ndarray) -> np.ndarray:
        """What the weights are multiplied with, for a batch in the engine's layout.

        Returns
        -------
        ndarray, (groups, products, outputs)
            The products of a sum, in the order of the weights; sums of all places and images.
        """
        raise NotImplementedError

    def quantise(self, src: QFormat, dst: QFormat | None, grid: Grid) -> WeightedSpec:
        """The layer in integers.

        Parameters
        ----------
        src : QFormat
            Of the input.
        dst : QFormat or None
            Of the output; None stands for the accumulator's, which makes the sums exact.
        grid : Grid
            Of the weights.

        Raises
        ------
        ValueError
            If a weight or bias is not finite, or too wide for any format; names the layer.
        """
        bias = self.biases
        spec = self.spec(
            name=self.name,
            in_shape=self.in_shape,
            src=src,
            dst=dst or replace(src, frac=src.frac + grid.frac),
            weights=self.whole("weight", self.params["weights"], grid.codes(self.params["weights"])),
            weight_format=grid.format,
            bias=self.whole("bias", bias, grid.biases(bias, src.frac)),
            shifts=np.array(grid.shifts),
            **self.fields(),
        )
        return spec if dst else replace(spec, dst=spec.accumulator)

    def whole(self, what: str, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Whole numbers in floats, which stand for `values`, as integers."""
        wrong = ~(np.isfinite(values) & (np.abs(codes) <= FLOAT64_EXACT))
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            value, where = values[place], f"layer {self.name!r}: output channel {place[-1]} has a {what}"
            if not np.isfinite(value):
                raise ValueError(f"{where} of {value}, which is no finite number: train it with a lower rate")
            raise ValueError(
                f"{where} of {value:.3g}, too wide beside its weights: more than 2**53 steps of its sums; use"
                " fewer bits for weights or activations"
            )
        return codes.astype(np.int64)

    def fields(self) -> dict:
        """The fields that the layer's spec has beyond those of every `WeightedSpec`."""
        return {}
