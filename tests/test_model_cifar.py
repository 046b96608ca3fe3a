"""CIFAR-10's and CIFAR-100's binary files, whole and damaged; their pickles, which nobody opens."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import idx
from model.files import dataset
from model.training import remarks

NAMES = [f"class {number}" for number in range(100)]
TEN = [f"data_batch_{number}.bin" for number in range(1, 6)], ["test_batch.bin"], "batches.meta.txt", 10
HUNDRED = ["train.bin"], ["test.bin"], "fine_label_names.txt", 100


def written(folder, kind=TEN, count=6, seed=0):
    """A small set, and the images (N, H, W, C) and labels that are in it, by part."""
    rng, made = np.random.default_rng(seed), {}
    folder.mkdir(parents=True, exist_ok=True)
    train, test, names, classes = kind
    for part, files in (("train", train), ("t10k", test)):
        rows = []
        for name in files:
            content = b""
            for _ in range(count):
                image = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
                label = int(rng.integers(0, classes))
                colours = b"".join(image[:, :, colour].tobytes() for colour in range(3))
                content += bytes([7] * (classes == 100) + [label]) + colours
                rows.append((image, label))
            (folder / name).write_bytes(content)
        made[part] = [np.array(array) for array in zip(*rows)]
    (folder / names).write_text("\n".join(NAMES[:classes]) + "\n\n")
    return made


@pytest.mark.parametrize("kind", [TEN, HUNDRED], ids=["10", "100"])
@pytest.mark.parametrize("inner", [False, True])
def test_every_pixel(tmp_path, kind, inner):
    usual = "cifar-10-batches-bin" if kind is TEN else "cifar-100-binary"
    made = written(tmp_path / usual if inner else tmp_path, kind)
    data = dataset.load(tmp_path)
    assert data.names == tuple(NAMES[: kind[3]]) and data.in_shape == (32, 32, 3)
    for images, labels, (pixels, wanted) in (
        (data.train_images, data.train_labels, made["train"]),
        (data.test_images, data.test_labels, made["t10k"]),
    ):
        assert images.dtype == np.uint8 and images.flags.c_contiguous and labels.dtype == np.int64
        np.testing.assert_array_equal(images, pixels)
        np.testing.assert_array_equal(labels, wanted)


def test_a_test_set_alone(tmp_path):
    made = written(tmp_path)
    for name in TEN[0]:
        (tmp_path / name).unlink()
    np.testing.assert_array_equal(dataset.load_part("t10k", tmp_path).images, made["t10k"][0])
    assert dataset.described(tmp_path) == ((32, 32, 3), 10)
    with pytest.raises(ValueError, match=r"holds no data_batch_1\.bin, data_batch_2\.bin"):
        dataset.load(tmp_path)


def test_names_may_be_unknown(tmp_path):
    made = written(tmp_path)
    (tmp_path / TEN[2]).unlink()
    data = dataset.load(tmp_path)
    assert data.names == tuple(map(str, range(made["train"][1].max() + 1)))


def test_classes_without_an_image_are_remarked_on_by_name(tmp_path):
    made = written(tmp_path, count=1)
    (remark,) = remarks.of_data(dataset.load(tmp_path))
    first = min(set(range(10)) - set(made["train"][1].tolist()))
    assert f"of 10 classes have no training image ({NAMES[first]}, " in remark


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def mislabelled(path):
    content = bytearray(path.read_bytes())
    content[3073] = 10
    path.write_bytes(content)


def huge(path):
    with open(path, "wb") as file:
        file.truncate(10_001 * 3073)


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("data_batch_3.bin", cut, r"data_batch_3\.bin has 18,437 bytes, which are no whole number of images"),
        ("test_batch.bin", empty, r"test_batch\.bin has 0 bytes"),
        ("data_batch_5.bin", mislabelled, r"data_batch_5\.bin: image 1 has the label 10 of 10 classes"),
        ("data_batch_1.bin", huge, r"data_batch_1\.bin has 30,733,073 bytes; CIFAR's files have 30,730,000"),
        ("data_batch_4.bin", lambda path: path.unlink(), r"holds no data_batch_4\.bin$"),
        ("batches.meta.txt", empty, r"batches\.meta\.txt holds 0 different names, not 10"),
        ("batches.meta.txt", lambda path: path.write_text("a\n" * 10), "1 different names, not 10"),
    ],
)  # fmt: skip
def test_damage_is_named(tmp_path, name, damage, told):
    written(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(ValueError, match=told):
        dataset.load(tmp_path)


@given(st.integers(0, 12400), st.binary(max_size=9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_any_file_is_images_or_a_line(tmp_path, size, content):
    content = content.ljust(size, b"\3")[:size]
    (tmp_path / "test_batch.bin").write_bytes(content)
    try:
        assert dataset.load_part("t10k", tmp_path).images.nbytes == size // 3073 * 3072
    except ValueError as error:
        assert "test_batch.bin" in str(error)


class Trap:
    """What a pickle may do to whoever opens it."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("cifar-10-batches-py", ["data_batch_1", "test_batch", "batches.meta"]),
        (".", ["data_batch_1", "data_batch_2"]),
        ("cifar-100-python", ["train", "test", "meta"]),
    ],
)
def test_pickles_are_refused_and_never_opened(tmp_path, folder, names):
    (tmp_path / folder).mkdir(exist_ok=True)
    for name in names:
        (tmp_path / folder / name).write_bytes(pickle.dumps(Trap()))
    for place in (tmp_path, tmp_path / folder):
        with pytest.raises(ValueError, match=f"{names[0]} is a Python pickle, .*the binary version, whose"):
            dataset.load(place)


def test_several_sets_are_told_apart(tmp_path):
    written(tmp_path / "cifar-10-batches-bin")
    written(tmp_path / "cifar-100-binary", HUNDRED)
    with pytest.raises(ValueError, match="holds CIFAR-10 and CIFAR-100; put the one"):
        dataset.load(tmp_path)
    assert dataset.load(tmp_path / "cifar-100-binary").classes == 100
    idx.write_dataset(tmp_path / "other" / "MNIST" / "raw")
    written(tmp_path / "other" / "cifar-10-batches-bin")
    with pytest.raises(ValueError, match="holds several sets, IDX files and CIFAR's binary files; put"):
        dataset.load(tmp_path / "other")
