"""Single pictures (PNG, JPEG) as inputs of a net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from model.geometry import Shape


def read(path, shape: Shape, *, invert: bool = False, resize: bool = False) -> np.ndarray:
    """A picture as a net takes it.

    Parameters
    ----------
    path : str or Path
    shape : (int, int, int)
        Height, width and channels (1 grey, 3 colour) that the net takes.
    invert : bool
        Dark becomes bright: nets trained on MNIST want white digits on black.
    resize : bool
        Scale a picture of another size; otherwise that is an error.

    Returns
    -------
    ndarray of uint8, (H, W, C)

    Raises
    ------
    ValueError
        If the file is no picture, is of another size, or the net takes other channels.
    """
    modes = {1: "L", 3: "RGB"}
    height, width, channels = shape
    if channels not in modes:
        raise ValueError(f"a picture has 1 or 3 channels, but the net takes {channels}")
    path = Path(path)
    try:
        with Image.open(path) as picture:
            if picture.size != (width, height):
                if not resize:
                    raise ValueError(
                        f"{path} is {picture.size[1]} x {picture.size[0]} pixels, but the net takes"
                        f" {height} x {width} (--resize scales it)"
                    )
                picture = picture.convert(modes[channels]).resize((width, height), Image.Resampling.BOX)
            pixels = np.asarray(picture.convert(modes[channels]), np.uint8)
    except FileNotFoundError:
        raise ValueError(f"no picture {path}") from None
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is no picture that can be read: {error}") from None
    pixels = pixels.reshape(shape)
    return 255 - pixels if invert else pixels
