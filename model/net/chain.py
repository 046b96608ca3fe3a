"""Layers one behind the other: the whole of a net, or one branch of a residual addition."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from model.arithmetic.geometry import Shape
from model.net.layer import Layer


class Misfit(ValueError):
    """A layer that does not fit where it stands; the message names it."""


class Chain:
    """Layers that are built, in order.

    Parameters
    ----------
    layers : sequence of Layer
        May be empty: such a chain hands its input on.
    in_shape : (int, int, int)
        Height, width and channels of the input.

    Attributes
    ----------
    params : dict of str to ndarray
        What is trained, by ``layer.parameter``, in the order of the layers.
    """

    def __init__(self, layers: Sequence[Layer], in_shape: Shape):
        self.layers, self.in_shape = tuple(layers), in_shape

    @classmethod
    def build(
        cls,
        layers: Sequence[Layer],
        in_shape: Shape,
        rng: np.random.Generator,
        dtype: type,
        prefix: str = "",
        counts: Counter | None = None,
    ) -> Chain:
        """Build layers one behind the other.

        Parameters
        ----------
        layers : sequence of Layer
        in_shape : (int, int, int)
        rng : numpy.random.Generator
            Draws the first parameters.
        dtype : type
        prefix : str
            Of the layers' names; a name is the prefix, the kind and a number.
        counts : Counter, optional
            How many layers of each kind have a name already.

        Raises
        ------
        Misfit
            If a layer does not fit the shape it is given.
        """
        counts, shape = Counter() if counts is None else counts, in_shape
        for layer in layers:
            counts[layer.kind] += 1
            name = f"{prefix}{layer.kind}{counts[layer.kind]}"
            try:
                layer.build(name, shape, rng, dtype)
            except Misfit:
                raise
            except ValueError as error:
                raise Misfit(f"layer {name!r}: {error}") from None
            shape = layer.out_shape
        return cls(layers, in_shape)

    @property
    def out_shape(self) -> Shape:
        """Height, width and channels of the output."""
        return self.layers[-1].out_shape if self.layers else self.in_shape

    @property
    def macs(self) -> int:
        """Multiplications with weights a frame."""
        return sum(layer.macs for layer in self.layers)

    @property
    def params(self) -> dict[str, np.ndarray]:
        return keyed({layer.name: layer.params for layer in self.layers})

    def bind(self, params: dict[str, np.ndarray]) -> None:
        """Give every layer other arrays for its parameters."""
        for layer in self.layers:
            layer.bind({key: params[f"{layer.name}.{key}"] for key in layer.params})

    def new_caches(self) -> list[dict]:
        """Working memory of one thread, a dict for each layer; `lent` arrays lie in what they share."""
        pieces: list = []
        return [{"lent": pieces} for _ in self.layers]

    def forward(
        self, x: np.ndarray, caches: list[dict], draw: tuple[int, ...] | None = None, used: int | None = None
    ) -> Iterator[np.ndarray]:
        """Every layer's output for a batch, engine layout, one after another; of the first `used` layers.

        `draw` becomes the item of that name in the layers' caches.
        """
        for layer, cache in zip(self.layers[:used], caches):
            cache["draw"] = draw
            x = layer.forward(x, cache)
            yield x

    def output(self, x: np.ndarray, caches: list[dict], draw=None, used=None) -> np.ndarray:
        """The last layer's output of `forward`; the input where there is no layer."""
        return deque(self.forward(x, caches, draw, used), maxlen=1).pop() if self.layers else x

    def backward(
        self, dy: np.ndarray, caches: list[dict], used: int | None = None, first: int = -1
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Derivatives for the last `forward` from those by its output.

        Parameters
        ----------
        dy : ndarray
            Engine layout.
        caches : list of dict
        used : int, optional
            As many layers as `forward` used.
        first : int
            The layer whose input nobody asks the derivative of; those before it are left out.

        Returns
        -------
        ndarray
            By the input of layer ``first + 1``.
        dict of str to ndarray
            By the parameters, named as in `params`.
        """
        gradients = {}
        for index in reversed(range(max(first, 0), len(self.layers) if used is None else used)):
            layer, cache = self.layers[index], caches[index]
            gradients[layer.name] = layer.gradients(dy, cache)
            if index > first:
                dy = layer.backward(dy, cache)
        return dy, keyed(gradients)

    def settle(self, caches: list[dict]) -> None:
        """`Layer.settle` of every layer."""
        for layer, cache in zip(self.layers, caches):
            layer.settle(cache)


def flow(layers: Iterable, branch: str = "") -> Iterator[tuple]:
    """Layers or specs in the order of the data, those in branches too, before the layer that adds these.

    Yields
    ------
    (Layer or Spec, str)
        With the name of the branch in which it stands; "" in none.
    """
    for layer in layers:
        for name, inner in zip(("body", "shortcut"), layer.branches):
            yield from flow(inner.layers if isinstance(inner, Chain) else inner, name)
        yield layer, branch


def keyed(tensors: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of layers, by ``layer.key``."""
    return {f"{name}.{key}": value for name, of_layer in tensors.items() for key, value in of_layer.items()}
