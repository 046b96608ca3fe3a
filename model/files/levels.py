"""Grey levels as the integers of a net's input; the one place that knows how they differ."""

from __future__ import annotations

import numpy as np

from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork

UNITS = (1.0, 1 / 255)
"""What a grey level of 1 may stand for: pixels are left as they are, or divided by 255."""


def for_net(images: np.ndarray, net: QNetwork) -> np.ndarray:
    """Images as a net takes them; see `for_input`."""
    return for_input(images, net.input_format, net.name, net.metadata)


def for_input(images: np.ndarray, fmt: QFormat, name: str, metadata: dict) -> np.ndarray:
    """Images as integers of a net's input.

    Parameters
    ----------
    images : ndarray, (..., H, W, C)
        Of uint8: grey levels. Of another type: a net's own integers, which stay as they are.
    fmt : QFormat
        Of the input. The darkest level is the least integer of a format of 8 bits.
    name : str
        Of the net.
    metadata : dict
        A converted net's say what its integers stand for.

    Raises
    ------
    ValueError
        If the integers of the net stand for something else than grey levels.
    """
    if images.dtype != np.uint8:
        return images
    least = fmt.min if fmt.width == 8 else 0
    step, zero = grid_of(metadata)
    if step is not None and not (zero == least and any(same_levels(unit, step) for unit in UNITS)):
        raise ValueError(
            f"net {name!r}: its integer q stands for (q - {zero}) * {step:g}, so that a grey level p is not"
            f" {f'p - {-least}' if least else 'p'}; give it its own integers, as an .npz of signed features"
        )
    return (images.astype(np.int16) + least).astype(np.int8) if least else images


def grid_of(metadata: dict) -> tuple[float, int] | tuple[None, None]:
    """Step and zero point of a net's input, where its artifact says them."""
    converted = metadata.get("converted")
    grid = converted.get("input") if isinstance(converted, dict) else None
    found = (grid.get("step"), grid.get("zero")) if isinstance(grid, dict) else ()
    known = len(found) == 2 and type(found[0]) in (int, float) and type(found[1]) is int and found[0] > 0
    return found if known else (None, None)


def same_levels(unit: float, step: float) -> bool:
    """Whether all 256 levels, of so much each, round to themselves in so large steps."""
    return 255 * abs(unit / step - 1) < 0.5
