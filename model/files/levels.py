"""Grey levels and colours, 0 to 255, as a net's input has them."""

from __future__ import annotations

import numpy as np

from model.arithmetic.qformat import PIXELS, QFormat
from model.golden.qnetwork import QNetwork

ZERO = -128
"""What black is where the input is signed: the zero point of frameworks for 0 ... 1 and for 0 ... 255."""


def levels(images: np.ndarray, fmt: QFormat, name: str) -> np.ndarray:
    """Levels in the format of an input: as they are, or less 128 where it has a sign.

    Parameters
    ----------
    images : ndarray of uint8
    fmt : QFormat
        Of 8 bits.
    name : str
        Of the net.

    Raises
    ------
    ValueError
        If the input has another width.
    """
    if fmt.width != PIXELS.width:
        raise ValueError(
            f"net {name!r} takes integers of {fmt}, and no pictures of 0 to 255: give it features"
        )
    return images.astype(np.int16) + ZERO if fmt.signed else images


def for_net(images: np.ndarray, net: QNetwork) -> np.ndarray:
    """Levels as a net takes them.

    Raises
    ------
    ValueError
        As `levels`, or if black is another integer in the framework that the net came from.
    """
    converted = net.metadata.get("converted")
    grid = converted.get("input") if isinstance(converted, dict) else None
    zero = grid.get("zero") if isinstance(grid, dict) else None
    expected = ZERO if net.input_format.signed else 0
    if zero not in (None, expected):
        raise ValueError(
            f"net {net.name!r}: the zero point of its input is {zero}, and not {expected} as for pictures;"
            " give it features (an .npz)"
        )
    return levels(images, net.input_format, net.name)
