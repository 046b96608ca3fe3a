"""Quantisation-aware training: a trained float net goes on learning as the integers that it will become.

The float net says where to begin: its formats are chosen by calibration and then stay. The net that
learns rounds everything as its integers do (`model.quantisation.fake`), so its classes are theirs, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from model.net.network import Network
from model.quantisation.correction import corrected
from model.quantisation.fake import fake, outgrown
from model.quantisation.scheme import SCALES, Scheme
from model.training.optim import OPTIMISERS
from model.training.recipe import Recipe

COARSE = 2
"""Weights of so few bits jump from one number to the next; an average of theirs lies between them, and says
nothing."""


@dataclass(frozen=True)
class Tuning:
    """How a net is quantised, beside its widths.

    Parameters
    ----------
    epochs : int
        Of quantisation-aware training; 0 for none.
    optimiser : str
        One of `model.training.optim.OPTIMISERS`. Adam is worth its time here: gradients through rounding are
        rough.
    rate : float, optional
        Its peak of the learning rate; by default the optimiser's usual one.
    scales : {"channel", "tensor"}
        Whether weights have a scale for each output channel, or one for all.
    """

    epochs: int = 0
    optimiser: str = "adam"
    rate: float | None = None
    scales: str = "channel"

    def __post_init__(self):
        if self.epochs < 0:
            raise ValueError(f"epochs is a number from 0, not {self.epochs}")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser is one of {', '.join(OPTIMISERS)}, not {self.optimiser!r}")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError(f"rate is a number above 0, not {self.rate}")
        if self.scales not in SCALES:
            raise ValueError(f"scales are one a {' or one a '.join(SCALES)}, not {self.scales!r}")

    def recipe(self, recipe: Recipe, scheme: Scheme) -> Recipe:
        """How a net of a scheme is tuned that was trained by a recipe.

        Without averaging if any weights are binary or ternary.
        """
        coarse = any(formats.grid and formats.grid.bits <= COARSE for formats in scheme.formats.values())
        return replace(
            recipe,
            epochs=self.epochs,
            optimiser=self.optimiser,
            rate=self.rate,
            averaging=0.0 if coarse else recipe.averaging,
        )


def tuned(
    network: Network,
    scheme: Scheme,
    tuning: Tuning,
    recipe: Recipe,
    train: Callable[[Network, Recipe], list],
    images: np.ndarray,
) -> tuple[Network, list]:
    """A net that computes like a net's integers, and its history.

    It is trained on if the tuning says so. If not, weights and biases are chosen by calibration images
    (`model.quantisation.correction`).

    Parameters
    ----------
    network : Network
        Trained, without batch normalisation; it stays as it is.
    scheme : Scheme
    tuning : Tuning
    recipe : Recipe
        Of the float training.
    train : callable
        Trains a net by a recipe and gives the history.
    images : ndarray of uint8, (N, H, W, C)
        For calibration.

    Returns
    -------
    Network
        A fake-quantised net; `model.quantisation.fake.latent` and `model.quantisation.quantise.build` make
        integers of it.
    list
        Empty without epochs.

    Raises
    ------
    FloatingPointError
        If biases grew so much that the floats are not the integers' any more.
    """
    if not tuning.epochs:
        return fake(corrected(network, scheme, images), scheme, late=True), []
    net = fake(network, scheme, late=True)
    history = train(net, tuning.recipe(recipe, scheme))
    try:
        name = outgrown(net, scheme)
    except ValueError as error:
        raise FloatingPointError(str(error)) from None
    if name:
        raise FloatingPointError(f"layer {name!r}: its biases outgrew what floats hold exactly")
    return net, history
