"""Training images moved a little, so that a net learns what does not depend on where a stroke stands.

Every kind of movement draws few numbers an image, and makes of them a field: for each pixel how far away,
down and to the right, the point lies that it shows. Fields of several kinds are added, and the image is
sampled once. All draws come from the training's generator in the order of the images, so how the work is
spread over threads changes nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEGLIGIBLE = 0.01
"""Waves that a Gaussian leaves with a smaller share of the strongest one's amplitude are not drawn."""


@dataclass(frozen=True)
class Affine:
    """Rotation, scale, shear and shift about the image's centre, each drawn evenly.

    Parameters
    ----------
    rotation : float
        Largest angle, degrees.
    scale : float
        Largest relative change of size, for height and width apart.
    shear : float
        Largest tangent of the slant.
    shift : float
        Largest shift down and to the right, pixels.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0

    def __post_init__(self):
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is a number from 0, not {value}")

    def draw(self, rng: np.random.Generator, count: int, size: tuple[int, int]) -> np.ndarray:
        """Maps for `count` images of any size, (count, 2, 3) float32.

        A map takes (y, x, 1) of a new pixel, from the centre, to the place it comes from.
        """
        u = rng.uniform(-1, 1, (6, count))
        angle, slant = np.radians(self.rotation) * u[0], self.shear * u[1]
        scale = 1 + self.scale * u[2:4]
        sine, cosine = np.sin(angle), np.cos(angle)
        maps = np.empty((count, 2, 3), np.float32)
        maps[:, 0, 0], maps[:, 0, 1] = cosine * scale[0], sine * scale[1]
        maps[:, 1, 0], maps[:, 1, 1] = (slant * cosine - sine) * scale[0], (cosine + slant * sine) * scale[1]
        maps[:, :, 2] = self.shift * u[4:6].T
        return maps

    @staticmethod
    def field(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The maps' field, (count, 2, height, width) float32."""
        y, x = np.indices(size, np.float32)
        terms = [y - np.float32((size[0] - 1) / 2), x - np.float32((size[1] - 1) / 2), np.ones_like(x)]
        moves = maps - np.eye(2, 3, dtype=np.float32)
        return (moves.reshape(-1, 3) @ np.reshape(terms, (3, -1))).reshape(-1, 2, *size)


@dataclass(frozen=True)
class Elastic:
    """Elastic deformation (Simard, Steinkraus, Platt 2003): a random field, smoothed by a Gaussian.

    The field is not drawn pixel by pixel and then smoothed, but as the few waves, in each direction, that
    the Gaussian leaves. Its values hang together by the same covariances, at a tenth of the work.

    Parameters
    ----------
    strength : float
        Root of the mean squared displacement, down or to the right, pixels. The paper's alpha, for a field
        of length 1, is this times the root of the number of pixels.
    smoothness : float
        Standard deviation of the Gaussian, pixels.
    """

    strength: float = 1.0
    smoothness: float = 4.0

    def __post_init__(self):
        if not 0 <= self.strength < math.inf:
            raise ValueError(f"strength is a number from 0, not {self.strength}")
        if not 0.5 <= self.smoothness < math.inf:
            raise ValueError(f"smoothness is a number from 0.5, not {self.smoothness}")

    def draw(self, rng: np.random.Generator, count: int, size: tuple[int, int]) -> np.ndarray:
        """Amplitudes of the waves for `count` images, (count, 2, waves down, waves to the right) float32."""
        down, right = (waves(n, self.smoothness).shape[1] for n in size)
        amplitudes = rng.random((count, 2, down, right), np.float32)
        amplitudes -= np.float32(0.5)
        amplitudes *= np.float32(math.sqrt(12) * self.strength)  # of variance strength ** 2
        return amplitudes

    def field(self, amplitudes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The amplitudes' field, (count, 2, height, width) float32."""
        down, right = (waves(n, self.smoothness) for n in size)
        return np.matmul(down, amplitudes @ right.T)


@functools.lru_cache(maxsize=16)
def waves(length: int, smoothness: float) -> np.ndarray:
    """What makes smoothed noise along one axis of amplitudes with variance 1: (length, amplitudes) float32.

    The noise beyond the border counts as zero, and the mean square over the axis is 1.
    """
    places = np.arange(length)
    gaussian = np.exp(-0.5 * ((places[:, None] - places) / smoothness) ** 2)
    left, sizes, _ = np.linalg.svd(gaussian)
    kept = sizes > NEGLIGIBLE * sizes[0]
    return (left[:, kept] * (sizes[kept] * np.sqrt(length / np.sum(sizes[kept] ** 2)))).astype(np.float32)


Movement = Affine | Elastic


@dataclass(frozen=True)
class Moves:
    """How the images of a batch are to be moved.

    Attributes
    ----------
    kinds : sequence of Affine or Elastic
        At least one.
    drawn : sequence of ndarray
        What each drew, (images, ...).
    """

    kinds: Sequence[Movement]
    drawn: Sequence[np.ndarray]

    @classmethod
    def draw(cls, kinds: Sequence[Movement], rng: np.random.Generator, count: int, size) -> Moves:
        """Moves for `count` images of `size`, a height and a width."""
        return cls(kinds, [kind.draw(rng, count, size) for kind in kinds])

    def apply(self, images: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """Images, the `part` of the batch, moved: uint8 (N, H, W, C) as they came in."""
        fields = [kind.field(drawn[part], images.shape[1:3]) for kind, drawn in zip(self.kinds, self.drawn)]
        for other in fields[1:]:
            fields[0] += other
        return sampled(images, fields[0], paper(images))


def paper(images: np.ndarray) -> np.ndarray:
    """What lies around images: the median along the border of each, for every channel, (N, 1, 1, C)."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    levels = np.concatenate(edges, axis=1)
    middle = levels.shape[1] // 2
    return np.partition(levels, middle, axis=1)[:, middle, None, None]


def sampled(images: np.ndarray, field: np.ndarray, around: np.ndarray | int = 0) -> np.ndarray:
    """Each pixel from where a field says, bilinear between pixels.

    Parameters
    ----------
    images : ndarray of uint8, (N, H, W, C)
    field : ndarray of float32, (N, 2, H, W)
        Distances down and to the right; overwritten.
    around : int or ndarray, (N, 1, 1, C)
        What lies outside of the images; black by default.

    Returns
    -------
    ndarray of uint8, (N, H, W, C)
    """
    count, height, width, channels = images.shape
    # A border, so that all four neighbours of every place exist.
    bordered = np.empty((count, height + 3, width + 3, channels), np.float32)
    bordered[...] = around
    bordered[:, 1:-2, 1:-2] = images
    pixels = bordered.reshape(-1, channels)
    rows, columns = field[:, 0], field[:, 1]
    y, x = np.indices((height, width), np.float32)
    np.clip(np.add(rows, y, out=rows), -1, height, out=rows)
    np.clip(np.add(columns, x, out=columns), -1, width, out=columns)
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    top *= width + 3
    top += left
    place = top.astype(np.intp)
    place += np.arange(width + 4, len(pixels), (height + 3) * (width + 3))[:, None, None]
    upper = between(pixels, place, right)
    place += width + 3
    lower = between(pixels, place, right)
    lower -= upper
    lower *= down
    upper += lower
    upper += 0.5
    return upper.astype(np.uint8)


def between(pixels: np.ndarray, place: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Values of pixels (n, C), a `share` of the way from the one at `place` to the next."""
    value = pixels.take(place, axis=0)
    step = pixels.take(place + 1, axis=0)
    step -= value
    step *= share
    value += step
    return value
