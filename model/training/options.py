"""The options of ``python -m model.train``, and what follows from them: a recipe, and files to write."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

from model import cli
from model.files import dataset
from model.files.whole import check_writable, special
from model.golden.workers import MAX_THREADS
from model.net.losses import LOSSES, Penalty
from model.quantisation.scheme import SCALES
from model.quantisation.widths import Widths
from model.training import nets
from model.training.augment import Affine, Elastic
from model.training.optim import OPTIMISERS, SCHEDULES
from model.training.recipe import Recipe
from model.training.tuning import Tuning

EXAMPLES = """\
examples:
  python -m model.train lenet                               build/lenet.npz from MNIST
  python -m model.train lecture --epochs 5 --seed 0
  python -m model.train lecture --epochs 5 --seed 0 --resume  goes on where that was cut short, bit for bit
  python -m model.train lenet --data my_images/ --out my.npz  images of your own, any size and classes
  python -m model.train lenet --weight-bits 6,conv1=8 --activation-bits 6
  python -m model.train lenet --weight-bits 4 --activation-bits 4 --qat-epochs 30
  python -m model.train lenet --optimiser adam --rate 0.002 --schedule linear
  python -m model.train lenet --augment rotation=10,shift=2,strength=1.2,smoothness=4
  python -m model.train lenet --loss rmse --penalty 0.001 --norm 1
  python -m model.train my_net.toml                         a net of your own, build/my_net.npz

A net of your own is a file like my_net.toml (more in docs/nets.md):
  layers = [
    {conv = 6, kernel = 5}, {pool = "max", kernel = 2}, "relu",
    {dense = "classes"},
  ]
  [recipe]
  epochs = 5

python -m model.describe my_net.toml shows its layers, shapes, parameters and multiplications.

Beside the artifact OUT.npz come OUT.history.csv, OUT.curves.png, OUT.confusion.png and OUT.worst.png. The
last two show the validation images: pictures of the test images would tempt to choose by them. While training
runs there is OUT.checkpoint.npz, which --resume goes on from, and which is removed when all is written.
"""
IDLE = {"--out": 1, "--json": 1, "--threads": 1, "--save-every": 1, "--resume": 0, "--no-pictures": 0}
"""Options that change nothing about the trained net, and how many values they take."""
ENDINGS = {
    "checkpoint": ".checkpoint.npz",
    "history": ".history.csv",
    "curves": ".curves.png",
    "confusion": ".confusion.png",
    "worst": ".worst.png",
}
"""Files beside the artifact, by what they hold."""


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(
        prog="python -m model.train",
        description="Train a net, turn it into integers, judge it on the test set, write its file.",
        epilog=EXAMPLES,
    )
    options.add_argument(
        "net", metavar="NET", type=described, help=f"{', '.join(nets.NETS)} or a .toml or .py file"
    )
    add_run_options(options)
    add_recipe_options(options)
    options.add_argument("--weight-bits", type=widths, metavar="BITS", help="8, or 8,conv1=4 by layer")
    options.add_argument("--activation-bits", type=widths, metavar="BITS", help="likewise; behind a layer")
    options.add_argument(
        "--scales", choices=SCALES, help="of weights: one for each output channel, or for all"
    )
    options.add_argument(
        "--qat-epochs", type=cli.natural, metavar="N", help="then train on N epochs with everything rounded"
    )
    options.add_argument(
        "--qat-optimiser", choices=sorted(OPTIMISERS), help="by this one (adam, whatever the recipe's)"
    )
    options.add_argument("--qat-rate", type=float, metavar="R", help="at this learning rate (its usual one)")
    return options


def parse(argv: list[str]) -> argparse.Namespace:
    """The command's options; of the files beside the artifact those that are to be written are `files`."""
    options = parser().parse_args(argv)
    if options.threads > MAX_THREADS:
        raise ValueError(f"--threads is at most {MAX_THREADS}, not {options.threads}")
    options.out = options.out or Path("build") / f"{options.net.name}.npz"
    options.weight_bits = options.weight_bits or options.net.weights
    options.activation_bits = options.activation_bits or options.net.activations
    options.tuning = tuning_of(options)
    options.files = beside(options.out, options.pictures)
    if options.resume and not options.files:
        raise ValueError(f"--resume: there is no checkpoint beside {options.out}")
    check_writable(options.out, options.json, *options.files.values())
    return options


def deciding(argv: list[str]) -> list[str]:
    """The arguments without those that leave the trained net the same, whatever they say.

    How the work was shared, cut short and gone on with, and where it is written to, decide nothing.
    """
    kept, values = [], 0
    for argument in argv:
        option, equals, _ = argument.partition("=")
        if values:
            values -= 1
        elif option in IDLE:
            values = 0 if equals else IDLE[option]
        else:
            kept.append(argument)
    return kept


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What data, what files, how fast: the options that are no part of a recipe."""
    parser.add_argument("--data", metavar="DIR", help=f"{dataset.FORMS}, in place of MNIST")
    parser.add_argument("--seed", type=cli.natural, default=0, metavar="S", help="of every random draw (0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="artifact to write (build/NET.npz)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--no-pictures", dest="pictures", action="store_false", help="write no PNG files")
    parser.add_argument("--threads", type=cli.positive, default=2, metavar="N", help="share the work (2)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint of the same command, if there is one"
    )
    parser.add_argument(
        "--save-every", type=seconds, default=10.0, metavar="SECONDS",
        help="write the checkpoint that often within an epoch (10); always after an epoch",
    )  # fmt: skip


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """What a recipe says."""
    parser = parser.add_argument_group("the recipe, where it is to be another than the net's own")
    parser.add_argument("--epochs", type=cli.positive, metavar="N", help="passes over the training images")
    parser.add_argument("--batch", type=cli.positive, metavar="N", help="images a step")
    parser.add_argument("--optimiser", choices=sorted(OPTIMISERS), help=" or ".join(sorted(OPTIMISERS)))
    usual = ", ".join(f"{kind.rate} for {name}" for name, kind in OPTIMISERS.items())
    parser.add_argument("--rate", type=float, metavar="R", help=f"peak of the learning rate (usual: {usual})")
    parser.add_argument("--momentum", type=float, metavar="M", help="share of a step kept; Adam's beta 1")
    parser.add_argument("--schedule", choices=sorted(SCHEDULES), help="how the rate goes on behind its peak")
    parser.add_argument("--warmup", type=float, metavar="W", help="share of the steps in which it rises")
    parser.add_argument(
        "--averaging", type=float, metavar="D", help="decay of the average of the weights; 0 for none"
    )
    parser.add_argument(
        "--augment", type=movements, metavar="HOW",
        help="move training images: none, or any of rotation=DEGREES, scale=, shear=, shift=PIXELS, and for"
        " elastic deformation strength=PIXELS, smoothness=PIXELS",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=cli.positive, metavar="N", help="stop after N epochs without better validation"
    )
    parser.add_argument("--loss", choices=sorted(LOSSES), help="what training makes small (cross-entropy)")
    parser.add_argument(
        "--penalty", type=float, metavar="L", help="add L times the norm of the weights to the loss (0)"
    )
    parser.add_argument("--norm", type=float, default=2, metavar="P", help="its p-norm, P from 1 (2)")


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The net's recipe with the user's changes."""
    recipe = options.net.recipe
    changes = {
        field.name: value
        for field in fields(Recipe)
        if (value := getattr(options, field.name, None)) is not None
    }
    if options.penalty is not None:
        changes["penalty"] = Penalty(options.penalty, options.norm)
    changes.update(changes.pop("augment", {}))
    # A rate that suits one optimiser is far off for another.
    if changes.get("optimiser", recipe.optimiser) != recipe.optimiser:
        changes.setdefault("rate", None)
    try:
        return replace(recipe, **changes)
    except ValueError as error:
        raise ValueError(f"--{error}") from None


def tuning_of(options: argparse.Namespace) -> Tuning:
    """The net's tuning with the user's changes."""
    given = {
        "epochs": options.qat_epochs,
        "optimiser": options.qat_optimiser,
        "rate": options.qat_rate,
        "scales": options.scales,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    try:
        return replace(options.net.tuning, **changes)
    except ValueError as error:
        raise ValueError(f"--qat-{error}") from None


def beside(out: Path, pictures: bool) -> dict[str, Path]:
    """The files beside an artifact, by the keys of `ENDINGS`; none where that is no proper file."""
    if special(out):
        return {}
    stem = out.name.removesuffix(".npz")
    return {
        key: out.with_name(stem + ending)
        for key, ending in ENDINGS.items()
        if pictures or not ending.endswith(".png")
    }


def seconds(text: str) -> float:
    """A time from zero."""
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 0")
    return value


def described(text: str) -> nets.Net:
    """`nets.load` with argparse's kind of error."""
    try:
        return nets.load(text)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def widths(text: str) -> Widths:
    """`Widths.parse` with argparse's kind of error."""
    try:
        return Widths.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def movements(text: str) -> dict[str, Affine | Elastic | None]:
    """The recipe's `augment` and `elastic` from text such as ``rotation=7,shift=1,strength=1``."""
    given: dict[str, float] = {}
    for part in text.split(",") if text != "none" else ():
        name, _, value = part.partition("=")
        try:
            given[name.strip()] = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{part!r} is no NAME=NUMBER (nor is all of it none)") from None
    result = {}
    for key, kind in (("augment", Affine), ("elastic", Elastic)):
        own = {field.name: given.pop(field.name) for field in fields(kind) if field.name in given}
        try:
            result[key] = kind(**own) if own else None
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    if given:
        known = ", ".join(field.name for kind in (Affine, Elastic) for field in fields(kind))
        raise argparse.ArgumentTypeError(f"unknown {min(given)!r}; there are {known}")
    return result
