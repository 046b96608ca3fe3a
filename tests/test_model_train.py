"""The commands of training and classifying, from the outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import idx
from model import classify, cli, describe, report, train
from model.files import artifact, dataset
from model.training import remarks

ROOT = Path(__file__).parent.parent
KEYS = {
    "net", "params", "macs", "epochs", "float_accuracy", "quantised_accuracy", "images_per_second", "seconds",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A data set of 20 x 24 colour images, 7 classes."""
    return idx.write_dataset(tmp_path / "data", (20, 24, 3), classes=7, count=280, zipped=True)


def run(command, *arguments):
    return cli.run(command.main, [str(argument) for argument in arguments])


def test_trains_another_data_set(folder, tmp_path, capsys):
    out, result = tmp_path / "net.npz", tmp_path / "result.json"
    assert run(train, "lenet", "--data", folder, "--epochs", 60, "--out", out, "--json", result) == 0
    net, report = artifact.load(out), json.loads(result.read_text())
    assert net.in_shape == (20, 24, 3) and net.outputs == 7 and net.name == "lenet"
    assert report.keys() >= KEYS
    assert (report["epochs"], report["params"], report["macs"]) == (60, net.params, net.macs)
    data = dataset.load(folder)
    accuracy = net.metadata["accuracy"]
    assert accuracy["correct"] == np.count_nonzero(net.classify(data.test_images) == data.test_labels)
    assert accuracy["images"] == 140 and accuracy["quantised"] == accuracy["correct"] / 140
    assert report["quantised_accuracy"] == accuracy["quantised"] > 0.6
    assert net.metadata["seed"] == 0 and net.metadata["epochs"] == 60
    assert net.metadata["command"].startswith("python -m model.train lenet --data")
    assert net.metadata["classes"] == list("0123456") and net.metadata["dataset"] == "data"
    printed = capsys.readouterr()
    assert "conv1" in printed.out and "140 test images" in printed.out and not printed.err
    beside = ["confusion.png", "curves.png", "history.csv", "npz", "worst.png"]
    assert sorted(path.name for path in tmp_path.glob("net.*")) == [f"net.{end}" for end in beside]
    assert len((tmp_path / "net.history.csv").read_text().splitlines()) == 61


def test_same_seed_same_file_for_any_number_of_threads(folder, tmp_path):
    nets = []
    for threads in (1, 2, 5):
        out = tmp_path / f"{threads}.npz"
        options = ["--epochs", 1, "--qat-epochs", 1, "--threads", threads, "--no-pictures", "--out", out]
        assert run(train, "lecture", "--data", folder, *options) == 0
        nets.append(artifact.load(out))
    for net in nets[1:]:
        for spec, other in zip(nets[0].specs, net.specs):
            if hasattr(spec, "weights"):
                np.testing.assert_array_equal(spec.weights, other.weights)
                np.testing.assert_array_equal(spec.bias, other.bias)


def test_widths(folder, tmp_path):
    out = tmp_path / "net.npz"
    bits = ["--weight-bits", "5,conv2=3", "--activation-bits", "7,relu1=4", "--no-pictures"]
    assert run(train, "lenet", "--data", folder, "--epochs", 1, "--out", out, *bits) == 0
    specs = {spec.name: spec for spec in artifact.load(out).specs}
    assert [specs[name].weight_format.width for name in ("conv1", "conv2", "dense1")] == [5, 3, 5]
    assert specs["conv1"].dst.width == 4 and specs["conv2"].dst.width == 7


@pytest.mark.parametrize("end", ["tanh", "sigmoid", "leaky_relu"])
def test_an_activation_at_the_end_is_left_out_and_that_is_said(end, folder, tmp_path, capsys):
    net, out = tmp_path / "net.toml", tmp_path / "net.npz"
    net.write_text(f'layers = [{{conv = 4, kernel = 5, stride = 4}}, "relu", {{dense = "classes"}}, "{end}"]')
    options = ["--loss", "rmse", "--epochs", 6, "--qat-epochs", 1, "--activation-bits", 2, "--no-pictures"]
    assert run(train, net, "--data", folder, "--out", out, *options) == 0
    trained = artifact.load(out)
    assert trained.metadata["left_out"] == [f"{end}1"]
    assert [spec.name for spec in trained.specs] == ["conv1", "dense1"]
    assert trained.specs[-1].dst == trained.specs[-1].accumulator
    accuracy = trained.metadata["accuracy"]
    assert accuracy["fake_quantised"] == accuracy["quantised"]
    said = f"left out of the integers: {end}1 ("
    assert said in capsys.readouterr().out
    for command, argument in ((report, out), (describe, out), (describe, net)):
        assert run(command, argument) == 0 and said in capsys.readouterr().out
    wanted = [*options[:-2], f"2,{end}1=5", "--no-pictures"]
    assert run(train, net, "--data", folder, "--out", out, *wanted) == 0
    assert artifact.load(out).specs[-1].dst.width == 5 and "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["resnet"], "resnet"),
        ([], "NET"),
        (["lenet", "--epochs", "0"], "--epochs"),
        (["lenet", "--epochs", "x"], "--epochs"),
        (["lenet", "--seed", "-1"], "--seed"),
        (["lenet", "--threads", "99"], "--threads"),
        (["lenet", "--data", "nowhere"], "nowhere"),
        (["lenet", "--weight-bits", "0"], "--weight-bits"),
        (["lenet", "--weight-bits", "8,conv7=4"], "conv7"),
        (["lenet", "--activation-bits", "8,dense"], "--activation-bits"),
        (["lenet", "--bogus"], "--bogus"),
    ],
)
def test_bad_options(arguments, problem, tmp_path, capsys):
    out = tmp_path / "net.npz"
    status = run(train, *arguments, "--out", out)
    assert status == 2
    printed = capsys.readouterr()
    assert problem in printed.err and printed.err.count("\n") == 1 and not printed.out
    assert list(tmp_path.iterdir()) == []


def test_bad_data(folder, tmp_path, capsys):
    images = folder / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-20])
    assert run(train, "lenet", "--data", folder, "--out", tmp_path / "out" / "net.npz") == 2
    error = capsys.readouterr().err
    assert images.name in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_images_too_small_for_the_net(tmp_path, capsys):
    small = idx.write_dataset(tmp_path / "small", (9, 9))
    assert run(train, "lenet", "--data", small, "--out", tmp_path / "net.npz") == 2
    assert "conv2" in capsys.readouterr().err


def test_too_few_images(tmp_path, capsys):
    few = idx.write_dataset(tmp_path / "few", (28, 28), count=4)
    assert run(train, "lenet", "--data", few, "--epochs", 1, "--out", tmp_path / "net.npz") == 2
    assert "at least" in capsys.readouterr().err


def test_unwritable_output_is_told_before_training(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(train, "lenet", "--data", folder, "--epochs", 9999, "--out", tmp_path / "file" / "x") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(train, "lenet", "--data", folder, "--epochs", 9999, "--out", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("options", [["--rate", "1e30"], ["--rate", "1e36", "--loss", "rmse"]])
def test_a_lost_loss_is_one_line(options, folder, tmp_path):
    """Though NumPy warns in two processes."""
    arguments = ["lenet", "--data", folder, "--epochs", "3", "--out", tmp_path / "net.npz", *options]
    result = subprocess.run(
        [sys.executable, "-m", "model.train", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1 and not result.stdout and result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: training of net 'lenet' failed: the loss is ")


@pytest.mark.parametrize(
    "options, told",
    [
        (["--rate", "1000"], "net 'lenet' has learnt nothing"),
        (["--rate", "1000", "--loss", "rmse"], "net 'lenet' has learnt nothing"),
        (["--rate", "1e-12"], "it has diverged or hardly begun: try another --rate"),
        (["--penalty", "1e9"], "of the validation images right, and always the same answer is for"),
    ],
)
def test_a_training_that_learnt_nothing_is_told(options, told, folder, tmp_path, capsys):
    out = tmp_path / "net.npz"
    assert run(train, "lenet", "--data", folder, "--epochs", 2, "--no-pictures", "--out", out, *options) == 0
    error = capsys.readouterr().err
    assert error.startswith("note: ") and told in error and error.count("\n") == 1


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=200), share=st.floats(0, 1))
@settings(deadline=None)
def test_what_is_no_better_than_a_guess(labels, share):
    labels = np.array(labels)
    told = remarks.of_training(share, labels, "net", "images", "try again")
    frequent = max(np.mean(labels == label) for label in range(5))
    if share <= frequent:
        assert len(told) == 1 and f"{share:.2%} of the images right" in told[0]
    if share > frequent + 1 / np.sqrt(len(labels)):
        assert not told


def test_integers_that_lost_it_all_are_told(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "judged", lambda net, *others: replace(net, metadata=net.metadata | {
        "accuracy": {"float": 1.0, "fake_quantised": 0.1, "quantised": 0.1, "images": 140, "correct": 14},
    }))  # fmt: skip
    options = ["--data", folder, "--epochs", 60, "--no-pictures", "--out", tmp_path / "net.npz"]
    assert run(train, "lenet", *options) == 0
    assert "net 'lenet in integers' has learnt nothing: 10.00% of the test images" in capsys.readouterr().err


def test_coarse_tables_are_told(folder, tmp_path, capsys):
    net, out = tmp_path / "net.toml", tmp_path / "net.npz"
    net.write_text(
        'layers = [{conv = 4, kernel = 5, stride = 4}, {leaky_relu = 0.1}, {conv = 3, kernel = 2}, "sigmoid",'
        ' {dense = "classes"}]'
    )
    options = ["--data", folder, "--epochs", 1, "--no-pictures", "--out", out]
    for bits, told in (
        ("8", []),
        ("12,sigmoid1=8", []),
        ("14,sigmoid1=8", ["leaky_relu1: its table takes values of 12 bits and gives such of 14: steps 2**"]),
        ("8,sigmoid1=16", ["sigmoid1: its table takes values of 8 bits and gives such of 16: steps 2**8 "]),
        ("16", ["leaky_relu1: its table takes values of 12 bits and gives such of 16:", "sigmoid1: "]),
    ):
        for command, arguments in (
            (train, [net, *options, "--activation-bits", bits]), (describe, [out]), (report, [out]),
        ):  # fmt: skip
            assert run(command, *arguments) == 0
            printed = capsys.readouterr().out
            assert printed.count(": its table takes values of ") == len(told)
            assert all(line in printed for line in told)


def test_inverted_pictures_are_remarked_on(tmp_path, capsys, monkeypatch):
    """By the mean of what the net learnt: MNIST's for nets that ship, else that in the artifact."""
    monkeypatch.chdir(tmp_path)
    pictures = []
    for index, level in enumerate([10, 100, 130, 230, 250, 240, 235]):
        pictures.append(f"{index}.png")
        Image.fromarray(np.full((28, 28), level, np.uint8)).save(pictures[-1])
    light = tmp_path / "net.npz"
    lenet = artifact.load("lenet")
    for net, options, told in (
        ("lenet", [], "3.png, 4.png, 5.png and 1 more: light, where the net learnt dark images; try --"),
        ("lenet", ["--invert"], "0.png: light as inverted, where the net learnt dark images; leave out"),
        (220, [], "0.png: dark, where the net learnt light images; try --invert"),
        (140, [], None),
        ("no number", [], None),
    ):
        if net != "lenet":
            artifact.save(light, replace(lenet, metadata={**lenet.metadata, "mean": net}))
        assert run(classify, "lenet" if net == "lenet" else light, *pictures, *options) == 0
        error = capsys.readouterr().err
        assert error.count("\n") == (told is not None)
        if told:
            assert error.startswith(f"note: {told}")


@pytest.mark.parametrize("module", ["model.train", "model.classify"])
def test_help(module):
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0 and "examples:" in result.stdout and not result.stderr


def test_interrupted(folder, tmp_path):
    """Control-C in the midst of training: one line, and no file but the checkpoint."""
    code = "import sys; from model import cli, train; print(flush=True); sys.exit(cli.run(train.main))"
    out = tmp_path / "out" / "net.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "lenet", "--data", folder, "--epochs", "99999", "--out", out],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        process.stdout.readline()
        time.sleep(2)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the helper processes get it too
        printed, error = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130 and error == "error: interrupted\n" and not printed
    assert {path.name for path in tmp_path.glob("out/*")} <= {"net.checkpoint.npz"}


@pytest.fixture
def picture(tmp_path):
    """The first test image, a seven, as dark strokes on large light paper."""
    pixels = dataset.load_part("t10k")[0][0, :, :, 0]
    Image.fromarray(255 - pixels).resize((140, 140)).save(tmp_path / "seven.png")
    return tmp_path / "seven.png"


def test_classifies(picture, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tmp_path / "result.json"
    assert run(classify, "lenet", picture.name, picture.name, "--invert", "--resize", "--json", result) == 0
    answers = json.loads(result.read_text())["answers"]
    assert [answer["class"] for answer in answers] == ["7", "7"]
    assert len(answers[0]["logits"]) == 10 and max(answers[0]["logits"]) == answers[0]["logits"][7]
    assert "seven.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["lenet", "nowhere.png"], "nowhere.png"),
        (["nowhere", "nowhere.png"], "no net 'nowhere'"),
        (["lenet", __file__], "no PNG or JPEG"),
        (["lenet", "PICTURE"], "140 x 140 pixels, but the net takes 28 x 28 (--resize scales it)"),
        (["lenet"], "PICTURE"),
        (["lenet", "nowhere.png", "--json", "."], "name a file to write"),
        ([__file__, "nowhere.png"], "cannot read net"),
    ],
)
def test_classify_refuses(arguments, problem, picture, capsys):
    arguments = [str(picture) if argument == "PICTURE" else argument for argument in arguments]
    status = run(classify, *arguments)
    printed = capsys.readouterr()
    assert status == 2 and problem in printed.err and printed.err.count("\n") == 1 and not printed.out
