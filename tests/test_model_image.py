"""Pictures for single classifications."""

import io
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
