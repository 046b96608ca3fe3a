"""The benchmark of few bits: on a small set, from floats that it keeps, and its own data sets."""

import json

import numpy as np
import pytest

import idx
from benchmarks.papers import PAPERS, patched
from benchmarks.widths import NORMALISED, main
from model import cli
from model.files import dataset
from model.training import nets


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "bars.toml"
    path.write_text(
        'layers = [{conv = 3, kernel = 3, bias = "none"}, "batchnorm", "relu", {dense = "classes"}]\n'
    )
    return path


def run(*arguments):
    return cli.run(main, [str(argument) for argument in arguments])


def test_rows(net, tmp_path, capsys):
    folder = idx.write_dataset(tmp_path / "light", (9, 10), count=90)
    options = ["--net", net, "--data", folder, "--bits", 8, 2, "--epochs", 2]
    options += ["--floats", tmp_path / "floats", "--json", tmp_path / "rows.json"]
    results = []
    for _ in range(2):  # trained, then taken from where it was kept
        assert run(*options) == 0
        results.append(json.loads((tmp_path / "rows.json").read_text()))
        for row in results[-1]["rows"]:
            assert row.pop("seconds") >= 0
        assert "8 bits" in capsys.readouterr().out
    assert results[0] == results[1] and results[0]["epochs"] == 2
    assert [(row["data"], row["net"], row["bits"]) for row in results[0]["rows"]] == [
        ("light", "bars", 8), ("light", "bars", 2),
    ]  # fmt: skip
    assert all(0 <= row[key] <= 1 for row in results[0]["rows"] for key in ("float", "rounded", "corrected"))
    assert [path.name for path in (tmp_path / "floats").iterdir()] == ["light-bars-2.npy"]
    np.save(tmp_path / "floats" / "light-bars-2.npy", np.zeros(3))
    assert run(*options) == 2
    assert "light-bars-2.npy holds the parameters of another net" in capsys.readouterr().err
    for damaged in (b"", b"none", (tmp_path / "rows.json").read_bytes()):
        (tmp_path / "floats" / "light-bars-2.npy").write_bytes(damaged)
        assert run(*options) == 2
        assert "light-bars-2.npy is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, problem",
    [(["--bits", 17], "between 1 and 16"), (["--data", "linen"], "linen"), (["--net", "resnet"], "'resnet'")],
)
def test_bad_options(arguments, problem, net, capsys):
    assert run("--net", net, *arguments) == 2
    assert problem in capsys.readouterr().err


def test_nets_with_normalisation_are_descriptions():
    for path in NORMALISED:
        network = nets.load(path).network((28, 28, 1), 10, np.random.default_rng(0))
        assert network.measures and network.out_shape == (1, 1, 10)


def test_data_sets(monkeypatch):
    images, labels, _ = dataset.load_part("t10k")
    plain = dataset.Dataset("MNIST", images[:400], labels[:400], images[400:500], labels[400:500], None)
    monkeypatch.setattr(dataset, "load", lambda: plain)
    paper, cloth = PAPERS["paper"](), PAPERS["cloth"]()
    for data, name in ((paper, "paper"), (cloth, "cloth")):
        assert data.name == name and data.train_images.dtype == np.uint8
        assert data.train_labels is plain.train_labels and data.test_labels is plain.test_labels
    np.testing.assert_array_equal(paper.train_images, 255 - plain.train_images)
    np.testing.assert_array_equal(paper.test_images, 255 - plain.test_images)
    np.testing.assert_array_equal(cloth.train_images, patched(plain.train_images, 0))
    np.testing.assert_array_equal(cloth.test_images, patched(plain.test_images, 1))
    assert cloth.test_images.mean() > 1.3 * plain.test_images.mean()


def test_cloth_by_definition():
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (3, 9, 11, 1)) * (rng.random((3, 9, 11, 1)) < 0.1)).astype(np.uint8)
    cloth = patched(images, 7)
    shares = np.random.default_rng(7).uniform(0.3, 1, (3, 3, 3, 1))
    for image, row, column in np.ndindex(3, 9, 11):
        around = images[image, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        assert cloth[image, row, column, 0] == int(around.max() * shares[image, row // 4, column // 4, 0])
    assert (patched(images, 8) != cloth).any()
