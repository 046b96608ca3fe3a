"""Folders of pictures by class: as image frameworks have them, and everything that may be wrong with them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from model import classify, cli, train
from model.files import artifact, dataset, part

RNG = np.random.default_rng(4)


def put(path: Path, pixels, **options) -> None:
    """Write a picture, (H, W) or (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)


def filled(folder: Path, counts: dict[str, int], shape=(3, 4)) -> Path:
    """A folder of random pictures: so many for each class."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            put(folder / name / f"{index:04}.png", RNG.integers(0, 256, shape))
    return folder


@given(
    counts=st.dictionaries(
        st.sampled_from(["cat", "Dog", "a b", "é", "10", "9"]), st.integers(1, 4), min_size=2
    ),
    shape=st.sampled_from([(3, 4), (1, 5), (5, 1), (1, 1), (3, 4, 3), (1, 2, 3)]),
    test=st.sampled_from(["test", "val", "validation", "valid", "Test"]),
    suffix=st.sampled_from([".png", ".PNG", ".Png"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_every_picture_with_its_label(tmp_path_factory, counts, shape, test, suffix, seed):
    folder, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(seed)
    wanted = {"train": [], "t10k": []}
    names = sorted(counts)
    for which, place in (("train", "train"), ("t10k", test)):
        for label, name in enumerate(names):
            for index in range(counts[name]):
                pixels = rng.integers(0, 256, shape).astype(np.uint8)
                put(folder / place / name / f"{index}{suffix}", pixels)
                wanted[which].append(
                    (index, label, pixels.reshape(*shape, -1)[:, :, : 3 if shape[2:] else 1])
                )
    data = dataset.load(folder)
    assert data.names == tuple(names) and data.classes == len(names) and data.name == folder.name
    for images, labels, rows in (
        (data.train_images, data.train_labels, wanted["train"]),
        (data.test_images, data.test_labels, wanted["t10k"]),
    ):
        rows = sorted(rows, key=lambda row: row[:2])  # the classes take turns
        assert labels.tolist() == [label for _, label, _ in rows] and images.dtype == np.uint8
        np.testing.assert_array_equal(images, [pixels.reshape(images.shape[1:]) for *_, pixels in rows])


def test_what_else_lies_there_is_left_alone(tmp_path):
    filled(tmp_path / "train", {"cat": 3, "dog": 2})
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    for name in ("", "train", "train/cat"):
        for junk in (".DS_Store", "Thumbs.db", "desktop.ini", "labels.csv", "._0001.png"):
            (tmp_path / name / junk).write_bytes(b"no picture")
        for junk in (".git", "__MACOSX"):
            filled(tmp_path / name / junk, {"cat": 1}, (9, 9))
    data = dataset.load(tmp_path)
    assert data.names == ("cat", "dog") and data.train_labels.tolist() == [0, 1, 0, 1, 0]


def test_a_test_set_alone(tmp_path):
    """The folder of the classes itself, or one with a test part and no other."""
    filled(tmp_path / "only" / "test", {"b": 1, "a": 2})
    one, other = (dataset.load_part("t10k", tmp_path / name) for name in ("only", "only/test"))
    assert one.names == other.names == ("a", "b") and one.labels.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(one.images, other.images)
    assert dataset.described(tmp_path / "only") == ((3, 4, 1), 2)
    for name in ("only", "only/test"):
        with pytest.raises(ValueError, match=f"{name} has no folder train of pictures by class"):
            dataset.load(tmp_path / name)
    (tmp_path / "only" / "test").rename(tmp_path / "only" / "train")
    with pytest.raises(ValueError, match="only has no folder test or val or validation or valid of pictures"):
        dataset.load(tmp_path / "only")


def test_a_folder_of_folders_of_classes_is_no_class(tmp_path):
    filled(tmp_path / "mine" / "train", {"cat": 1, "dog": 1})
    with pytest.raises(ValueError, match=r"holds no IDX files, .*; there lies mine/$"):
        dataset.load_part("t10k", tmp_path)
    for name in ("train", "test"):  # pictures of no class
        put(tmp_path / "flat" / name / "1.png", np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"holds no IDX files, .*; there lies test/, train/$"):
        dataset.load_part("t10k", tmp_path / "flat")


def test_labels_of_a_test_part_are_those_of_training(tmp_path):
    filled(tmp_path / "train", {"cat": 1, "dog": 1, "eel": 1})
    filled(tmp_path / "test", {"eel": 2, "dog": 1})
    assert dataset.load(tmp_path).test_labels.tolist() == [1, 2, 2]
    assert dataset.load_part("t10k", tmp_path).names == ("cat", "dog", "eel")
    (tmp_path / "test" / "cat").mkdir()
    assert dataset.load(tmp_path).test_labels.tolist() == [1, 2, 2]
    filled(tmp_path / "test", {"fox": 1})
    with pytest.raises(ValueError, match=r"test/fox: there is no class of that name in .*train$"):
        dataset.load(tmp_path)


def test_labels_follow_the_names_that_a_net_has():
    given = part.Part(np.zeros((3, 1, 1, 1), np.uint8), np.array([0, 1, 1]), ("cat", "dog"))
    assert given.labelled(["dog", "eel", "cat"], "x").tolist() == [2, 0, 0]
    for nobody in (None, "no list", ["0", "1"], [0, 1]):
        assert given.labelled(nobody, "x").tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match=r"x: its class 'dog' is none of the net's, cat, eel$"):
        given.labelled(["cat", "eel"], "x")
    numbers = part.Part(given.images, given.labels, ("10", "9"))
    assert numbers.labelled(list(map(str, range(11))), "x").tolist() == [10, 9, 9]
    assert part.Part(given.images, given.labels).labelled(["b", "a"], "x").tolist() == [0, 1, 1]


@pytest.mark.parametrize("place", ["test", "train"])
def test_a_class_without_pictures_is_a_folder_too_many(tmp_path, place):
    filled(tmp_path / place, {"cat": 1, "dog": 0, "eel": 1})
    (tmp_path / place / "dog" / "notes.txt").write_text("none yet")
    with pytest.raises(ValueError, match=r"dog holds no picture, and would be a class all the same"):
        dataset.load_part("train" if place == "train" else "t10k", tmp_path)


def test_links_are_followed(tmp_path):
    filled(tmp_path / "elsewhere", {"cat": 1, "dog": 1})
    (tmp_path / "set" / "test").mkdir(parents=True)
    (tmp_path / "set" / "test" / "dog").symlink_to(tmp_path / "elsewhere" / "dog", target_is_directory=True)
    (tmp_path / "set" / "test" / "cat").mkdir()
    (tmp_path / "set" / "test" / "cat" / "x.png").symlink_to(tmp_path / "elsewhere" / "cat" / "0000.png")
    assert dataset.load_part("t10k", tmp_path / "set").labels.tolist() == [0, 1]
    (tmp_path / "set" / "test" / "cat" / "y.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"cat/y\.png is no file, or leads to none"):
        dataset.load_part("t10k", tmp_path / "set")


def test_pictures_are_read_as_single_ones_are(tmp_path):
    """16 bits, transparency, a camera's position, palettes, 1 bit; and JPEG beside PNG."""
    grey = RNG.integers(0, 256, (4, 4)).astype(np.uint8)
    put(tmp_path / "a" / "1.png", grey)
    Image.fromarray(grey.astype(np.uint16) << 8).save(tmp_path / "a" / "2.png")
    clear = np.dstack([grey, np.zeros((4, 4), np.uint8)])
    Image.fromarray(clear, "LA").save(tmp_path / "a" / "3.png")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    put(tmp_path / "a" / "4.png", grey[::-1, ::-1], exif=exif)
    Image.fromarray(grey).convert("P").save(tmp_path / "a" / "5.png")
    Image.fromarray(grey > 127).save(tmp_path / "a" / "6.png")
    flat = np.full((4, 4), 77, np.uint8)
    put(tmp_path / "a" / "7.JPEG", flat, quality=100)
    wanted = [grey, grey, np.full((4, 4), 255), grey, grey, 255 * (grey > 127), flat]
    found = dataset.load_part("t10k", tmp_path).images
    np.testing.assert_array_equal(found, np.array(wanted)[..., None])


def coloured(path):
    put(path, RNG.integers(0, 200, (3, 4, 3)))


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("cat/9.png", lambda path: put(path, np.zeros((4, 3))), r"cat/9\.png has 4 x 3 pixels, but .* 3 x 4"),
        ("cat/9.png", coloured, r"cat/9\.png is colour, but .*cat/0000\.png grey; all must be alike"),
        ("cat/9.png", lambda path: path.write_bytes(b""), r"cat/9\.png is no PNG or JPEG picture"),
        ("cat/0000.jpg", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0"), r"0000\.jpg(: the| is no)"),
        ("cat/9.bmp", lambda path: path.write_bytes(b"BM"), r"9\.bmp: PNG and JPEG are read, \.bmp is not"),
        ("cat/9.WEBP", lambda path: path.write_bytes(b"RIFF"), r"\.WEBP is not; convert it"),
        ("cat/9.png", Path.mkdir, r"cat/9\.png is a folder in a class's folder"),
        ("dog/old", lambda path: filled(path, {"x": 1}), r"dog/old is a folder in a class's folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, name, write, told):
    filled(tmp_path / "test", {"cat": 2, "dog": 2})
    write(tmp_path / "test" / name)
    with pytest.raises(ValueError, match=told) as caught:
        dataset.load_part("t10k", tmp_path)
    assert "\n" not in str(caught.value)


def test_memory_is_bounded(tmp_path, monkeypatch):
    filled(tmp_path, {"cat": 3, "dog": 2})
    monkeypatch.setattr(part, "MAX_BYTES", 5 * 12 - 1)
    with pytest.raises(
        ValueError, match=r"5 pictures of 3 x 4 x 1 like .*0000\.png are 60 bytes, and 59 are"
    ):
        dataset.load_part("t10k", tmp_path)
    enough = dataset.load_part("t10k", tmp_path, most=4)
    assert enough.labels.tolist() == [0, 1, 0, 1] and enough.images.shape == (4, 3, 4, 1)


def test_progress_is_told(tmp_path):
    told = []
    dataset.load_part("t10k", filled(tmp_path, {"cat": 3, "dog": 1}), lambda *numbers: told.append(numbers))
    assert told == [(1, 4), (4, 4)]
    filled(tmp_path, {"dog": 102})
    dataset.load_part("t10k", tmp_path, lambda *numbers: told.append(numbers))
    assert told[2:] == [(1, 105), (101, 105), (105, 105)]


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_damage_is_a_line(tmp_path, data):
    path = tmp_path / "cat" / "0000.png"
    for name in ("cat", "dog"):
        put(tmp_path / name / path.name, np.arange(12).reshape(3, 4))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert dataset.load_part("t10k", tmp_path).images.shape[0] == 2
    except ValueError as error:
        assert str(tmp_path) in str(error) and "\n" not in str(error)


def test_from_folders_to_a_net_and_back(tmp_path, capsys):
    """What training learnt of them it calls by their names, whatever other folders there are."""
    for place, count in (("train", 30), ("test", 6)):
        for start, name in ((0, "left"), (5, "right")):
            for index in range(count):
                pixels = RNG.integers(0, 60, (6, 8))
                pixels[:, start : start + 3] = 230
                put(tmp_path / "bars" / place / name / f"{index}.png", pixels)
    (tmp_path / "net.toml").write_text('layers = [{conv = 2, kernel = 3}, {dense = "classes"}]\n')
    out = tmp_path / "net.npz"
    words = [tmp_path / "net.toml", "--data", tmp_path / "bars", "--out", out, "--epochs", "6"]
    assert cli.run(train.main, [*map(str, words), "--batch", "8", "--threads", "1", "--no-pictures"]) == 0
    capsys.readouterr()
    net = artifact.load(out)
    assert net.metadata["classes"] == ["left", "right"] and net.metadata["dataset"] == "bars"
    assert net.metadata["accuracy"]["images"] == 12
    for name in ("bars", "bars/test"):  # the latter's own labels were 0 and 1
        assert cli.run(classify.main, [str(out), str(tmp_path / name)]) == 0
        found = capsys.readouterr().out
        assert f"right: {net.metadata['accuracy']['correct']} of 12" in found and "right" in found
    (tmp_path / "bars" / "test" / "left").rename(tmp_path / "bars" / "test" / "middle")
    assert cli.run(classify.main, [str(out), "--data", str(tmp_path / "bars" / "test")]) == 2
    assert "its class 'middle' is none of the net's, left, right" in capsys.readouterr().err
