"""``python -m model.train``: train a net, turn it into integers, judge it on the test set, write its file."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table

from model import artifact, cli, dataset
from model.dataset import Dataset
from model.files import check_writable
from model.losses import LOSSES, Penalty
from model.nets import NETS
from model.network import Network
from model.qnetwork import QNetwork
from model.quantise import quantise
from model.training import Epoch, Recipe, fit
from model.widths import Widths
from model.workers import MAX_THREADS

VALIDATION = 10
"""One image in so many is kept out of training, to see how it goes."""
CALIBRATION = 1024
"""Training images that the formats of the integers are chosen by."""
EXAMPLES = """\
examples:
  python -m model.train lenet                               build/lenet.npz from MNIST
  python -m model.train lecture --epochs 5 --seed 0
  python -m model.train lenet --data my_images/ --out my.npz  IDX files of your own, any size and classes
  python -m model.train lenet --weight-bits 6,conv1=8 --activation-bits 6
  python -m model.train lenet --loss rmse --penalty 0.001 --norm 1
"""


def main(argv: list[str]) -> None:
    """Run the command."""
    options = parse(argv)
    start = time.perf_counter()
    recipe = recipe_of(options)
    data = dataset.load(options.data)
    if len(data.train_images) < VALIDATION:
        raise ValueError(f"{options.data}: training needs at least {VALIDATION} images")
    rng = np.random.default_rng(options.seed)
    try:
        network = Network(NETS[options.net].layers(data.classes), data.in_shape, rng)
    except ValueError as error:
        raise ValueError(f"net {options.net!r} does not fit the images: {error}") from None
    options.weight_bits.check([layer.name for layer in network.layers if layer.weighted], "weights")
    options.activation_bits.check([layer.name for layer in network.layers], "activations")
    order = rng.permutation(len(data.train_images))
    held_out = len(order) // VALIDATION
    kept, learnt = order[:held_out], order[held_out:]
    try:
        history = train(network, recipe, data, learnt, kept, rng, options.threads)
    except FloatingPointError as error:
        raise cli.Failure(f"training of net {options.net!r} failed: {error}") from None
    seconds = time.perf_counter() - start
    metadata = {
        "command": shlex.join(["python", "-m", "model.train", *argv]),
        "seed": options.seed,
        "epochs": len(history),
        "dataset": data.name,
        "classes": [str(index) for index in range(data.classes)],
    }
    calibration = data.train_images[np.sort(learnt[:CALIBRATION])]
    net = quantise(network, calibration, options.weight_bits, options.activation_bits, options.net, metadata)
    net = judged(net, network, data)
    artifact.save(options.out, net)
    accuracy = net.metadata["accuracy"]
    rate = len(learnt) * len(history) / max(sum(epoch.seconds for epoch in history), 1e-9)
    validated = [epoch.validation for epoch in history]
    result = {
        "net": options.net,
        "params": network.params,
        "macs": network.macs,
        "epochs": len(history),
        "float_accuracy": accuracy["float"],
        "quantised_accuracy": accuracy["quantised"],
        "validation_accuracy": max(validated) if recipe.patience else validated[-1],
        "images_per_second": rate,
        "seconds": seconds,
    }
    cli.write_json(options.json, result)
    show(result, net, options.out)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command's options."""
    parser = cli.Parser(prog="python -m model.train", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("net", metavar="NET", choices=sorted(NETS), help=" or ".join(sorted(NETS)))
    parser.add_argument("--data", metavar="DIR", help="a folder of IDX files in place of MNIST")
    parser.add_argument("--epochs", type=positive, metavar="N", help="passes over the training images")
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="of every random draw (0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="artifact to write (build/NET.npz)")
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="share the work (2)")
    parser.add_argument(
        "--patience", type=positive, metavar="N", help="stop after N epochs without better validation"
    )
    parser.add_argument("--loss", choices=sorted(LOSSES), help="what training makes small (cross-entropy)")
    parser.add_argument(
        "--penalty", type=float, metavar="L", help="add L times the norm of the weights to the loss (0)"
    )
    parser.add_argument("--norm", type=float, default=2, metavar="P", help="its p-norm, P from 1 (2)")
    parser.add_argument(
        "--weight-bits", type=widths, default=Widths(), metavar="BITS", help="8, or 8,conv1=4 by layer"
    )
    parser.add_argument(
        "--activation-bits", type=widths, default=Widths(), metavar="BITS", help="likewise; behind a layer"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    options = parser.parse_args(argv)
    if options.threads > MAX_THREADS:
        raise ValueError(f"--threads is at most {MAX_THREADS}, not {options.threads}")
    options.out = options.out or Path("build") / f"{options.net}.npz"
    check_writable(options.out, options.json)
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The net's recipe with the user's changes."""
    changes = {
        "epochs": options.epochs,
        "loss": options.loss,
        "patience": options.patience,
        "penalty": Penalty(options.penalty, options.norm) if options.penalty is not None else None,
    }
    return replace(
        NETS[options.net].recipe, **{key: value for key, value in changes.items() if value is not None}
    )


def positive(text: str) -> int:
    """A whole number from one."""
    if natural(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return natural(text)


def natural(text: str) -> int:
    """A whole number from zero."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 999999999")
    return int(text)


def widths(text: str) -> Widths:
    """`Widths.parse` with argparse's kind of error."""
    try:
        return Widths.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def train(
    network: Network,
    recipe: Recipe,
    data: Dataset,
    learnt: np.ndarray,
    kept: np.ndarray,
    rng: np.random.Generator,
    threads: int,
) -> list[Epoch]:
    """Train with a progress bar; `learnt` and `kept` are indices of training and validation images."""
    with cli.progress() as progress:
        task = progress.add_task("training", total=recipe.epochs, note="")
        start = time.perf_counter()

        def report(images: int, loss: float, accuracy: float) -> None:
            rate = images / (time.perf_counter() - start)
            note = f"loss {loss:.3f}, {accuracy:.2%} right, {rate:,.0f} images/s"
            progress.update(task, completed=images / len(learnt), note=note)

        return fit(
            network,
            recipe,
            data.train_images[learnt],
            data.train_labels[learnt],
            (data.train_images[kept], data.train_labels[kept]),
            rng,
            threads,
            report,
        )


def judged(net: QNetwork, network: Network, data: Dataset) -> QNetwork:
    """The net with its accuracy on the test images in its metadata, and the float net's."""
    images, labels = data.test_images, data.test_labels
    correct = int(np.count_nonzero(net.classify(images) == labels))
    accuracy = {
        "float": int(np.count_nonzero(network.classify(images) == labels)) / len(images),
        "quantised": correct / len(images),
        "images": len(images),
        "correct": correct,
    }
    return replace(net, metadata={**net.metadata, "accuracy": accuracy})


def show(result: dict, net: QNetwork, out: Path) -> None:
    """Print the trained net and what it reached."""
    table = Table(title=f"{net.name}: {result['params']:,} parameters, {result['macs']:,} MACs")
    for column in ("layer", "kind", "output", "values", "weights"):
        table.add_column(column)
    for spec in net.specs:
        table.add_row(
            spec.name,
            spec.kind,
            dataset.by(spec.out_shape),
            str(spec.dst),
            str(getattr(spec, "weight_format", "")),
        )
    console = cli.console()
    console.print(table)
    images = net.metadata["accuracy"]["images"]
    console.print(
        f"{images:,} test images: {result['quantised_accuracy']:.2%} right in integers,"
        f" {result['float_accuracy']:.2%} in floats"
    )
    console.print(
        f"{result['epochs']} epochs, {result['seconds']:.0f} s,"
        f" {result['images_per_second']:,.0f} images/s; written to {out}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
