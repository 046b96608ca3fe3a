"""Test sets in an ``.npz``: what is taken, and what is refused in a line."""

import numpy as np
import pytest

from model.files import dataset


def written(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
@pytest.mark.parametrize(
    ("shape", "whole"), [((5, 7), (5, 1, 1, 7)), ((5, 4, 3), (5, 4, 3, 1)), ((5, 4, 3, 2), (5, 4, 3, 2))]
)
def test_features_keep_their_values(shape, whole, dtype, tmp_path):
    rng = np.random.default_rng(0)
    ends = np.iinfo(dtype)
    features, labels = rng.integers(ends.min, ends.max + 1, shape).astype(dtype), np.arange(5, dtype=np.uint8)
    images, classes, _ = dataset.load_part(
        "t10k", written(tmp_path / "eval.npz", features=features, labels=labels)
    )
    assert images.dtype == dtype
    np.testing.assert_array_equal(images, features.reshape(whole))
    np.testing.assert_array_equal(classes, labels)


ONE, LABEL = np.zeros((1, 2, 2, 1), np.int8), np.zeros(1, np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABEL}, "no array 'features', only labels"),
        ({"x": ONE, "y": LABEL}, "no array 'features', only x, y"),
        ({"features": ONE.astype(float), "labels": LABEL}, "features are float64, not integers"),
        ({"features": ONE, "labels": LABEL > 0}, "labels are bool, not integers"),
        ({"features": ONE[0, 0, 0], "labels": LABEL}, "features have 1 dimensions, not 2 to 4"),
        ({"features": ONE, "labels": ONE[0, 0]}, "labels have 2 dimensions, not 1"),
        ({"features": ONE, "labels": np.zeros(2, int)}, "1 features, but 2 labels"),
        ({"features": ONE[:0], "labels": LABEL[:0]}, "features are empty"),
        ({"features": ONE, "labels": np.array([-1])}, "labels are from -1 to -1, not from 0 to 65535"),
        ({"features": ONE, "labels": np.array([1 << 40])}, "labels are from 1099511627776 to"),
        ({"features": np.array([{}]), "labels": LABEL}, "cannot read test set"),
    ],
)
def test_refusals(arrays, message, tmp_path):
    path = written(tmp_path / "eval.npz", **arrays)
    with pytest.raises(ValueError, match=message) as error:
        dataset.load_part("t10k", path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_no_archive(tmp_path):
    path = tmp_path / "eval.npz"
    path.write_bytes(b"no zip")
    with pytest.raises(ValueError, match="damaged or no test set"):
        dataset.load_part("t10k", path)
    with pytest.raises(OSError):
        dataset.load_part("t10k", tmp_path / "none.npz")


def test_it_is_nothing_to_learn_from(tmp_path):
    path = written(tmp_path / "eval.npz", features=ONE, labels=LABEL)
    with pytest.raises(ValueError, match="holds a test set alone"):
        dataset.load(path)


def test_labels_may_be_unknown(tmp_path):
    part = dataset.load_part("t10k", written(tmp_path / "eval.npz", features=ONE))
    assert part.labels is None and part.names is None
    with pytest.raises(ValueError, match=r"eval\.npz holds no labels"):
        part.labelled(None, "eval.npz")
    with pytest.raises(ValueError, match="holds no labels"):
        dataset.described(tmp_path / "eval.npz")
