"""Options of the training command, and the recipes that come of them."""

from pathlib import Path

import pytest

from model.net.losses import Penalty
from model.training import options
from model.training.augment import Affine, Elastic
from model.training.nets import NETS
from model.training.optim import Adam


def recipe(*arguments):
    return options.recipe_of(options.parse(["lenet", *arguments]))


def test_the_nets_own():
    assert recipe() == NETS["lenet"].recipe


def test_every_option():
    found = recipe(
        "--epochs", "3", "--batch", "64", "--optimiser", "adam", "--rate", "0.01", "--momentum", "0.8",
        "--schedule", "linear", "--warmup", "0.1", "--averaging", "0", "--patience", "2", "--loss", "rmse",
        "--penalty", "0.5", "--norm", "1", "--augment", "shift=2,rotation=5,strength=1.5",
    )  # fmt: skip
    assert (found.epochs, found.batch, found.optimiser, found.peak) == (3, 64, "adam", 0.01)
    assert (found.momentum, found.schedule, found.warmup, found.averaging) == (0.8, "linear", 0.1, 0)
    assert (found.patience, found.loss, found.penalty) == (2, "rmse", Penalty(0.5, 1))
    assert (found.augment, found.elastic) == (Affine(rotation=5, shift=2), Elastic(strength=1.5))


def test_another_optimiser_has_its_usual_rate():
    assert recipe("--optimiser", "adam").peak == Adam.rate
    assert recipe("--optimiser", "momentum").peak == NETS["lenet"].recipe.peak


@pytest.mark.parametrize(
    ("text", "augment", "elastic"),
    [("none", None, None), ("shear=0.1", Affine(shear=0.1), None), ("smoothness=3", None, Elastic(1, 3))],
)
def test_augment(text, augment, elastic):
    found = recipe("--augment", text)
    assert (found.augment, found.elastic) == (augment, elastic)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--averaging", "1"], "--averaging"),
        (["--momentum", "-1"], "--momentum"),
        (["--warmup", "2"], "--warmup"),
        (["--batch", "0"], "--batch"),
        (["--optimiser", "sgd"], "--optimiser"),
        (["--schedule", "x"], "--schedule"),
        (["--save-every", "-1"], "--save-every"),
        (["--save-every", "nan"], "--save-every"),
        (["--augment", "rotation"], "'rotation' is no NAME=NUMBER"),
        (["--augment", "twist=1"], "unknown 'twist'; there are rotation, scale"),
        (["--augment", "shift=-1"], "shift is a number from 0"),
        (["--augment", ""], "--augment"),
    ],
)
def test_refused(arguments, told, capsys):
    with pytest.raises((ValueError, SystemExit)) as caught:
        recipe(*arguments)
    message = capsys.readouterr().err + str(caught.value)
    assert told in message and message.count("\n") <= 1


def test_files_beside_the_artifact():
    found = options.beside(Path("build/my.net.npz"), True)
    assert [str(path) for path in found.values()] == [
        "build/my.net.checkpoint.npz", "build/my.net.history.csv", "build/my.net.curves.png",
        "build/my.net.confusion.png", "build/my.net.worst.png",
    ]  # fmt: skip
    assert list(options.beside(Path("net"), False)) == ["checkpoint", "history"]
    assert options.beside(Path("/dev/null"), True) == {}


def test_a_folder_in_the_way_is_told_before_training(tmp_path):
    (tmp_path / "net.curves.png").mkdir()
    with pytest.raises(ValueError, match=r"net\.curves\.png is a folder"):
        options.parse(["lenet", "--out", str(tmp_path / "net.npz")])


def test_what_decides_the_net():
    argv = [
        "lenet",
        "--out",
        "a.npz",
        "--epochs",
        "3",
        "--json=b.json",
        "--threads",
        "2",
        "--resume",
        "--seed=1",
    ]
    assert options.deciding(argv) == ["lenet", "--epochs", "3", "--seed=1"]
    assert options.deciding(["--no-pictures", "--save-every", "3", "tiny"]) == ["tiny"]


def test_every_idle_option_exists():
    """With as many values as the parser takes."""
    for option, values in options.IDLE.items():
        options.parse(["lenet", option, *["1"] * values])
