"""Single pictures, PNG or JPEG, brought to the shape of a net's input."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from model.arithmetic.geometry import Shape

SUFFIXES = (".png", ".jpg", ".jpeg")
"""Of the pictures that are read, in any case."""
MAX_PIXELS = 1 << 26
"""Larger pictures are refused before they are unpacked."""
MODES = {1: "L", 3: "RGB"}
"""Pillow's name for a picture of so many channels."""
CLEAR = {
    "L;2": lambda level: 85 * level,
    "L;4": lambda level: 17 * level,
    "RGB;16B": lambda level: level >> 8,
}
"""From a transparent level to one of 8 bits, by how a PNG holds pixels (where Pillow leaves that out)."""


def read_image(path, shape: Shape, *, invert: bool = False, resize: bool = False) -> np.ndarray:
    """A picture as a net's input.

    Parameters
    ----------
    path : str or Path
        PNG or JPEG, grey or colour, upright as its note of a camera's position says; what is transparent
        counts as white.
    shape : (int, int, int)
        Height, width and channels (1 for grey, 3 for colour; converted to) of the input.
    invert : bool
        Take black for white: for dark strokes on light paper, where the net learnt light ones on dark.
    resize : bool
        Scale a picture of another size; otherwise that is an error.

    Returns
    -------
    ndarray of uint8, shape

    Raises
    ------
    ValueError
        If the file is no such picture, is damaged, huge or of another size; names the file.
    OSError
        If it cannot be opened.
    """
    height, width, channels = shape
    if channels not in MODES:
        raise ValueError(f"{path}: a picture has 1 or 3 channels, but the net takes {channels}")
    flat = opened(path, MODES[channels])
    if flat.size != (width, height):
        if not resize:
            raise ValueError(
                f"{path} has {flat.height} x {flat.width} pixels, but the net takes {height} x {width}"
                " (--resize scales it)"
            )
        flat = flat.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(flat).reshape(shape)
    return 255 - pixels if invert else pixels


def decoded(path) -> np.ndarray:
    """A picture as it is, (H, W, 1) if it is grey and (H, W, 3) if it has colours: uint8.

    Raises
    ------
    ValueError, OSError
        As of `read_image`.
    """
    pixels = np.asarray(opened(path))
    return pixels.reshape(*pixels.shape[:2], -1)


def opened(path, mode: str | None = None) -> Image.Image:
    """An upright picture without transparency, of a mode in `MODES`: its own one unless another is named."""
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; name the pictures in it")
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on size and metadata
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
                mode = mode or MODES[1 if is_grey(picture) else 3]
                return flattened(upright(picture)).convert(mode)
        except UnidentifiedImageError:
            raise ValueError(f"{path} is no PNG or JPEG picture") from None
        except (
            ValueError,
            OSError,
            SyntaxError,
            EOFError,
            KeyError,
            IndexError,
            TypeError,
            OverflowError,
            struct.error,
            zlib.error,
            Image.DecompressionBombError,
        ) as error:
            raise ValueError(f"{path}: the picture cannot be read: {error}") from None


def is_grey(picture: Image.Image) -> bool:
    """Whether a picture has no colours, by how it is held: of a palette, whether that has none."""
    if picture.mode in ("P", "PA"):
        palette = np.array(picture.getpalette() or [0, 0, 0], np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return picture.mode in ("1", "L", "LA") or picture.mode.startswith("I")


def upright(picture: Image.Image) -> Image.Image:
    """A picture turned and mirrored as its EXIF orientation says; as it is where that cannot be read."""
    raw = picture.tile[0][3] if picture.tile else ""  # how a PNG holds its pixels, gone once they are read
    try:
        turned = ImageOps.exif_transpose(picture)
    except (ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error):  # of a damaged note
        turned = picture
    if isinstance(clear := picture.info.get("transparency"), (int, tuple)) and raw in CLEAR:
        turned.info["transparency"] = (
            tuple(map(CLEAR[raw], clear)) if isinstance(clear, tuple) else CLEAR[raw](clear)
        )
    return turned


def flattened(picture: Image.Image) -> Image.Image:
    """A picture of 8 bits a channel without transparency, on white."""
    if picture.mode.startswith("I"):
        # 16 bits a pixel: Pillow would clip them to 8, not scale.
        levels = np.asarray(picture)
        grey = (levels >> 8).clip(0, 255).astype(np.uint8)
        if (clear := picture.info.get("transparency")) is not None:
            grey[levels == clear] = 255
        return Image.fromarray(grey)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return picture
