"""What every quantised layer has in common: the frozen description that hardware is made from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from model.geometry import Shape, whole
from model.qformat import QFormat, Requant

FLOAT32_EXACT = 1 << 24
"""Integers below this are exact in float32, sums and products of them included."""
FLOAT64_EXACT = 1 << 53
MAX_SHIFT = 32
"""Farthest that one output channel's steps are coarser than another's, bits."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Spec:
    """A quantised layer.

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
    name: str
    in_shape: Shape
    src: QFormat
    dst: QFormat

    def __post_init__(self):
        sizes = self.in_shape
        if len(sizes) != 3 or any(not whole(n) or n < 1 for n in sizes):
            self.fail(f"an input has height, width and channels, whole numbers from 1, not {sizes}")

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

    def run(self, x: np.ndarray) -> np.ndarray:
        """The layer in integers: (N, *in_shape) of `src` to (N, *out_shape) of `dst`."""
        raise TypeError(f"{type(self).__name__} has no integer model")

    def requant(self, src: QFormat) -> Requant:
        """The change from a format within the layer to that of its output."""
        try:
            return Requant(src, self.dst)
        except ValueError as error:
            self.fail(str(error))

    def fail(self, problem: str):
        """Raise a ValueError that names the layer."""
        raise ValueError(f"layer {self.name!r}: {problem}")


def check_chain(specs: Iterable[Spec], shape: Shape, src: QFormat) -> tuple[Shape, QFormat]:
    """Shape and format behind layers that are fed with these, or a ValueError if two do not fit."""
    for spec in specs:
        if spec.in_shape != shape:
            spec.fail(f"takes {spec.in_shape}, but is given {shape}")
        if spec.src != src:
            spec.fail(f"takes {spec.src} values, but is given {src}")
        shape, src = spec.out_shape, spec.dst
    return shape, src


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
        if widest >= FLOAT64_EXACT:
            self.fail(
                f"sums up to 2**{math.log2(widest):.1f} are too wide for exact arithmetic (2**53);"
                " use narrower weights or activations"
            )
        self.requant(self.accumulator)

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
    def scaled_matrices(self) -> np.ndarray:
        """`matrices` on the grid that all channels share."""
        return self.matrices << self.shifts.reshape(self.groups, 1, -1)

    @property
    def scaled_bias(self) -> np.ndarray:
        """The bias on the grid that all channels share."""
        return self.bias << self.shifts

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
    def exact_dtype(self) -> type:
        """The fastest float type in which every partial sum is exact: a shift takes no bit of a float's."""
        return np.float32 if self.magnitudes.max() < FLOAT32_EXACT else np.float64

    def products(self, x: np.ndarray) -> np.ndarray:
        """Exact integer ``x @ scaled_matrices`` by float BLAS.

        Parameters
        ----------
        x : ndarray, (groups, M, K)

        Returns
        -------
        ndarray of int64, (M, C_out)
        """
        dtype = self.exact_dtype
        sums = x.astype(dtype) @ self.scaled_matrices.astype(dtype)
        return sums.swapaxes(0, 1).reshape(x.shape[1], -1).astype(np.int64)
