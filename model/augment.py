"""Training images moved a little, so that a net learns what does not depend on where a stroke stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Affine:
    """Rotation, scale, shear and shift about the image's centre, each drawn evenly; bilinear, black outside.

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

    rotation: float
    scale: float
    shear: float
    shift: float

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Maps for `count` images, (count, 2, 3) float32.

        A map takes (y, x, 1) of a new pixel, from the centre, to the place it comes from.
        """
        u = rng.uniform(-1, 1, (6, count))
        angle, slant = np.radians(self.rotation) * u[0], self.shear * u[1]
        size = 1 + self.scale * u[2:4]
        sine, cosine = np.sin(angle), np.cos(angle)
        maps = np.empty((count, 2, 3), np.float32)
        maps[:, 0, 0], maps[:, 0, 1] = cosine * size[0], sine * size[1]
        maps[:, 1, 0], maps[:, 1, 1] = (slant * cosine - sine) * size[0], (cosine + slant * sine) * size[1]
        maps[:, :, 2] = self.shift * u[4:6].T
        return maps

    @staticmethod
    def apply(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
        """The images as the maps move them.

        Parameters
        ----------
        images : ndarray of uint8, (N, H, W, C)
        maps : ndarray, (N, 2, 3)

        Returns
        -------
        ndarray of uint8, (N, H, W, C)
        """
        count, height, width, channels = images.shape
        # A black border, so that all four neighbours of every place exist.
        bordered = np.zeros((count, height + 3, width + 3, channels), np.uint8)
        bordered[:, 1:-2, 1:-2] = images
        y, x = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
        rows = np.arange(height, dtype=np.float32)[:, None] - y
        columns = np.arange(width, dtype=np.float32) - x
        maps = maps[:, :, :, None, None]
        rows, columns = (
            np.clip(maps[:, i, 0] * rows + (maps[:, i, 1] * columns + (maps[:, i, 2] + centre)), -1, size)
            for i, (centre, size) in enumerate(((y, height), (x, width)))
        )
        top, left = np.floor(rows), np.floor(columns)
        down, right = (rows - top)[..., None], (columns - left)[..., None]
        stride = width + 3
        base = (np.arange(count, dtype=np.int32) * (height + 3) * stride + (stride + 1))[:, None, None]
        corner = base + top.astype(np.int32) * np.int32(stride) + left.astype(np.int32)
        flat = bordered.reshape(-1, channels)

        def at(offset):
            return flat.take(corner + np.int32(offset), axis=0).astype(np.float32)

        upper, lower = at(0), at(stride)
        upper += right * (at(1) - upper)
        lower += right * (at(stride + 1) - lower)
        upper += down * (lower - upper)
        upper += 0.5
        return upper.astype(np.uint8)
