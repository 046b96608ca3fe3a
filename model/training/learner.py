"""What a team computes in training: gradients of batches, and answers for the validation images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from model.arithmetic.chunks import CHUNK
from model.net.losses import LOSSES
from model.net.network import Network
from model.training.augment import Moves
from model.training.recipe import Recipe
from model.training.team import Team, Work, shared

MEASURED = 1024
"""Training images by which layers such as batch normalisation take the constants that they use later."""


class Learner:
    """A net with the images that it learns from; each member of a `Team` works on it, or on a copy.

    Parameters
    ----------
    network : Network
    recipe : Recipe
    images : ndarray of uint8, (N, H, W, C)
    labels : ndarray of int, (N,)
    validation : (images, labels)
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        images: np.ndarray,
        labels: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray],
    ):
        self.network, self.recipe = network, recipe
        self.images, self.labels, self.validation = images, labels, validation
        self.measured = -1
        # The weights that the members are to take, and a gradient for each chunk of a batch.
        size, dtype = network.vector.size, network.vector.dtype
        self.vector = shared((size,), dtype)
        self.gradients = shared((-(-recipe.batch // CHUNK), size), dtype)

    @property
    def works(self) -> Mapping[str, Work]:
        """What a team must know."""
        return {"gradient": self.gradient, "right": self.right}

    def batch_gradient(
        self, team: Team, batch: np.ndarray, moves: Moves | None, step: int
    ) -> tuple[float, int, np.ndarray]:
        """Sum of the losses, number of right answers and mean gradient of a batch.

        Parameters
        ----------
        team : Team
        batch : ndarray of int
            Indices of the images. The penalty counts for each.
        moves : Moves, optional
            How they are moved.
        step : int
            Batches since training began.
        """
        network, penalty = self.network, self.recipe.penalty
        self.vector[:] = network.vector
        losses, correct, places = zip(*team.map("gradient", (batch, moves, step), len(batch)))
        loss, gradient = sum(losses), sum(self.gradients[place] for place in places) / len(batch)
        if penalty:
            size, slope = penalty(network.vector[network.weights])
            loss += size * len(batch)
            gradient[network.weights] += slope
        return loss, sum(correct), gradient

    def gradient(self, message, chunk: slice, caches: list[dict]) -> tuple[float, int, int]:
        """A chunk's share of it: loss, right answers, and its row of `gradients`, which all see."""
        batch, moves, step = message
        self.network.vector[:] = self.vector
        images, labels = self.images[batch[chunk]], self.labels[batch[chunk]]
        if moves:
            images = moves.apply(images, chunk)
        loss, correct, gradient = self.network.gradient(
            images, labels, LOSSES[self.recipe.loss], caches, (step, chunk.start)
        )
        place = chunk.start // CHUNK
        self.gradients[place] = gradient
        return loss, correct, place

    def accuracy(self, team: Team, epoch: int) -> float:
        """Share of the validation images whose largest output is their label's.

        Parameters
        ----------
        team : Team
        epoch : int
            Tells the members that the weights are new: they measure again.
        """
        self.vector[:] = self.network.vector
        self.measure(epoch)
        count = len(self.validation[0])
        return int(sum(team.map("right", epoch, count))) / count

    def right(self, epoch: int, chunk: slice, caches: list[dict]) -> int:
        """Right answers in a chunk."""
        self.network.vector[:] = self.vector
        self.measure(epoch)
        images, labels = self.validation
        answers = self.network.outputs(images[chunk], caches, self.network.deciding).argmax(axis=1)
        return np.count_nonzero(answers == labels[chunk])

    def measure(self, epoch: int) -> None:
        """Take the constants that layers use outside training, once an epoch."""
        if self.measured != epoch:
            self.network.measure(self.images[:MEASURED])
            self.measured = epoch
