"""What every layer of a float net has in common, and the memory layout that makes training quick.

Inside the engine an image batch is an array (H, C, W, N): a convolution is then one product of
matrices per image row over views of one copy of its input, and everything else runs along contiguous
images. Users' arrays stay (N, H, W, C); :mod:`model.net.network` converts at its boundary.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from model.arithmetic.geometry import Shape
from model.arithmetic.qformat import QFormat
from model.golden.spec import Spec


class Layer:
    """A layer of a float net. It belongs to one `Network`, which builds it.

    Between `forward` and the backward pass of the same images a layer keeps what it needs in `cache`, a
    dict that belongs to it and to one thread. Arrays that it returns are overwritten by its next call
    with the same cache, derivatives by that of any layer of its chain that does not read them (`lent`);
    what it is given it leaves as it is, as another branch may see the same. In training the item ``draw``
    of the cache is a tuple of integers, a seed for whatever the layer draws at random for these images;
    else it is None or missing. An empty one stands for images that are measured: nothing is drawn, and
    `settle` follows.

    Attributes
    ----------
    name : str
        Unique in its net.
    in_shape : (int, int, int)
        Height, width and channels of the input.
    dtype : type
        Of all values, ``float32`` or ``float64``.
    params : dict of str to ndarray
        What is trained; the arrays may be changed in place.
    """

    kind: ClassVar[str]
    weighted: ClassVar[bool] = False
    """Whether the layer sums products, so that its quantised form picks any output format for free."""
    monotone = False
    """Whether the layer may be swapped with any non-decreasing function of a value."""
    final: ClassVar[bool] = False
    """Whether the layer can only stand at a net's end."""
    prepares: ClassVar[bool] = False
    """Whether the layer works on pixels, before all layers that do not; it has no backward pass then."""

    branches: tuple = ()
    """Of a layer that adds the outputs of others: these, as two chains."""

    name: str
    in_shape: Shape
    dtype: type

    def build(self, name: str, in_shape: Shape, rng: np.random.Generator, dtype: type) -> None:
        """Take a place in a net, and draw the first parameters."""
        self.name, self.in_shape, self.dtype = name, in_shape, dtype
        self.params: dict[str, np.ndarray] = {}

    @property
    def out_shape(self) -> Shape:
        """Height, width and channels of the output."""
        return self.in_shape

    @property
    def macs(self) -> int:
        """Multiplications with weights a frame."""
        return 0

    def forward(self, x: np.ndarray, cache: dict) -> np.ndarray:
        """Output for a batch; engine layout."""
        raise NotImplementedError

    def backward(self, dy: np.ndarray, cache: dict) -> np.ndarray:
        """The loss's derivative by the input from that by the output, for the last `forward`."""
        raise NotImplementedError

    def gradients(self, dy: np.ndarray, cache: dict) -> dict[str, np.ndarray]:
        """The loss's derivative by each parameter, summed over the batch, for the last `forward`.

        `backward` of the same batch comes after it, if at all.
        """
        return {}

    def bind(self, params: dict[str, np.ndarray]) -> None:
        """Keep the parameters in these arrays from now on."""
        self.params = params

    def settle(self, cache: dict) -> None:
        """Take over what the forward passes with an empty ``draw`` measured."""

    @property
    def measures(self) -> bool:
        """Whether `settle` has anything to do."""
        return False


class Activation(Layer):
    """A function of single values that decides in which format the layer before hands them over."""

    def source_format(self, x: np.ndarray, y: np.ndarray, width: int) -> QFormat:
        """The format in which the quantised activation takes its input.

        Parameters
        ----------
        x, y : ndarray of float
            Inputs and outputs of this layer for the calibration images.
        width : int
            Bits that the user grants.
        """
        raise NotImplementedError

    def target_format(self, src: QFormat, y: np.ndarray, width: int) -> QFormat:
        """The format of the quantised activation's output, behind a `src` that `source_format` chose."""
        raise NotImplementedError

    def quantise(self, src: QFormat, dst: QFormat) -> Spec | None:
        """The integer layer between these formats; None if nothing is left to do."""
        raise NotImplementedError


class Vanishing(Layer):
    """A layer that is there for training alone: integers give the same classes without it."""

    monotone = True

    def quantise(self, src: QFormat, dst: QFormat) -> None:
        """Nothing: the values go on as they are."""
        return None


LINE = 64
"""Bytes of a line of the processor's cache; at its start vector instructions are quickest."""


def scratch(cache: dict, key: str, shape: tuple[int, ...], dtype, fill=None) -> np.ndarray:
    """An array that later batches of the same size reuse, as they left it; at first undefined or `fill`."""
    array = cache.get(key)
    if array is None or array.shape != shape or array.dtype != dtype:
        raw = aligned(math.prod(shape) * np.dtype(dtype).itemsize)
        array = cache[key] = raw.view(dtype).reshape(shape)
        if fill is not None:
            array.fill(fill)
    return array


def lent(cache: dict, shape: tuple[int, ...], dtype, *used: np.ndarray) -> np.ndarray:
    """An undefined array for the backward pass, in memory that all layers of a chain use in turn.

    What lies there is needed no longer than until the next layer has read it. So a few pieces of memory do
    for all layers, and stay in the processor's cache; steps become quicker than with an array for each.

    Parameters
    ----------
    cache : dict
        Its item ``lent`` holds the pieces; the layers of a chain have the same one.
    shape : tuple of int
    dtype : type
    *used : ndarray
        Arrays that are still needed: the new one lies elsewhere.
    """
    pieces = cache.setdefault("lent", [])
    size = math.prod(shape) * np.dtype(dtype).itemsize
    free = (i for i, piece in enumerate(pieces) if not any(np.may_share_memory(piece, one) for one in used))
    index = next(free, len(pieces))
    if index == len(pieces):
        pieces.append(aligned(size))
    elif pieces[index].size < size:
        pieces[index] = aligned(size)
    return pieces[index][:size].view(dtype).reshape(shape)


def aligned(size: int) -> np.ndarray:
    """So many bytes from the start of a line of the cache on."""
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size]


def held(x: np.ndarray, dtype: type, cache: dict) -> np.ndarray:
    """The same values in an array of a type: itself where it is of it."""
    if x.dtype == dtype:
        return x
    array = scratch(cache, "held", x.shape, dtype)
    array[...] = x
    return array


def padded(x: np.ndarray, padding, fill: float, cache: dict) -> np.ndarray:
    """An engine batch (H, C, W, N) with a border of `fill`: itself where there is none."""
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    height, channels, width, images = x.shape
    shape = height + top + bottom, channels, width + left + right, images
    out = scratch(cache, "padded", shape, x.dtype, fill)
    out[top : top + height, :, left : left + width] = x
    return out


def cropped(x: np.ndarray, padding, shape: Shape) -> np.ndarray:
    """The part of a padded engine batch that `padded` took from an image of `shape`."""
    (top, _), (left, _) = padding
    return x[top : top + shape[0], :, left : left + shape[1]]


def every(start: int, stride: int, count: int) -> slice:
    """The slice of `count` indices from `start` on, `stride` apart."""
    return slice(start, start + stride * (count - 1) + 1, stride)
