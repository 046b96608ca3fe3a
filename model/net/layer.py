"""What every layer of a float net has in common, and the memory layout that makes training quick.

Inside the engine an image batch is an array (H, C, W, N): a convolution is then one product of
matrices per image row over views of one copy of its input, and everything else runs along contiguous
images. Users' arrays stay (N, H, W, C); :mod:`model.net.network` converts at its boundary.
"""

from __future__ import annotations

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
    keeps_order = False
    """Whether the layer never puts a smaller value of an image above a larger one: at a net's end it decides
    no class, but may make equals of values that were none."""
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
    keeps_order = True

    def quantise(self, src: QFormat, dst: QFormat) -> None:
        """Nothing: the values go on as they are."""
        return None
