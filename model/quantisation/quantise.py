"""From a trained float net to integers, in one go."""

from __future__ import annotations

import numpy as np

from model.golden.qnetwork import QNetwork
from model.net.network import Network
from model.quantisation.build import build
from model.quantisation.correction import corrected
from model.quantisation.fold import folded
from model.quantisation.scheme import calibrate
from model.quantisation.widths import Widths


def quantise(
    network: Network,
    images: np.ndarray,
    weights: Widths = Widths(),
    activations: Widths = Widths(),
    name: str = "net",
    metadata: dict | None = None,
    scales: str = "channel",
) -> QNetwork:
    """A trained net in integers, by what it computes for calibration images; batch normalisation folded.

    These choose the formats, and then the weights and biases within them. The parameters are those of
    `calibrate` and `build`.
    """
    network = folded(network)
    scheme = calibrate(network, images, weights, activations, scales)
    return build(corrected(network, scheme, images), scheme, name, metadata)
