"""The training loop: batches in chunks over threads, with a result that does not depend on their number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from model.augment import Affine
from model.losses import LOSSES, Penalty
from model.network import Network
from model.optim import Average, Momentum, cosine
from model.workers import Workers


@dataclass(frozen=True)
class Recipe:
    """How a net is trained.

    Parameters
    ----------
    epochs : int
        Passes over the training images.
    batch : int
        Images a step.
    rate : float
        Peak of the learning rate.
    momentum : float
    clip : float
        Longest gradient of the mean loss.
    warmup : float
        Share of the steps in which the rate rises.
    averaging : float
        Decay of the running average that becomes the trained net.
    loss : str
        One of `model.losses.LOSSES`.
    augment : Affine, optional
    penalty : Penalty, optional
        On the weights of all layers together, biases left out; added to the mean loss.
    patience : int, optional
        So many epochs that classify no more validation images right than the best one end the training.
    """

    epochs: int
    batch: int = 128
    rate: float = 0.06
    momentum: float = 0.9
    clip: float = 1.0
    warmup: float = 0.05
    averaging: float = 0.999
    loss: str = "cross-entropy"
    augment: Affine | None = None
    penalty: Penalty | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave.

    Attributes
    ----------
    loss, accuracy : float
        Means over the (moved) training images, as the net was when it met them; the loss with its penalty.
    validation : float
        Share of the validation images that the averaged net classifies right.
    seconds : float
        For the training alone.
    """

    loss: float
    accuracy: float
    validation: float
    seconds: float


def fit(
    network: Network,
    recipe: Recipe,
    images: np.ndarray,
    labels: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    threads: int = 1,
    report: Callable[[int, float, float], None] = lambda images, loss, accuracy: None,
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
        Draws the order of the images and how they are moved.
    threads : int
        Any number gives the same net, bit for bit.
    report : callable
        Called after each step with the images done so far in all epochs, and the mean loss and accuracy
        of those of this epoch.

    Raises
    ------
    FloatingPointError
        If the loss is no finite number any more.
    """
    starts = range(0, len(images), recipe.batch)
    steps, total = 0, recipe.epochs * len(starts)
    optimiser = Momentum(network.vector, recipe.momentum, recipe.clip)
    average = Average(network.vector, recipe.averaging)
    history, best, kept = [], 0, average.mean
    with Workers.of(network, threads) as workers:
        for epoch in range(recipe.epochs):
            begin, done, loss, correct = time.perf_counter(), 0, 0.0, 0
            order = rng.permutation(len(images))
            for start in starts:
                batch = order[start : start + recipe.batch]
                maps = recipe.augment.draw(rng, len(batch)) if recipe.augment else None
                losses, hits, gradient = batch_gradient(
                    network, recipe, images[batch], labels[batch], maps, workers, steps
                )
                optimiser.step(gradient, recipe.rate * cosine(steps, total, recipe.warmup))
                average.update(network.vector)
                steps, done, loss, correct = steps + 1, done + len(batch), loss + losses, correct + hits
                if not math.isfinite(loss):
                    raise FloatingPointError(f"the loss is {loss} in epoch {epoch + 1}")
                report(epoch * len(images) + done, loss / done, correct / done)
            seconds = time.perf_counter() - begin
            with averaged(network, average):
                validated = accuracy(network, *validation, workers)
            history.append(Epoch(loss / done, correct / done, validated, seconds))
            if epoch == best or validated > history[best].validation:
                best, kept = epoch, average.mean.copy()
            elif recipe.patience and epoch - best >= recipe.patience:
                break
    network.vector[:] = kept if recipe.patience else average.mean
    return history


def batch_gradient(
    network: Network, recipe: Recipe, images, labels, maps, workers: Workers, step: int
) -> tuple[float, int, np.ndarray]:
    """Sum of the losses, number of right answers and mean gradient of a batch, moved by `maps` if any.

    The penalty counts for every image. `step` counts the batches since training began.
    """

    def task(chunk, caches):
        x = images[chunk] if maps is None else recipe.augment.apply(images[chunk], maps[chunk])
        return network.gradient(x, labels[chunk], LOSSES[recipe.loss], caches, (step, chunk.start))

    losses, correct, gradients = zip(*workers.map(task, len(images)))
    loss, gradient = sum(losses), sum(gradients) / len(images)
    if recipe.penalty:
        penalty, slope = recipe.penalty(network.vector[network.weights])
        loss += penalty * len(images)
        gradient[network.weights] += slope
    return loss, sum(correct), gradient


@contextmanager
def averaged(network: Network, average: Average) -> Iterator[None]:
    """The net with its averaged weights, for a while."""
    kept = network.vector.copy()
    network.vector[:] = average.mean
    try:
        yield
    finally:
        network.vector[:] = kept


def accuracy(network: Network, images: np.ndarray, labels: np.ndarray, workers: Workers) -> float:
    """Share of images whose largest output is their label's."""

    def correct(chunk, caches):
        return np.count_nonzero(network.outputs(images[chunk], caches).argmax(axis=1) == labels[chunk])

    return int(sum(workers.map(correct, len(images)))) / len(images)
