"""What every reader of data sets gives: the images of a part with their labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model.files.listing import several

MAX_BYTES = 1 << 31
"""What unpacks to more is refused before it is unpacked."""


class Missing(ValueError):
    """A data set lacks the part that is wanted; it may have the other."""


class Part(NamedTuple):
    """Training or test images.

    Attributes
    ----------
    images : ndarray, (N, H, W, C)
        Grey levels as uint8, or features of any integer type.
    labels : ndarray of int64, (N,), or None
        None where nobody said.
    names : tuple of str, or None
        What the classes are called, by label; None where the labels are all that is known.
    """

    images: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...] | None = None

    def labelled(self, classes, where) -> np.ndarray:
        """The labels as a net counts them.

        Parameters
        ----------
        classes : list of str, or None
            What the net calls its classes, if it does: names say more than their order.
        where : str or Path
            Of the data set.

        Raises
        ------
        ValueError
            If there are no labels, or a class that the net does not know.
        """
        if self.labels is None:
            raise ValueError(f"{where} holds no labels")
        if self.names is None or not isinstance(classes, list):
            return self.labels
        known = list(map(str, classes))
        other = [name for name in self.names if name not in known]
        if not other:
            return np.array([known.index(name) for name in self.names])[self.labels]
        if known == list(map(str, range(len(known)))):  # the numbers of classes that nobody named
            return self.labels
        raise ValueError(f"{where}: its class {other[0]!r} is none of the net's, {several(known)}")


def silent(done: int, count: int) -> None:
    """Nobody is told how far the reading of a part is."""


def by(shape: tuple[int, ...]) -> str:
    """Sizes as people write them."""
    return " x ".join(map(str, shape))
