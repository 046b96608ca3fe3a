"""Pictures for single classifications."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from model.files.image import read_image

GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)


def saved(tmp_path, array, name="picture.png", **options):
    Image.fromarray(array).save(tmp_path / name, **options)
    return tmp_path / name


def test_unchanged_where_everything_fits(tmp_path):
    np.testing.assert_array_equal(read_image(saved(tmp_path, GREY), (4, 6, 1)), GREY[..., None])
    np.testing.assert_array_equal(read_image(saved(tmp_path, COLOUR), (4, 6, 3)), COLOUR)


def test_inverted(tmp_path):
    image = read_image(saved(tmp_path, GREY), (4, 6, 1), invert=True)
    np.testing.assert_array_equal(image, 255 - GREY[..., None])


def test_converted(tmp_path):
    grey = read_image(saved(tmp_path, COLOUR), (4, 6, 1))
    assert np.abs(grey[..., 0] - COLOUR @ [0.299, 0.587, 0.114]).max() <= 1
    np.testing.assert_array_equal(read_image(saved(tmp_path, GREY), (4, 6, 3)), np.stack([GREY] * 3, -1))


def test_resized(tmp_path):
    flat = np.full((40, 60), 77, np.uint8)
    assert (read_image(saved(tmp_path, flat), (28, 28, 1), resize=True) == 77).all()
    halves = np.repeat([0, 200], 20).astype(np.uint8) * np.ones((30, 1), np.uint8)
    image = read_image(saved(tmp_path, halves), (3, 4, 1), resize=True)[..., 0]
    assert (image[:, 0] < 10).all() and (image[:, 3] > 190).all()


def test_jpeg(tmp_path):
    image = read_image(saved(tmp_path, np.full((20, 20), 130, np.uint8), "p.jpg"), (5, 5, 1), resize=True)
    assert np.abs(image.astype(int) - 130).max() <= 2


def test_transparent_is_white(tmp_path):
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, :3, 3] = 255
    image = read_image(saved(tmp_path, pixels), (4, 6, 1))[..., 0]
    assert (image[:, :3] == 0).all() and (image[:, 3:] == 255).all()


def test_sixteen_bits_are_scaled(tmp_path):
    image = read_image(saved(tmp_path, GREY.astype(np.uint16) * 256 + 9), (4, 6, 1))
    np.testing.assert_array_equal(image[..., 0], GREY)


STORED = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: lambda a: a.T, 6: np.rot90, 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1),
}  # fmt: skip
"""How a camera in each of EXIF's positions stores an upright picture."""


@pytest.mark.parametrize("name, dtype", [("p.png", np.uint8), ("p.png", np.uint16), ("p.jpg", np.uint8)])
@pytest.mark.parametrize("orientation", STORED)
def test_pictures_stand_upright(tmp_path, orientation, name, dtype):
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255
    upright[16:, :16] = 128
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright)).astype(dtype)
    stored *= np.iinfo(dtype).max // 255
    image = read_image(saved(tmp_path, stored, name, exif=exif), (32, 48, 1))[..., 0]
    assert np.abs(image.astype(int) - upright).max() <= (3 if name == "p.jpg" else 0)


DAMAGED = b"", b"Exif", b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12", b"Exif\0\0" + 40 * b"\xff"


@pytest.mark.parametrize("note", DAMAGED)
def test_damaged_notes_turn_nothing(tmp_path, note):
    np.testing.assert_array_equal(
        read_image(saved(tmp_path, GREY, exif=note), (4, 6, 1)), read_image(saved(tmp_path, GREY), (4, 6, 1))
    )


@given(
    colour=st.sampled_from([(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_transparent_levels_of_all_depths_are_white(tmp_path, colour, seed):
    """PNG files written here bit by bit, one level of which is transparent."""
    (depth, kind), rng = colour, np.random.default_rng(seed)
    channels = 3 if kind == 2 else 1
    levels = rng.choice(rng.integers(0, 1 << depth, 3), (8, 8, channels))
    clear = levels[rng.integers(8), rng.integers(8)]
    bits = (levels[..., None] >> np.arange(depth)[::-1] & 1).reshape(8, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    header = struct.pack(">IIBBBBB", 8, 8, depth, kind, 0, 0, 0)
    level, pixels = clear.astype(">u2").tobytes(), zlib.compress(rows)
    chunks = {b"IHDR": header, b"tRNS": level, b"IDAT": pixels, b"IEND": b""}
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks.items():
        data += struct.pack(">I", len(content)) + name + content
        data += zlib.crc32(name + content).to_bytes(4, "big")
    (tmp_path / "p.png").write_bytes(data)
    expected = levels >> 8 if depth == 16 else levels * 255 // ((1 << depth) - 1)
    # Of colours of 16 bits only the upper 8 are told apart.
    same = levels >> 8 == clear >> 8 if (depth, kind) == (16, 2) else levels == clear
    expected[same.all(axis=2)] = 255
    np.testing.assert_array_equal(read_image(tmp_path / "p.png", (8, 8, channels)), expected)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="is a folder; name the pictures in it"):
        read_image(tmp_path, (8, 8, 1))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK"])
def test_other_modes(tmp_path, mode):
    name = "p.jpg" if mode == "CMYK" else "p.png"
    Image.new("RGB", (8, 8), "white").convert(mode).save(tmp_path / name)
    assert (read_image(tmp_path / name, (8, 8, 1)) >= 250).all()


def test_refused(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"text\.png is no PNG or JPEG"):
        read_image(tmp_path / "text.png", (8, 8, 1))
    with pytest.raises(ValueError, match="is no PNG or JPEG"):
        read_image(saved(tmp_path, GREY, "p.bmp"), (8, 8, 1))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        read_image(saved(tmp_path, GREY), (8, 8, 2))
    with pytest.raises(ValueError, match=r"4 x 6 pixels, but the net takes 8 x 8 .*--resize"):
        read_image(saved(tmp_path, GREY), (8, 8, 1))
    with pytest.raises(OSError, match="nowhere"):
        read_image(tmp_path / "nowhere.png", (8, 8, 1))


def test_huge_pictures_are_refused_before_they_are_unpacked(tmp_path):
    data = encoded("PNG")
    for side in (9_000, 10_000, 1_000_000):
        header = b"IHDR" + side.to_bytes(4, "big") * 2 + data[24:29]
        huge = data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]
        (tmp_path / "huge.png").write_bytes(huge)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError, match="huge"):
                read_image(tmp_path / "huge.png", (8, 8, 1))


def encoded(kind):
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, kind)
    return file.getvalue()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_mutated_pictures_never_do_worse_than_a_valueerror(tmp_path, data):
    mutated = bytearray(encoded(data.draw(st.sampled_from(["PNG", "JPEG"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "picture"
    path.write_bytes(mutated[: data.draw(st.integers(1, len(mutated)))])
    try:
        assert read_image(path, (4, 6, 1)).shape == (4, 6, 1)
    except ValueError as error:
        assert str(path) in str(error)
