"""IDX files: what ships, folders of the user's own, and everything that may be wrong with them."""

import gzip
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import idx
from model.files import dataset
from model.files import idx as idxfile
from model.training import remarks


def test_mnist_ships():
    data = dataset.load()
    assert data.name == "MNIST" and data.classes == 10 and data.in_shape == (28, 28, 1)
    assert data.train_images.shape == (60000, 28, 28, 1) and data.test_images.shape == (10000, 28, 28, 1)
    assert data.train_images.dtype == np.uint8
    assert np.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_what_ships_is_compared_with_its_hash(tmp_path, monkeypatch):
    idx.write_dataset(tmp_path, zipped=True)
    monkeypatch.setattr(dataset, "MNIST", tmp_path)
    with pytest.raises(ValueError, match=r"train-images-.*SHA-256"):
        dataset.load()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(8, 8), (5, 9), (7, 6, 3), (1, 1)])
def test_folder(tmp_path, shape, zipped):
    data = dataset.load(idx.write_dataset(tmp_path / "my set", shape, classes=4, count=20, zipped=zipped))
    assert data.name == "my set" and data.classes == 4
    assert data.in_shape == (*shape, 1)[:3] and len(data.train_labels) == 20 and len(data.test_images) == 10


def test_four_dimensional_files_may_say_so_in_their_name(tmp_path):
    idx.write_dataset(tmp_path, (4, 5, 3))
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").rename(tmp_path / f"{part}-images-idx4-ubyte")
    assert dataset.load(tmp_path).in_shape == (4, 5, 3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.booleans(), st.integers(0, 2**32 - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_round_trip(tmp_path, shape, zipped, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    data = idx.encode(array)
    (tmp_path / "file").write_bytes(gzip.compress(data) if zipped else data)
    np.testing.assert_array_equal(idxfile.read_idx(tmp_path / "file"), array)


IMAGES = idx.encode(np.arange(48).reshape(3, 4, 4))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "data, problem",
    [
        (b"", "no IDX"),
        (IMAGES[:3], "no IDX"),
        (IMAGES[:10], "cut short"),
        (IMAGES[:-1], "cut short"),
        (IMAGES + b"\0", "too long"),
        (b"\1" + IMAGES[1:], "no IDX"),
        (IMAGES[:2] + b"\x0d" + IMAGES[3:], "no IDX"),
        (IMAGES[:3] + b"\0" + IMAGES[4:], "no IDX"),
        (IMAGES[:3] + b"\7" + IMAGES[4:], "no IDX"),
        (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], "cut short"),
        (IMAGES[:4] + b"\x7f\xff\xff\xff" + IMAGES[8:], "cut short"),
    ],
)
def test_damaged_files(tmp_path, data, zipped, problem):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(ValueError, match=problem) as caught:
        idxfile.read_idx(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [3, 12, 30, -9, -1])
def test_damaged_gzip(tmp_path, cut):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(IMAGES)[:cut])
    with pytest.raises(ValueError, match=r"images\.gz"):
        idxfile.read_idx(path)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
def test_mutated_files_never_do_worse_than_a_valueerror(tmp_path, data):
    original = gzip.compress(IMAGES, mtime=0) if data.draw(st.booleans()) else IMAGES
    mutated = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(mutated) - 1))
        mutated[position] = data.draw(st.integers(0, 255))
    mutated = (
        bytes(mutated[: data.draw(st.integers(0, len(mutated)))]) if data.draw(st.booleans()) else mutated
    )
    path = tmp_path / "file"
    path.write_bytes(bytes(mutated))
    try:
        assert idxfile.read_idx(path).dtype == np.uint8
    except ValueError as error:
        assert str(path) in str(error)


def test_what_unpacks_to_too_much_is_refused_before(tmp_path, monkeypatch):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(IMAGES))
    monkeypatch.setattr(idxfile, "MAX_BYTES", len(IMAGES) - 17)
    with pytest.raises(ValueError, match=r"images.gz: too large: its header promises .* bytes, and \d+ are"):
        idxfile.read_idx(path)


def test_a_header_does_not_make_us_ask_for_gigabytes(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(IMAGES[:4] + b"\x00\x40\x00\x00" * 3 + bytes(1000))
    tracemalloc.start()
    with pytest.raises(ValueError, match="cut short"):
        idxfile.read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


STANDARD = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


@given(
    mark=st.sampled_from(["-idx", ".idx", "_idx", " idx"]),
    prefix=st.sampled_from(["", "emnist-letters-", "emnist-balanced-", "my set_"]),
    test=st.sampled_from(["t10k", "test"]),
    case=st.sampled_from([str, str.upper, str.title]),
    end=st.sampled_from(["", ".gz", " (1).gz"]),
    inner=st.sampled_from(["", "raw", "MNIST/raw", "NAME", "a/NAME"]),
)
@settings(deadline=None, max_examples=60)
def test_files_as_people_have_them(tmp_path_factory, mark, prefix, test, case, end, inner):
    plain = idx.write_dataset(tmp_path_factory.mktemp("plain"), (5, 6))
    folder = tmp_path_factory.mktemp("other")
    for name in STANDARD:
        other = case(prefix + name.replace("t10k", test).replace("-idx", mark)) + end
        place = folder / inner.replace("NAME", other) / other
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((plain / name).read_bytes())
    (folder / "README.md").write_text("train-images-idx3-ubyte")
    one, two = dataset.load(plain), dataset.load(folder)
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


def test_several_sets_are_told_apart(tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        idx.write_dataset(tmp_path / name / "raw")
    with pytest.raises(ValueError, match=r"holds several sets: FashionMNIST/raw/train-images-.*, MNIST/raw/"):
        dataset.load(tmp_path)
    assert dataset.load(tmp_path / "MNIST").classes == 3
    for prefix in ("emnist-letters-", "emnist-digits-"):
        idx.write_dataset(tmp_path / "emnist")
        for name in STANDARD:
            (tmp_path / "emnist" / name).rename(tmp_path / "emnist" / f"{prefix}{name}")
    with pytest.raises(ValueError, match=r"several sets: emnist-digits-train.*own$"):
        dataset.load(tmp_path / "emnist")
    idx.write_dataset(tmp_path / "emnist")  # MNIST's very names
    assert dataset.load(tmp_path / "emnist").classes == 3


def test_what_lies_there_instead_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no IDX files, CIFAR's .* by class; it is empty$"):
        dataset.load(tmp_path)
    for name in ("train_images.npy", "notes/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"; there lies notes/, train_images\.npy$"):
        dataset.load(tmp_path)
    for index in range(9):
        (tmp_path / f"{index}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.png, .*5\.png and 5 more$"):
        dataset.load(tmp_path)


def test_a_part_that_is_missing(tmp_path):
    idx.write_dataset(tmp_path)
    for name in STANDARD[2:]:
        (tmp_path / name).rename(tmp_path / f"other-{name}.txt")
    with pytest.raises(ValueError, match=r"holds no t10k-images-idx3-ubyte \(nor .*there lies"):
        dataset.load(tmp_path)
    for name in STANDARD[:2]:
        (tmp_path / name).unlink()
    for name in STANDARD[2:]:
        (tmp_path / f"other-{name}.txt").rename(tmp_path / name)
    assert dataset.load_part("t10k", tmp_path).images.shape == (30, 8, 8, 1)
    assert dataset.described(tmp_path) == ((8, 8, 1), 3)
    with pytest.raises(ValueError, match="holds no train-images"):
        dataset.load(tmp_path)


@pytest.mark.parametrize(
    "labels, shape, told",
    [
        (range(1, 6), (8, 8), r"1 of 6 classes have no training image \(labels begin at 0; 0\)"),
        ([0, 1, 2, 5], (8, 8), r"2 of 6 classes have no training image \(3, 4\), yet each has an output"),
        ([3, 210], (8, 8), r"209 of 211 classes .* \(labels begin at 0; 0, 1, 2, 4, 5, \.\.\.\)"),
        ([0, 1], (3, 32, 32), "3 x 32 pixels with 32 channels; a file has .* such as 32 x 32 x 3"),
        ([0, 1], (1, 28, 20), "1 x 28 pixels with 20 channels; a file has .* such as 28 x 20 x 1"),
        ([0, 1], (3, 32, 3), None),
        ([1, 0], (8, 3, 4), None),
    ],
)
def test_remarks(tmp_path, labels, shape, told):
    idx.write_dataset(tmp_path / "set", shape)
    rewritten(tmp_path / "set", "train-labels-idx1-ubyte", np.resize(np.array(labels), 60))
    rewritten(tmp_path / "set", "t10k-labels-idx1-ubyte", np.resize(np.array(labels), 30))
    found = remarks.of_data(dataset.load(tmp_path / "set"))
    assert len(found) == (told is not None)
    assert not told or re.search(told, found[0])


def rewritten(folder, name, array):
    (folder / name).write_bytes(idx.encode(np.asarray(array)))


@pytest.mark.parametrize(
    "name, array, problem",
    [
        ("train-labels-idx1-ubyte", np.zeros(59), "60 images.*59 labels"),
        ("train-labels-idx1-ubyte", np.zeros(60), "at least two classes"),
        ("train-labels-idx1-ubyte", np.zeros((60, 1)), "labels-idx1-ubyte has 2 dimensions"),
        ("t10k-labels-idx1-ubyte", np.full(30, 9), "label 9 does not occur"),
        ("t10k-images-idx3-ubyte", np.zeros((30, 8, 9)), "8 x 9"),
        ("t10k-images-idx3-ubyte", np.zeros((30, 64)), "has 2 dimensions"),
        ("t10k-images-idx3-ubyte", np.zeros((30, 0, 8)), "no pixels"),
        ("t10k-images-idx3-ubyte", np.zeros((0, 8, 8)), "0 images"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, name, array, problem):
    idx.write_dataset(tmp_path)
    rewritten(tmp_path, name, array)
    with pytest.raises(ValueError, match=problem):
        dataset.load(tmp_path)


def test_missing(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere is no folder of IDX files, .* nor an \.npz"):
        dataset.load(tmp_path / "nowhere")
