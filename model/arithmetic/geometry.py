"""Where a window stands: kernel, stride, padding, dilation; shared by convolution and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Shape = tuple[int, int, int]
"""(height, width, channels)"""
Size = int | tuple[int, int]
"""What a user writes for one number, or one down and one to the right."""
Padding = Literal["valid", "same"] | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
"""What a user writes for a padding, see `Geometry.resolve`."""


@dataclass(frozen=True)
class Geometry:
    """A window of ``kernel`` pixels that steps over an image by ``stride``.

    Parameters
    ----------
    kernel : (int, int)
        Height and width of the window, pixels.
    stride : (int, int)
        Steps down and to the right, pixels.
    padding : ((int, int), (int, int))
        Pixels added at (top, bottom) and (left, right).
    dilation : (int, int)
        Pixels from one of the window's rows (columns) to the next; 1 leaves no gap.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self):
        numbers = [self.kernel, self.stride, self.dilation, *self.padding]
        if len(numbers) != 5 or any(len(two) != 2 or not all(map(whole, two)) for two in numbers):
            raise ValueError(
                "kernel, stride, dilation and both sides of the padding are two whole numbers each"
            )
        if min(self.kernel) < 1:
            raise ValueError(f"a kernel has at least 1 x 1 pixels, not {self.kernel[0]} x {self.kernel[1]}")
        if min(self.stride) < 1:
            raise ValueError(f"a stride is at least 1 pixel, not {self.stride}")
        if min(self.dilation) < 1:
            raise ValueError(f"a dilation is at least 1 pixel, not {self.dilation}")
        for before_after, size in zip(self.padding, self.extent):
            if min(before_after) < 0 or max(before_after) >= size:
                raise ValueError(
                    f"padding {before_after} of a window {size} wide must lie between 0 and {size - 1}"
                )

    @classmethod
    def resolve(
        cls, in_shape: Shape, kernel: Size, stride: Size, padding: Padding, dilation: Size = 1
    ) -> Geometry:
        """A geometry from what a user writes.

        Parameters
        ----------
        in_shape : (int, int, int)
        kernel, stride, dilation : int or (int, int)
        padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
            ``same`` keeps ceil(size / stride) pixels; an odd pixel goes to the bottom or right. One
            number pads all four sides, two pad (top and bottom, left and right).

        Raises
        ------
        ValueError
            For a padding of another form, or an impossible geometry.
        """
        kernel, stride, dilation = (
            pair(value, what)
            for value, what in ((kernel, "kernel"), (stride, "stride"), (dilation, "dilation"))
        )
        if padding == "valid":
            padding = 0
        if padding == "same":
            sides = []
            for size, k, s, d in zip(in_shape, kernel, stride, dilation):
                total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
                sides.append((total // 2, total - total // 2))
        elif isinstance(padding, str):
            raise ValueError(f"padding is 'valid', 'same' or numbers, not {padding!r}")
        else:
            both = (padding, padding) if np.isscalar(padding) else padding
            if len(both) != 2:
                raise ValueError(f"padding is one number, two, or two pairs, not {padding}")
            sides = [pair(side, "padding") for side in both]
        return cls(kernel, stride, tuple(sides), dilation)

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width that the window spans, gaps included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation))

    def padded(self, in_shape: Shape) -> tuple[int, int]:
        """Height and width of the padded image."""
        (top, bottom), (left, right) = self.padding
        return in_shape[0] + top + bottom, in_shape[1] + left + right

    def positions(self, in_shape: Shape) -> tuple[int, int]:
        """Number of window positions (down, to the right).

        Raises
        ------
        ValueError
            If the window is larger than the padded image.
        """
        height, width = self.padded(in_shape)
        tall, wide = self.extent
        if height < tall or width < wide:
            raise ValueError(
                f"a window of {tall} x {wide} does not fit an image of {height} x {width} (padding included)"
            )
        return 1 + (height - tall) // self.stride[0], 1 + (width - wide) // self.stride[1]


def whole(value) -> bool:
    """Whether a value is a whole number by its type."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def pair(value, what: str) -> tuple[int, int]:
    """One whole number or two, as two."""
    numbers = (value, value) if np.isscalar(value) else tuple(value)
    if len(numbers) != 2 or not all(map(whole, numbers)):
        raise ValueError(f"{what} is one whole number or two, not {value!r}")
    return int(numbers[0]), int(numbers[1])
