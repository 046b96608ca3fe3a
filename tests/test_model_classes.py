"""Data sets as folders of pictures by class, as CIFAR's binary files, and what signed inputs make of them."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from model import classify, cli, train
from model.arithmetic.qformat import PIXELS, QFormat
from model.files import artifact, dataset, levels
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec
from sim import verify

RNG = np.random.default_rng(1)


def picture(shape=(5, 4)) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def write(path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def by_class(folder, names=("cat", "dog"), parts=("train", "test"), count=12, shape=(5, 4)) -> dict:
    """Pictures of each class in each part; what they hold, by path."""
    made = {}
    for part in parts:
        for name in names:
            for number in range(count):
                path = folder / part / name / f"{number:03}.png"
                made[path] = picture(shape)
                write(path, made[path])
    return made


def test_pictures_by_class(tmp_path):
    made = by_class(tmp_path, ("dog", "Cat", "ant"))
    for name in (".DS_Store", "Thumbs.db", "notes.txt"):
        (tmp_path / "train" / "dog" / name).write_bytes(b"x")
    (tmp_path / ".hidden").mkdir()
    data = dataset.load(tmp_path)
    assert (data.names, data.classes, data.in_shape) == (("Cat", "ant", "dog"), 3, (5, 4, 1))
    for part, images, labels in (
        ("train", data.train_images, data.train_labels), ("test", data.test_images, data.test_labels)
    ):  # fmt: skip
        expected = [made[path] for path in sorted(made) if path.parts[-3] == part]
        np.testing.assert_array_equal(images[..., 0], expected)
        assert labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "VALID"), ("train", "validation")])
def test_parts_by_other_names(tmp_path, names):
    by_class(tmp_path, parts=names)
    assert [len(dataset.load_part(part, tmp_path)[0]) for part in ("train", "t10k")] == [24, 24]


def test_classes_alone_are_a_test_set(tmp_path):
    by_class(tmp_path, parts=(".",))
    images, labels = dataset.load_part("t10k", tmp_path)
    assert images.shape == (24, 5, 4, 1) and np.bincount(labels).tolist() == [12, 12]
    with pytest.raises(ValueError, match="no folder train/ with the pictures to learn from"):
        dataset.load(tmp_path)


def test_a_test_set_has_the_labels_of_training(tmp_path):
    by_class(tmp_path, ("a", "b", "c"), parts=("train",))
    by_class(tmp_path, ("c",), parts=("test",))
    assert set(dataset.load_part("t10k", tmp_path)[1]) == {2}
    by_class(tmp_path, ("d",), parts=("test",))
    with pytest.raises(ValueError, match=r"test/d: no such class in training, whose classes are a, b, c"):
        dataset.load(tmp_path)


def test_training_without_a_test_set(tmp_path):
    by_class(tmp_path, parts=("train",))
    with pytest.raises(ValueError, match="no folder test/ with the pictures to be judged by"):
        dataset.load(tmp_path)


def test_one_picture_in_colour_makes_all_of_them_so(tmp_path):
    by_class(tmp_path)
    write(tmp_path / "train" / "dog" / "zz.png", colour := picture((5, 4, 3)))
    images, _ = dataset.load_part("train", tmp_path)
    assert images.shape == (25, 5, 4, 3)
    np.testing.assert_array_equal(images[-1], colour)
    assert (images[:-1] == images[:-1, :, :, :1]).all()
    with pytest.raises(ValueError, match="training images have 5 x 4 x 3 pixels, test images 5 x 4 x 1"):
        dataset.load(tmp_path)


def other_size(folder):
    write(folder / "train" / "dog" / "zz.JPG", picture((4, 5)))


def broken(folder):
    (folder / "train" / "dog" / "zz.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")


def other_kind(folder):
    write(folder / "train" / "dog" / "zz.bmp", picture())


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (other_size, r"zz.JPG has 4 x 5 pixels, but .*cat/000.png 5 x 4: all must have one size"),
        (broken, "zz.png"),
        (other_kind, "zz.bmp: pictures are PNG or JPEG files here"),
    ],
)
def test_pictures_that_do_not_fit_are_named(tmp_path, spoil, problem):
    by_class(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=problem):
        dataset.load(tmp_path)


def test_too_many_pixels(tmp_path, monkeypatch):
    by_class(tmp_path)
    monkeypatch.setattr("model.files.classes.MAX_BYTES", 24 * 20 - 1)
    with pytest.raises(ValueError, match=r"24 pictures like .* are more than 479 bytes"):
        dataset.load(tmp_path)


def test_training_keeps_the_classes_names(tmp_path, capsys):
    by_class(tmp_path / "set", ("cat", "dog"), count=20, shape=(28, 28))
    words = ["tiny", "--data", tmp_path / "set", "--epochs", "1", "--out", tmp_path / "net.npz"]
    assert cli.run(train.main, list(map(str, words))) == 0
    net = artifact.load(tmp_path / "net.npz")
    assert net.metadata["classes"] == ["cat", "dog"]
    path = tmp_path / "set" / "test" / "dog" / "000.png"
    words = [tmp_path / "net.npz", path, "--json", tmp_path / "o.json"]
    assert cli.run(classify.main, list(map(str, words))) == 0
    assert json.loads((tmp_path / "o.json").read_text())["answers"][0]["class"] in ("cat", "dog")


# -- CIFAR


def cifar(folder, kind: int, counts=(3, 2)) -> dict[str, tuple]:
    """CIFAR's files, and what they hold: images (N, 32, 32, 3) and labels by part."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for part, count, files in zip(("train", "t10k"), counts, FILES[kind]):
        images = RNG.integers(0, 256, (count * len(files), 32, 32, 3)).astype(np.uint8)
        labels = RNG.integers(0, kind, len(images))
        for number, name in enumerate(files):
            content = b""
            for index in range(number * count, (number + 1) * count):
                head = [labels[index]] if kind == 10 else [RNG.integers(20), labels[index]]
                planes = [images[index, :, :, colour].tobytes() for colour in range(3)]
                content += bytes(map(int, head)) + b"".join(planes)
            (folder / name).write_bytes(content)
        made[part] = images, labels
    text = "batches.meta.txt" if kind == 10 else "fine_label_names.txt"
    (folder / text).write_text("\n".join(f"name{n}" for n in range(kind)) + "\n\n")
    return made


FILES = {
    10: ([f"data_batch_{n}.bin" for n in range(1, 6)], ["test_batch.bin"]),
    100: (["train.bin"], ["test.bin"]),
}


@pytest.mark.parametrize(
    ("kind", "inner"), [(10, "."), (10, "cifar-10-batches-bin"), (100, "cifar-100-binary")]
)
def test_cifar(tmp_path, kind, inner):
    made = cifar(tmp_path / inner, kind)
    data = dataset.load(tmp_path)
    assert data.names == tuple(f"name{n}" for n in range(kind)) and data.classes == kind
    for part, images, labels in (
        ("train", data.train_images, data.train_labels), ("t10k", data.test_images, data.test_labels)
    ):  # fmt: skip
        np.testing.assert_array_equal(images, made[part][0])
        np.testing.assert_array_equal(labels, made[part][1])


def test_cifars_test_set_alone(tmp_path):
    cifar(tmp_path, 10)
    for name in FILES[10][0]:
        (tmp_path / name).unlink()
    assert dataset.load_part("t10k", tmp_path)[0].shape == (2, 32, 32, 3)
    with pytest.raises(ValueError, match="holds no training images"):
        dataset.load(tmp_path)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2 * 3073).filter(lambda size: size % 3073), st.integers(10, 255))
def test_damaged_cifar(tmp_path, size, label):
    cifar(tmp_path, 10)
    path = tmp_path / "test_batch.bin"
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(ValueError, match=rf"test_batch.bin has {size:,} bytes, which are no images of 3,073"):
        dataset.load(tmp_path)
    path.write_bytes(content[:3073] + bytes([label]) + content[3074:])
    with pytest.raises(ValueError, match=f"test_batch.bin: image 1 has the label {label} of 10"):
        dataset.load(tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1", "cifar-10-batches-py/test_batch", "train", "meta"])
def test_pickles_are_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps({"data": 3}))
    with pytest.raises(ValueError, match=f"{path.name} is CIFAR's file for Python, a pickle.*end in .bin"):
        dataset.load(tmp_path)


def test_what_is_no_data_set(tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "file.txt").write_text("x")
    with pytest.raises(ValueError, match="there lies some/"):
        dataset.load(tmp_path)
    with pytest.raises(ValueError, match=r"no folder of images, nor an .npz"):
        dataset.load(tmp_path / "some" / "file.txt")


# -- signed inputs


def signed_net(shape=(5, 4, 1), zero=-128) -> QNetwork:
    fmt = QFormat(8, 0)
    count = int(np.prod(shape))
    spec = DenseSpec(
        name="dense", in_shape=shape, src=fmt, dst=fmt, weights=RNG.integers(-8, 8, (count, 3)),
        weight_format=QFormat(4, 0), bias=np.arange(3),
    )  # fmt: skip
    spec = DenseSpec(**{**spec.fields, "dst": spec.accumulator, "name": "dense"})
    return QNetwork("signed", fmt, (spec,), {"converted": {"input": {"zero": zero, "step": 1 / 255}}})


def test_levels():
    every = np.arange(256).astype(np.uint8)
    assert levels.levels(every, QFormat(8, 0), "n").tolist() == list(range(-128, 128))
    assert levels.levels(every, PIXELS, "n") is every
    for fmt in (QFormat(9, 0), QFormat(7, 0, False)):
        with pytest.raises(ValueError, match="'n' takes integers of"):
            levels.levels(every, fmt, "n")
    assert levels.for_net(every, signed_net())[0] == -128
    with pytest.raises(ValueError, match="the zero point of its input is 83, and not -128 as for pictures"):
        levels.for_net(every, signed_net(zero=83))


@pytest.mark.parametrize("shape", [(5, 4, 1), (1, 7, 1), (6, 1, 3), (1, 1, 3)])
def test_signed_nets_take_pictures(tmp_path, shape, capsys):
    net = signed_net(shape)
    artifact.save(tmp_path / "net.npz", net)
    made = by_class(tmp_path / "set", parts=(".",), count=3, shape=shape[:2] if shape[2] == 1 else shape)
    words = ["--net", tmp_path / "net.npz", "--data", tmp_path / "set", "--json", tmp_path / "v.json"]
    assert cli.run(verify.main, list(map(str, words))) == 0
    result = json.loads((tmp_path / "v.json").read_text())
    assert (result["frames"], result["mismatches"]) == (6, 0)
    path, pixels = next(iter(made.items()))
    words = [tmp_path / "net.npz", path, "--json", tmp_path / "c.json"]
    assert cli.run(classify.main, list(map(str, words))) == 0
    expected = net.logits(pixels.reshape(1, *shape).astype(int) - 128)[0].tolist()
    assert json.loads((tmp_path / "c.json").read_text())["answers"][0]["logits"] == expected


def test_features_need_no_labels(tmp_path):
    net = signed_net()
    artifact.save(tmp_path / "net.npz", net)
    np.savez(tmp_path / "x.npz", features=RNG.integers(-128, 128, (7, 5, 4)).astype(np.int8))
    assert dataset.load_part("t10k", tmp_path / "x.npz")[1] is None
    words = ["--net", tmp_path / "net.npz", "--data", tmp_path / "x.npz"]
    assert cli.run(verify.main, list(map(str, words))) == 0


def test_images_of_other_channels_than_training(tmp_path):
    by_class(tmp_path / "p", parts=("train",))
    by_class(tmp_path / "p", parts=("test",), shape=(5, 4, 3))
    with pytest.raises(ValueError, match="training images have 5 x 4 x 1 pixels, test images 5 x 4 x 3"):
        dataset.load(tmp_path / "p")
