"""The training loop: batches in chunks over threads, with a result that does not depend on their number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from model.augment import Affine
from model.losses import LOSSES, Penalty
from model.network import CHUNK, Network
from model.optim import Average, Momentum, cosine

MAX_THREADS = 64


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
    warmup : float
        Share of the steps in which the rate rises.
    averaging : float
        Decay of the running average that becomes the trained net.
    loss : str
        One of `model.losses.LOSSES`.
    augment : Affine, optional
    penalty : Penalty, optional
        On the weights of all layers together, biases left out; added to the mean loss.
    """

    epochs: int
    batch: int = 128
    rate: float = 0.06
    momentum: float = 0.9
    warmup: float = 0.05
    averaging: float = 0.999
    loss: str = "cross-entropy"
    augment: Affine | None = None
    penalty: Penalty | None = None


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


class Workers:
    """Threads that share the chunks of a batch, each with its own memory; BLAS keeps to one thread."""

    def __init__(self, network: Network, threads: int):
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"the number of threads lies between 1 and {MAX_THREADS}, not {threads}")
        self.caches = [network.new_caches() for _ in range(threads)]
        self.pool = ThreadPoolExecutor(threads)

    @classmethod
    @contextmanager
    def of(cls, network: Network, threads: int) -> Iterator[Workers]:
        """Workers for a while."""
        workers = cls(network, threads)
        with threadpool_limits(1), workers.pool:
            yield workers

    def map(self, task: Callable, images: int) -> list:
        """``task(slice, caches)`` for each chunk of `images` images, the results in order."""
        chunks = [slice(start, min(start + CHUNK, images)) for start in range(0, images, CHUNK)]
        threads = len(self.caches)

        def share(thread):
            return [task(chunk, self.caches[thread]) for chunk in chunks[thread::threads]]

        # The calling thread does a share itself.
        others = [self.pool.submit(share, thread) for thread in range(1, min(threads, len(chunks)))]
        try:
            shares = [share(0)]
        finally:
            others = [other.result() for other in others]
        results = [None] * len(chunks)
        for thread, part in enumerate(shares + others):
            results[thread::threads] = part
        return results


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
    """Train a net; at the end it holds the average of its weights.

    Parameters
    ----------
    network : Network
    recipe : Recipe
    images : ndarray of uint8, (N, H, W, C)
    labels : ndarray of int, (N,)
    validation : (images, labels)
        Only looked at, never learnt from.
    rng : numpy.random.Generator
        Draws the order of the images and how they are moved.
    threads : int
        Any number gives the same net, bit for bit.
    report : callable
        Called after each step with the images done in this epoch, their mean loss and accuracy.
    """
    steps = -(-len(images) // recipe.batch)
    optimiser = Momentum(network.vector, recipe.momentum)
    average = Average(network.vector, recipe.averaging)
    loss_of, history = LOSSES[recipe.loss], []
    with Workers.of(network, threads) as workers:
        for epoch in range(recipe.epochs):
            order, done, loss, correct, start = rng.permutation(len(images)), 0, 0.0, 0, time.perf_counter()
            for step in range(steps):
                batch = order[step * recipe.batch : (step + 1) * recipe.batch]
                maps = recipe.augment.draw(rng, len(batch)) if recipe.augment else None

                def chunk_gradient(chunk, caches, batch=batch, maps=maps):
                    x = images[batch[chunk]]
                    if maps is not None:
                        x = recipe.augment.apply(x, maps[chunk])
                    return network.gradient(x, labels[batch[chunk]], loss_of, caches)

                results = workers.map(chunk_gradient, len(batch))
                gradient = sum(result[2] for result in results)
                gradient /= len(batch)
                if recipe.penalty:
                    penalty, slope = recipe.penalty(network.vector[network.weights])
                    gradient[network.weights] += slope
                    loss += penalty * len(batch)
                share = cosine(epoch * steps + step, recipe.epochs * steps, recipe.warmup)
                optimiser.step(gradient, recipe.rate * share)
                average.update(network.vector)
                done += len(batch)
                loss += sum(result[0] for result in results)
                correct += sum(result[1] for result in results)
                report(done, loss / done, correct / done)
            seconds = time.perf_counter() - start
            with averaged(network, average):
                share = accuracy(network, *validation, workers)
            history.append(Epoch(loss / done, correct / done, share, seconds))
    network.vector[:] = average.mean
    return history


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
