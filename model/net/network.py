"""A float net: a chain of layers whose shapes, parameters and gradients are computed from its input."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from model.arithmetic.chunks import CHUNK, MOST, chunk_of
from model.arithmetic.geometry import Shape
from model.arithmetic.qformat import PIXELS
from model.arithmetic.scratch import scratch
from model.net.chain import Chain, flow
from model.net.layer import Layer
from model.net.losses import LINKS, Loss


class Network:
    """A chain of layers.

    Parameters
    ----------
    layers : sequence of Layer
        They belong to this net from now on.
    in_shape : (int, int, int)
        Height, width and channels of an image.
    rng : numpy.random.Generator
        Draws the first weights.
    dtype : type
        ``float32``, or ``float64`` to check gradients.

    Attributes
    ----------
    vector : ndarray, (params,)
        All parameters; the layers' arrays are views of it, so whoever changes it trains the net.
    weights : ndarray of int
        Where in `vector` the weights stand, biases left out.

    Raises
    ------
    ValueError
        If a layer does not fit the shape it is given; names the layer.
    """

    def __init__(self, layers: Sequence[Layer], in_shape: Shape, rng: np.random.Generator, dtype=np.float32):
        if not layers:
            raise ValueError("a net needs at least one layer")
        chain = Chain.build(layers, tuple(in_shape), rng, dtype)
        pixels = True
        for layer in chain.layers:
            if layer.prepares and not pixels:
                raise ValueError(
                    f"layer {layer.name!r}: it prepares images, and stands before all other layers"
                )
            pixels = layer.prepares
            if layer.final and layer is not chain.layers[-1]:
                raise ValueError(f"layer {layer.name!r}: it can only stand at the end of a net")
        self.adopt(chain, dtype)

    @classmethod
    def of(cls, layers: Sequence[Layer], in_shape: Shape, dtype=np.float32) -> Network:
        """A net of layers that are built and keep their names and the values of their parameters."""
        network = cls.__new__(cls)
        network.adopt(Chain(layers, tuple(in_shape)), dtype)
        return network

    def adopt(self, chain: Chain, dtype: type) -> None:
        """Become the net of a chain: its parameters move into one vector."""
        self.chain, self.layers, self.dtype = chain, chain.layers, dtype
        self.in_shape, self.out_shape = chain.in_shape, chain.out_shape
        self.vector = self.flat(chain.params)
        views, start, weights = {}, 0, [np.empty(0, np.intp)]
        for key, value in chain.params.items():
            views[key] = self.vector[start : start + value.size].reshape(value.shape)
            if key.endswith(".weights"):
                weights.append(np.arange(start, start + value.size))
            start += value.size
        chain.bind(views)
        self.weights = np.concatenate(weights)

    @property
    def params(self) -> int:
        """Trained numbers, biases included."""
        return self.vector.size

    @property
    def macs(self) -> int:
        """Multiplications with weights a frame."""
        return self.chain.macs

    @cached_property
    def chunk(self) -> int:
        """Images that go through the engine together in training, if there are as many."""
        return chunk_of(max(math.prod(layer.out_shape) for layer, _ in flow(self.layers)), MOST)

    @cached_property
    def deciding(self) -> int:
        """Layers up to which the classes are decided, at least one; those behind them keep the order of
        values, but rounding may make some of these equal."""
        tail = itertools.takewhile(lambda layer: layer.keeps_order, reversed(self.layers))
        return max(len(self.layers) - len(list(tail)), 1)

    def new_caches(self) -> list[dict]:
        """Working memory of one thread: a dict for each layer, and one for the images."""
        return [*self.chain.new_caches(), {}]

    def forward(
        self,
        images: np.ndarray,
        caches: list[dict],
        used: int | None = None,
        draw: tuple[int, ...] | None = None,
    ) -> Iterator[np.ndarray]:
        """Every layer's output, engine layout, one after another.

        Parameters
        ----------
        images : ndarray, (N, H, W, C)
            Grey levels as integers, or real values as floats.
        caches : list of dict
            From `new_caches`.
        used : int, optional
            Layers that run; all by default.
        draw : tuple of int, optional
            In training, a seed of what layers draw for these images; empty where they are measured.
        """
        return self.chain.forward(self.engine(images, caches[-1]), caches, draw, used)

    def engine(self, images: np.ndarray, cache: dict) -> np.ndarray:
        """Images, as `forward` takes them, in the engine's layout and the net's number type."""
        pixels = images.transpose(1, 3, 2, 0)
        x = scratch(cache, "x", pixels.shape, self.dtype)
        if images.dtype.kind == "f":
            x[...] = pixels
        else:
            np.multiply(pixels, self.dtype(2.0**-PIXELS.frac), out=x)
        return x

    def outputs(self, images: np.ndarray, caches: list[dict], used=None, draw=None) -> np.ndarray:
        """The last layer's values of one chunk, (N, classes), in raster order, channels last.

        The next chunk of the same caches may overwrite them. `used` and `draw` go to `forward`.
        """
        y = deque(self.forward(images, caches, used, draw), maxlen=1).pop()
        return y.transpose(3, 0, 2, 1).reshape(len(images), -1)

    def gradient(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        loss: Loss,
        caches: list[dict],
        draw: tuple[int, ...] | None = None,
    ) -> tuple[float, int, np.ndarray]:
        """One chunk forward and backward; without `draw` as if nothing were drawn at random.

        Returns
        -------
        loss : float
            Summed over the images.
        correct : int
            Images whose largest output is their label's.
        gradient : ndarray, (params,)
            Of the summed loss by `vector`.
        """
        # A net of nothing but the loss's own last step keeps it.
        used = max(len(self.layers) - (self.layers[-1].kind == LINKS.get(loss)), 1)
        outputs = self.outputs(images, caches, used, draw)
        value, slope = loss(outputs, labels)
        height, width, channels = self.out_shape
        dy = np.ascontiguousarray(slope.reshape(-1, height, width, channels).transpose(1, 3, 2, 0))
        first = next((i for i, layer in enumerate(self.layers) if layer.params), used)
        _, gradients = self.chain.backward(dy, caches, used, first)
        correct = int(np.count_nonzero(outputs.argmax(axis=1) == labels))
        return value, correct, self.flat(gradients)

    def flat(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """One array for each parameter, by its name in the chain, as one vector."""
        parts = [tensors[key].ravel() for key in self.chain.params]
        return np.concatenate([*parts, np.empty(0, self.dtype)])

    @property
    def measures(self) -> bool:
        """Whether `measure` has anything to do."""
        return any(layer.measures for layer in self.layers)

    def measure(self, images: np.ndarray) -> None:
        """Take the constants that layers use outside training, such as means and variances, from images.

        Parameters
        ----------
        images : ndarray, (N, H, W, C)
            Of the training set; some hundreds do.
        """
        if not self.measures:
            return
        caches = self.new_caches()
        for start in range(0, len(images), CHUNK):
            deque(self.forward(images[start : start + CHUNK], caches, draw=()), maxlen=0)
        self.chain.settle(caches)

    def trace(self, images: np.ndarray) -> list[np.ndarray]:
        """Output of every layer, each (N, *out_shape)."""
        caches, chunks = self.new_caches(), []
        for start in range(0, len(images), CHUNK):
            layers = self.forward(images[start : start + CHUNK], caches)
            chunks.append([y.transpose(3, 0, 2, 1).copy() for y in layers])
        return [np.concatenate(parts) for parts in zip(*chunks)]

    def logits(self, images: np.ndarray, used: int | None = None) -> np.ndarray:
        """The last layer's values, or as many of the first `used` layers: (N, classes), as in `outputs`."""
        caches = self.new_caches()
        logits = np.empty((len(images), int(np.prod(self.out_shape))), self.dtype)
        for start in range(0, len(images), CHUNK):
            part = slice(start, start + CHUNK)
            logits[part] = self.outputs(images[part], caches, used)
        return logits

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Index of the largest output, the first of equals: (N,)."""
        return self.logits(images, self.deciding).argmax(axis=1)
