"""What every quantised layer has in common: the frozen description that hardware is made from."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import numpy as np

from model.arithmetic.exact import INT64_EXACT, narrowest
from model.arithmetic.geometry import Shape, whole
from model.arithmetic.qformat import QFormat, Requant

MAX_SHIFT = 32
"""Farthest that one output channel's steps are coarser than another's, bits."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Spec:
    """A quantised layer.

    Its integers are computed in the engine's layout, (H, C, W, N), and wherever they fit in floats: a chunk
    of images runs through `apply` of one layer after another. Whoever wants one layer alone calls `run`.

    Parameters
    ----------
    name : str
        Unique in its net; errors and reports name the layer by it.
    in_shape : (int, int, int)
        Height, width and channels of the input.
    src, dst : QFormat
        Formats of the input and output values.
    """

    kind: ClassVar[str]
    since: ClassVar[int] = 1
    """The artifacts' format that first held such a layer."""
    later: ClassVar[dict[str, object]] = {}
    """Fields that such a layer did not have from the first, and what it was like without them."""
    name: str
    in_shape: Shape
    src: QFormat
    dst: QFormat

    def __post_init__(self):
        sizes = self.in_shape
        if len(sizes) != 3 or any(not whole(n) or n < 1 for n in sizes):
            self.fail(f"an input has height, width and channels, whole numbers from 1, not {sizes}")

    @property
    def fields(self) -> dict[str, object]:
        """What makes the layer, by name; without `later` fields that change nothing.

        So whatever is computed of it, such as a design's hash, is as it was before there were such fields.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        idle = {name for name, value in self.later.items() if values[name] == value}
        return {name: value for name, value in values.items() if name not in idle}

    @property
    def out_shape(self) -> Shape:
        """Height, width and channels of the output."""
        return self.in_shape

    @property
    def macs(self) -> int:
        """Multiplications a frame."""
        return 0

    @property
    def params(self) -> int:
        """Trained numbers, biases included."""
        return 0

    @property
    def branches(self) -> tuple[tuple[Spec, ...], ...]:
        """The layers that this one is made of, chain by chain."""
        return ()

    @property
    def monotone(self) -> bool:
        """Whether the layer may be swapped with any non-decreasing function of a value, padding apart."""
        return False

    def apply(self, x: np.ndarray, cache: dict) -> np.ndarray:
        """The layer on a chunk of images, in the engine's layout.

        Parameters
        ----------
        x : ndarray, (H, C, W, N)
            Integers of `src` in float32, float64 or int64; they stay as they are.
        cache : dict
            Working memory of this layer and one thread.

        Returns
        -------
        ndarray, (H_out, C_out, W_out, N)
            Integers of `dst`, in any of these types that holds them. The next call with the same cache
            overwrites them.
        """
        raise NotImplementedError

    def run(self, x: np.ndarray) -> np.ndarray:
        """The layer by itself: integers (N, *in_shape) of `src` to int64 (N, *out_shape) of `dst`."""
        values = np.asarray(x).transpose(1, 3, 2, 0).astype(narrowest(self.src.magnitude), order="C")
        return self.apply(values, {}).transpose(3, 0, 2, 1).astype(np.int64, order="C")

    def requant(self, src: QFormat) -> Requant:
        """The change from a format within the layer to that of its output."""
        try:
            return Requant(src, self.dst)
        except ValueError as error:
            self.fail(str(error))

    def fail(self, problem: str):
        """Raise a ValueError that names the layer."""
        raise ValueError(f"layer {self.name!r}: {problem}")


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedSpec(Spec):
    """A quantised layer of products with weights, and biases.

    Parameters
    ----------
    weights : ndarray of int
        The last axis is the output channel.
    weight_format : QFormat
    bias : ndarray of int, (C_out,)
        In steps of ``src.frac + weight_format.frac`` fraction bits, before the shift.
    shifts : ndarray of int, (C_out,), optional
        Scales by channel: a channel's sum moves left by so many bits onto the accumulator's grid, which all
        channels share. So its weights stand in steps of ``2 ** (shift - weight_format.frac)``. Zeros by
        default: one scale for all.

    Attributes
    ----------
    groups : int
        Parts of the output channels that each see a part of the input of their own.
    """

    weights: np.ndarray
    weight_format: QFormat
    bias: np.ndarray
    shifts: np.ndarray | None = None
    groups: ClassVar[int] = 1

    def __post_init__(self):
        super().__post_init__()
        weights = np.asarray(self.weights)
        if not weights.ndim or not weights.size:
            self.fail(f"an array of shape {weights.shape} holds no weights")
        arrays = {"weights": weights, "bias": np.asarray(self.bias)}
        arrays["shifts"] = (
            np.zeros(weights.shape[-1], int) if self.shifts is None else np.asarray(self.shifts)
        )
        for name, array in arrays.items():
            if array.dtype.kind not in "iu":
                self.fail(f"{name} must be integers")
            array = array.astype(np.int64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not self.weight_format.contains(self.weights):
            self.fail(f"a weight lies outside its format {self.weight_format}")
        if (
            self.shifts.shape != weights.shape[-1:]
            or not 0 <= self.shifts.min() <= self.shifts.max() <= MAX_SHIFT
        ):
            self.fail(f"shifts are one a channel, from 0 to {MAX_SHIFT}, not {self.shifts.tolist()}")
        self.check_shapes()
        widest = float((self.magnitudes * 2.0**self.shifts).max())
        if widest >= INT64_EXACT:
            self.fail(
                f"sums up to 2**{math.log2(widest):.1f} are too wide for exact arithmetic (2**60);"
                " use narrower weights or activations"
            )
        _ = self.dtype

    def check_shapes(self) -> None:
        """Raise a ValueError if weights, biases and input do not fit together."""
        if self.bias.shape != self.weights.shape[-1:]:
            self.fail(f"biases of shape {self.bias.shape} do not fit weights of shape {self.weights.shape}")

    @property
    def since(self) -> int:
        return 3 if self.shifts.any() else 1

    @property
    def matrix(self) -> np.ndarray:
        """The weights as (K, C_out): K products make one output."""
        return self.weights.reshape(-1, self.weights.shape[-1])

    @property
    def matrices(self) -> np.ndarray:
        """The weights group by group, (groups, K, C_out / groups)."""
        return self.matrix.reshape(len(self.matrix), self.groups, -1).swapaxes(0, 1)

    @property
    def sum_ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest sum before the shift that inputs of `src` can drive, each shaped as `bias`."""
        up = np.maximum(self.matrix, 0).sum(axis=0)
        down = np.minimum(self.matrix, 0).sum(axis=0)
        low = up * self.src.min + down * self.src.max + self.bias
        high = up * self.src.max + down * self.src.min + self.bias
        return low, high

    @property
    def accumulator_range(self) -> tuple[int, int]:
        """Smallest and largest sum on the shared grid, over all outputs."""
        low, high = self.sum_ranges
        return int((low << self.shifts).min()), int((high << self.shifts).max())

    @property
    def magnitudes(self) -> np.ndarray:
        """Bounds of all partial sums before the shift, in any order, (C_out,) or shaped as `bias`.

        In floats, which do not wrap where int64 would.
        """
        weights, bias = np.abs(self.matrix, dtype=np.float64), np.abs(self.bias, dtype=np.float64)
        return weights.sum(axis=0) * max(-self.src.min, self.src.max) + bias

    @property
    def accumulator(self) -> QFormat:
        """Format of the sum on the shared grid, as wide as the weights can drive it and not wider."""
        return QFormat.spanning(*self.accumulator_range, self.src.frac + self.weight_format.frac)

    @property
    def params(self) -> int:
        return self.weights.size + self.bias.size

    @property
    def halves(self) -> list[int]:
        """What rounding adds to each channel's sums before their shift, which makes it half a step of `dst`.

        It is nothing where the shift alone takes a sum onto the output's grid.
        """
        total = self.requant(self.accumulator).shift
        return [1 << (total - shift - 1) if total > shift else 0 for shift in self.shifts.tolist()]

    @property
    def reach(self) -> float:
        """Bound of the integers on the way from a sum's first product to its rounding.

        Shifts of single channels do not count, nor that one goes farther left before saturation: a power of
        two is exact in floats.
        """
        rounded = self.magnitudes + np.array(self.halves, np.float64)
        left = np.maximum(self.shifts - self.requant(self.accumulator).shift, 0)
        shifted = np.minimum(self.magnitudes * 2.0**left, self.dst.magnitude)
        return float(np.maximum(rounded, shifted).max())

    @cached_property
    def dtype(self) -> type:
        """The quickest type in which every partial sum is exact, and the rounding of every sum."""
        return narrowest(self.reach)

    @cached_property
    def operands(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights and biases, shaped as they are, as sums are made of them.

        In floats they stand in steps of `dst`, and the biases hold the half that rounding adds: such sums
        only have to be rounded down and saturated. Integers stand in the accumulator's steps.
        """
        if self.dtype is np.int64:
            return self.weights << self.shifts, self.bias << self.shifts
        scales = 2.0 ** (self.shifts - self.requant(self.accumulator).shift)
        weights, bias = ((q * scales).astype(self.dtype) for q in (self.weights, self.bias + self.halves))
        return weights, bias

    def sums(self, x: np.ndarray, cache: dict) -> np.ndarray:
        """The sums that `operands` make, biases included; otherwise as `apply`."""
        raise NotImplementedError

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Outputs from `sums`, in place: rounding and saturation."""
        if self.dtype is np.int64:
            return self.requant(self.accumulator).inplace(sums)
        return self.dst.settle(sums)

    def apply(self, x, cache):
        return self.finish(self.sums(x, cache))
