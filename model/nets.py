"""The nets that the project knows by name: their layers, and the recipe that trains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model.augment import Affine
from model.layer import Layer
from model.layers import Conv, Dense, Pool, ReLU, Sigmoid
from model.recipe import Recipe


@dataclass(frozen=True)
class Net:
    """A net's description; its shapes follow from the images.

    Attributes
    ----------
    layers : callable
        Takes the number of classes, and gives new layers.
    recipe : Recipe
        Trains it well on MNIST in a minute or two.
    """

    layers: Callable[[int], list[Layer]]
    recipe: Recipe


def lecture(classes: int) -> list[Layer]:
    """The classical net: sigmoids and average pooling."""
    return [
        Conv(6, 5), Sigmoid(), Pool("avg", 2),
        Conv(16, 5), Sigmoid(), Pool("avg", 2),
        Dense(classes),
    ]  # fmt: skip


def lenet(classes: int) -> list[Layer]:
    """Its heir with ReLUs and max pooling: on MNIST 5,142 parameters, 242,560 multiplications."""
    return [
        Conv(6, 5), Pool("max", 2), ReLU(),
        Conv(16, 5), Pool("max", 2), ReLU(),
        Dense(classes),
    ]  # fmt: skip


NETS = {
    "lecture": Net(lecture, Recipe(epochs=25, rate=1.5, augment=Affine(5, 0.05, 0.05, 1))),
    "lenet": Net(lenet, Recipe(epochs=15, rate=0.1, augment=Affine(7, 0.07, 0.07, 1))),
}
"""By the names that commands take."""
