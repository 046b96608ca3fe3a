"""History as CSV, and pictures for any number of epochs, classes and channels, and any names."""

import contextlib
import csv
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from model.training import pictures
from model.training.history import COLUMNS, Epoch, write_csv

ROOT = Path(__file__).parent.parent


def epochs(count):
    return [Epoch(2 * 0.7**i, 1 - 0.5 * 0.8**i, 1 - 0.4 * 0.8**i, 0.1, 5400, 0.5) for i in range(count)]


def opened(path):
    """A PNG's pixels."""
    with Image.open(path) as picture:
        assert picture.format == "PNG" and min(picture.size) > 200 and max(picture.size) < 2500
        return np.asarray(picture.convert("RGB")).astype(int)


def test_csv(tmp_path):
    path = tmp_path / "new" / "a.csv"
    write_csv(path, epochs(3))
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS and [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[0][1:] == ["2", "0.5", "0.6", "0.1", "10800", "0.500"]
    for row, epoch in zip(rows, epochs(3)):
        np.testing.assert_allclose(
            [float(cell) for cell in row[1:4]], [epoch.loss, epoch.accuracy, epoch.validation], rtol=1e-5
        )


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=50))
def test_confusion_matrix_against_loops(classes, pairs):
    pairs = [(label % classes, answer % classes) for label, answer in pairs]
    wanted = np.zeros((classes, classes), int)
    for label, answer in pairs:
        wanted[label, answer] += 1
    labels, answers = np.array(pairs, int).reshape(-1, 2).T
    np.testing.assert_array_equal(pictures.confusion_matrix(labels, answers, classes), wanted)


@given(st.lists(st.tuples(st.integers(0, 3), *[st.integers(-9, 9)] * 4), min_size=1, max_size=20))
def test_margins_against_loops(rows):
    labels, logits = np.array([row[0] for row in rows]), np.array([row[1:] for row in rows])
    wanted = [row[1 + row[0]] - max(v for i, v in enumerate(row[1:]) if i != row[0]) for row in rows]
    np.testing.assert_array_equal(pictures.margins(logits, labels), wanted)


@pytest.mark.parametrize(("count", "tuning"), [(1, 0), (2, 1), (200, 50), (3, 3)])
def test_curves(count, tuning, tmp_path):
    pictures.curves(tmp_path / "a.png", epochs(count), "net $x on $$ 日本", tuning)
    assert opened(tmp_path / "a.png").std() > 5


@pytest.mark.parametrize(
    ("classes", "count", "shape", "name"),
    [
        (10, 400, (28, 28, 1), "{}"),
        (7, 3, (20, 24, 3), "a very long class name with $math$ and \\frac, number {}"),
        (50, 600, (16, 9, 4), "label number {}"),
        (2, 1, (3, 40, 1), "猫\n{}"),
    ],
)
def test_classes_of_any_number_and_name(classes, count, shape, name, tmp_path, recwarn):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    labels, logits = rng.integers(0, classes, count), rng.normal(size=(count, classes))
    names = [name.format(index) for index in range(classes)]
    matrix = pictures.confusion_matrix(labels, logits.argmax(axis=1), classes)
    pictures.confusion(tmp_path / "a.png", matrix, names, "$ 100 %")
    pictures.worst(tmp_path / "b.png", images, labels, logits, names, "$ 100 %")
    assert opened(tmp_path / "a.png").std() > 5 and opened(tmp_path / "b.png").std() > 5
    assert not recwarn.list


MANY = [(10, "{}"), (27, "class number {}"), (203, "{}")]


@pytest.mark.parametrize("classes, name", MANY)
def test_names_of_many_classes_do_not_overlap(classes, name, tmp_path, monkeypatch):
    drawn = []

    original = pictures.figure

    @contextlib.contextmanager
    def kept(*arguments):
        with original(*arguments) as drawing:
            yield drawing
            FigureCanvasAgg(drawing).draw()
            (axes,) = [axes for axes in drawing.axes if axes.get_ylabel() == "label"]
            for axis in (axes.xaxis, axes.yaxis):
                drawn.append([label.get_window_extent() for label in axis.get_ticklabels()])

    monkeypatch.setattr(pictures, "figure", kept)
    names = [name.format(index) for index in range(classes)]
    pictures.confusion(tmp_path / "a.png", np.eye(classes, dtype=int), names, "title")
    across, down = drawn
    assert len(across) == len(down) > min(classes, 25) / 2
    assert all(one.x1 <= other.x0 + 0.5 for one, other in pairwise(across))
    assert all(one.y0 >= other.y1 - 0.5 for one, other in pairwise(down))


def test_the_worst_image_comes_first(tmp_path):
    """Of dark images the one that is bright is classified worst: it is the only one in colour, top left."""
    images, labels = np.zeros((40, 8, 8, 3), np.uint8), np.zeros(40, int)
    images[33] = 0, 255, 0
    logits = np.tile([1.0, 0.5], (40, 1))
    logits[33] = 0, 3
    pictures.worst(tmp_path / "a.png", images, labels, logits, ["x", "y"], "")
    pixels = opened(tmp_path / "a.png")
    green = (pixels == [0, 255, 0]).all(axis=2)
    rows, columns = np.nonzero(green)
    assert green.sum() > 5000 and rows.max() < len(pixels) / 3 and columns.max() < pixels.shape[1] / 3


def test_same_data_same_file(tmp_path):
    for name in "ab":
        pictures.curves(tmp_path / name, epochs(4), "net")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_is_written_where_drawing_fails(tmp_path):
    with pytest.raises(ValueError):
        pictures.confusion(tmp_path / "a.png", np.eye(3, dtype=int), ["one", "two"], "")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_loaded_for_pictures_alone():
    code = "import sys, model.train; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
