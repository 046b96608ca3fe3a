"""The training loop: batches in chunks over threads, with a result that does not depend on their number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np

from model.net.network import Network
from model.training.augment import Moves
from model.training.checkpoint import Phase
from model.training.history import Epoch
from model.training.learner import Learner
from model.training.optim import OPTIMISERS, Average, clipped, rate_share
from model.training.recipe import Recipe
from model.training.team import Team


def fit(
    network: Network,
    recipe: Recipe,
    images: np.ndarray,
    labels: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    threads: int = 1,
    report: Callable[[int, float, float], None] = lambda images, loss, accuracy: None,
    checkpoint: Phase | None = None,
) -> list[Epoch]:
    """Train a net; at the end it holds the average of its weights, with `Recipe.patience` the best epoch's.

    Parameters
    ----------
    network : Network
    recipe : Recipe
    images : ndarray of uint8, (N, H, W, C)
    labels : ndarray of int, (N,)
    validation : (images, labels)
        Never learnt from, but they tell when to stop if the recipe asks for it.
    rng : numpy.random.Generator
        Draws the order of the images and how they are moved; NumPy's default kind if there is a checkpoint.
    threads : int
        Any number gives the same net, bit for bit.
    report : callable
        Called after each step with the images done so far in all epochs, and the mean loss and accuracy
        of those of this epoch.
    checkpoint : Phase, optional
        Where the training is saved after every epoch and, if `Phase.due`, after a step. If it holds this
        training already, that is continued: `network`, `rng` and the history become what they would
        be had it never ended. A training that had come to its end is not done again.

    Raises
    ------
    FloatingPointError
        If the loss is no finite number any more.
    ValueError
        If the checkpoint does not fit.
    """
    learner = Learner(network, recipe, images, labels, validation)
    training = Training(learner, rng)
    if checkpoint:
        training.restore(checkpoint)
    with Team.of(network, learner.works, threads) as team:
        while not training.over:
            for batch in training.batches():
                training.step(batch, team)
                report(training.learnt, *training.means)
                if checkpoint and checkpoint.due:
                    training.save(checkpoint)
            training.finish_epoch(team)
            if checkpoint:
                training.save(checkpoint)
        network.vector[:] = training.best if recipe.patience else training.average.mean
        learner.measure(recipe.epochs)
    return training.at.history


@dataclass
class Place:
    """How far a training has come.

    Attributes
    ----------
    steps : int
        Batches done since it began.
    done, loss, correct, seconds
        Of this epoch: images, the sum of their losses, those that were classified right, time.
    rate : float
        The learning rate of the last step.
    best : int
        The epoch that did best on the validation images, from 0.
    history : list of Epoch
        Of the epochs done.
    """

    steps: int = 0
    done: int = 0
    loss: float = 0.0
    correct: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    best: int = 0
    history: list[Epoch] = field(default_factory=list)


class Training:
    """A training under way, with all that it has to remember from step to step.

    Parameters
    ----------
    learner : Learner
    rng : numpy.random.Generator

    Attributes
    ----------
    order : ndarray of int, (N,)
        In which this epoch meets the images.
    average : Average
        Of the weights.
    best : ndarray
        The averaged weights of the best epoch.
    at : Place
    """

    def __init__(self, learner: Learner, rng: np.random.Generator):
        self.learner, self.network, self.recipe, self.rng = learner, learner.network, learner.recipe, rng
        vector, recipe, count = self.network.vector, self.recipe, len(learner.images)
        self.optimiser = OPTIMISERS[recipe.optimiser](vector, recipe.momentum, recipe.second)
        self.average = Average(vector, recipe.averaging)
        self.best = vector.copy()
        self.order = np.arange(count, dtype=np.int32)
        self.at = Place()
        self.steps = recipe.epochs * -(-count // recipe.batch)

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing."""
        epochs, patience = len(self.at.history), self.recipe.patience
        idle = patience and epochs - 1 - self.at.best >= patience
        return epochs == self.recipe.epochs or bool(idle)

    @property
    def learnt(self) -> int:
        """Images done in all epochs."""
        return len(self.at.history) * len(self.order) + self.at.done

    @property
    def means(self) -> tuple[float, float]:
        """Loss and accuracy of this epoch's images so far."""
        return self.at.loss / self.at.done, self.at.correct / self.at.done

    def batches(self) -> Iterator[np.ndarray]:
        """Indices of the images of each batch of this epoch, from where it stands; `step` moves it on."""
        if not self.at.done:
            self.order[:] = self.rng.permutation(len(self.order))
        while self.at.done < len(self.order):
            yield self.order[self.at.done : self.at.done + self.recipe.batch]

    def step(self, batch: np.ndarray, team: Team) -> None:
        """Learn from the images of these indices."""
        begin, at, recipe = time.perf_counter(), self.at, self.recipe
        kinds = [kind for kind in (recipe.augment, recipe.elastic) if kind]
        size = self.network.in_shape[:2]
        moves = Moves.draw(kinds, self.rng, len(batch), size) if kinds else None
        losses, hits, gradient = self.learner.batch_gradient(team, batch, moves, at.steps)
        at.rate = recipe.peak * rate_share(recipe.schedule, at.steps, self.steps, recipe.warmup)
        self.optimiser.step(clipped(gradient, recipe.clip), at.rate)
        self.average.update(self.network.vector)
        at.steps, at.done = at.steps + 1, at.done + len(batch)
        at.loss, at.correct = at.loss + losses, at.correct + hits
        at.seconds += time.perf_counter() - begin
        if not math.isfinite(at.loss):
            raise FloatingPointError(f"the loss is {at.loss} in epoch {len(at.history) + 1}")

    def finish_epoch(self, team: Team) -> None:
        """Take the epoch into the history, with what its averaged net reaches on the validation images."""
        at = self.at
        with self.averaged():
            validated = self.learner.accuracy(team, len(at.history))
        epoch = Epoch(*self.means, validated, at.rate, at.done, at.seconds)
        if not at.history or validated > at.history[at.best].validation:
            at.best, self.best[:] = len(at.history), self.average.mean
        self.at = Place(at.steps, best=at.best, history=[*at.history, epoch])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The net with its averaged weights, for a while."""
        kept = self.network.vector.copy()
        self.network.vector[:] = self.average.mean
        try:
            yield
        finally:
            self.network.vector[:] = kept

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All that it remembers in arrays; changing them changes it."""
        memory = {f"optimiser-{key}": array for key, array in self.optimiser.arrays.items()}
        return {
            "vector": self.network.vector,
            "average": self.average.mean,
            "best": self.best,
            "order": self.order,
            **memory,
        }

    def save(self, checkpoint: Phase) -> None:
        """Write down all that it remembers."""
        counts = {"optimiser": self.optimiser.count, "average": self.average.count}
        values = {"place": asdict(self.at), "rng": self.rng.bit_generator.state, "counts": counts}
        checkpoint.save(self.arrays, values)

    def restore(self, checkpoint: Phase) -> None:
        """Become what a checkpoint remembers, if it does."""
        values = checkpoint.restore(self.arrays)
        if values is None:
            return
        try:
            history = [Epoch(**epoch) for epoch in values["place"]["history"]]
            self.at = Place(**{**values["place"], "history": history})
            counts = values["counts"]
            self.optimiser.count, self.average.count = counts["optimiser"], counts["average"]
            self.rng.bit_generator.state = values["rng"]
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{checkpoint.path} does not fit: its values are no training's") from None
