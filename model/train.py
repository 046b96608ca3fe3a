"""``python -m model.train``: train a net, turn it into integers, judge it on the test set, write its file."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.table import Table

from model import cli
from model.files import artifact, dataset
from model.files.dataset import Dataset
from model.files.whole import clear
from model.golden.qnetwork import QNetwork
from model.golden.workers import blas
from model.net.chain import flow
from model.net.layer import Layer
from model.net.network import Network
from model.quantisation.build import build
from model.quantisation.fake import latent
from model.quantisation.fold import folded
from model.quantisation.scheme import calibrate, check_widths, left_out
from model.report import coarse_tables, gone, report, table, without
from model.training import pictures, remarks
from model.training.checkpoint import Checkpoint, Phase, digest
from model.training.history import Epoch, write_csv
from model.training.loop import fit
from model.training.nets import check_classes
from model.training.options import deciding, parse, parser, recipe_of
from model.training.recipe import Recipe
from model.training.tuning import tuned

__all__ = ["main", "parser"]

VALIDATION = 10
"""One image in so many is kept out of training, to see how it goes."""
LAST = 3
"""Epochs by which a training is judged."""
CALIBRATION = 1024
"""Training images that the formats of the integers are chosen by."""


def main(argv: list[str]) -> None:
    """Run the command."""
    options = parse(argv)
    # Products of chunks are too small for BLAS to share out, and sums may then depend on how it does.
    with blas().limit(limits=1):
        run(options, argv)


def run(options: argparse.Namespace, argv: list[str]) -> None:
    """Train, quantise, judge and write, as the options say; `argv` is noted in the artifact."""
    start = time.perf_counter()
    for path in (options.out, *options.files.values()):
        clear(path)
    recipe = recipe_of(options)
    with cli.counted("reading pictures") as tell:
        data = dataset.load(options.data, tell)
    if len(data.train_images) < VALIDATION:
        raise ValueError(f"{options.data}: training needs at least {VALIDATION} images")
    for text in remarks.of_data(data):
        cli.remark(text)
    rng = np.random.default_rng(options.seed)
    network = options.net.network(data.in_shape, data.classes, rng)
    bits = options.weight_bits, options.activation_bits
    check_classes(network, data.classes)
    check_widths(network, *bits)
    order = rng.permutation(len(data.train_images))
    held_out = len(order) // VALIDATION
    kept, learnt = order[:held_out], order[held_out:]
    checkpoint = checkpoint_of(options, recipe, network, data)

    def phase(name: str, network: Network, recipe: Recipe) -> list[Epoch]:
        part = checkpoint and checkpoint.phase(name)
        return train(name, network, recipe, data, learnt, kept, rng, options.threads, part)

    calibration = data.train_images[np.sort(learnt[:CALIBRATION])]
    try:
        history = phase("training", network, recipe)
        network = folded(network)
        scheme = calibrate(network, calibration, *bits, options.tuning.scales)
        fakes, tuning = tuned(network, scheme, options.tuning, recipe, partial(phase, "tuning"), calibration)
    except FloatingPointError as error:
        raise cli.Failure(f"training of net {options.net.name!r} failed: {error}") from None
    history += tuning
    seconds = time.perf_counter() - start
    metadata = {
        "command": shlex.join(["python", "-m", "model.train", *deciding(argv)]),
        "seed": options.seed,
        "epochs": len(history),
        "tuning_epochs": len(tuning),
        "dataset": data.name,
        "mean": round(float(data.train_images.mean()), 1),
        "classes": list(data.names),
    }
    if names := left_out(network, bits[1]):
        metadata["left_out"] = names
    rounded = latent(fakes)
    metadata["quantisation"] = report(rounded if tuning else network, rounded, scheme, calibration)
    net = build(rounded, scheme, options.net.name, metadata)
    net = judged(net, network, fakes, data)
    for text in doubts(net, history[: len(history) - len(tuning)], data.train_labels[kept], data):
        cli.remark(text)
    artifact.save(options.out, net)
    write_pictures(options.files, history, len(tuning), fakes, data, kept, net)
    accuracy = net.metadata["accuracy"]
    rate = len(learnt) * len(history) / max(sum(epoch.seconds for epoch in history), 1e-9)
    validated = [epoch.validation for epoch in history]
    result = {
        "net": options.net.name,
        "params": network.params,
        "macs": network.macs,
        "epochs": len(history),
        "float_accuracy": accuracy["float"],
        "quantised_accuracy": accuracy["quantised"],
        "fake_quantised_accuracy": accuracy["fake_quantised"],
        "validation_accuracy": max(validated[-len(tuning) :]) if recipe.patience else validated[-1],
        "images_per_second": rate,
        "seconds": seconds,
    }
    cli.write_json(options.json, result)
    if checkpoint:
        checkpoint.remove()
    show(result, net, options.out)


def train(
    name: str,
    network: Network,
    recipe: Recipe,
    data: Dataset,
    learnt: np.ndarray,
    kept: np.ndarray,
    rng: np.random.Generator,
    threads: int,
    checkpoint: Phase | None,
) -> list[Epoch]:
    """Train with a progress bar of a `name`; `learnt` and `kept` index training and validation images."""
    with cli.progress() as progress:
        task, begun, start = None, 0, time.perf_counter()

        def report(images: int, loss: float, accuracy: float) -> None:
            nonlocal task, begun
            done = images / len(learnt)
            if task is None:
                # Where a resumed training goes on, nothing was quick: the bar must not think so.
                begun = images - min(recipe.batch, len(learnt))
                task = progress.add_task(name, total=recipe.epochs, completed=done, note="")
            rate = (images - begun) / (time.perf_counter() - start)
            note = f"loss {loss:.3f}, {accuracy:.2%} right, {rate:,.0f} images/s"
            progress.update(task, completed=done, note=note)

        return fit(
            network,
            recipe,
            data.train_images[learnt],
            data.train_labels[learnt],
            (data.train_images[kept], data.train_labels[kept]),
            rng,
            threads,
            report,
            checkpoint,
        )


def checkpoint_of(
    options: argparse.Namespace, recipe: Recipe, network: Network, data: Dataset
) -> Checkpoint | None:
    """The run's checkpoint, with what it holds if the run is to be resumed; None if there is no place."""
    if not options.files:
        return None
    run = {
        "net": options.net.name,
        "layers": {layer.name: scalars(layer) for layer, _ in flow(network.layers)},
        "recipe": asdict(recipe),
        "data": digest([data.train_images, data.train_labels, data.test_images, data.test_labels]),
        "seed": options.seed,
        "dtype": np.dtype(network.dtype).name,
        "weight bits": str(options.weight_bits),
        "activation bits": str(options.activation_bits),
        "tuning": asdict(options.tuning),
    }
    checkpoint = Checkpoint(options.files["checkpoint"], run, options.save_every)
    there = checkpoint.path.exists()
    if options.resume and there:
        checkpoint.load()
    elif options.resume:
        print(f"no {checkpoint.path} to resume from: training begins", file=sys.stderr)
    elif there:
        print(f"{checkpoint.path} of a run cut short is replaced (--resume goes on)", file=sys.stderr)
    return checkpoint


def scalars(layer: Layer) -> dict:
    """What a layer was made with, as far as it is simple."""
    return {key: value for key, value in vars(layer).items() if isinstance(value, (int, float, str))}


def write_pictures(
    files: dict[str, Path],
    history: list[Epoch],
    tuning: int,
    fakes: Network,
    data: Dataset,
    kept: np.ndarray,
    net: QNetwork,
) -> None:
    """The history, and the pictures of it and of the validation images, as far as `files` has them.

    The last `tuning` epochs were quantisation-aware; `fakes` gives the very outputs of `net` as floats.
    """
    if "history" in files:
        write_csv(files["history"], history)
    if "curves" in files:
        images, labels = data.train_images[kept], data.train_labels[kept]
        logits, names = fakes.logits(images, fakes.deciding), net.metadata["classes"]
        matrix = pictures.confusion_matrix(labels, logits.argmax(axis=1), data.classes)
        title = f"{net.name} on {data.name}"
        what = f"{len(images):,} validation images, in integers"
        pictures.curves(files["curves"], history, title, tuning)
        pictures.confusion(files["confusion"], matrix, names, f"{title}: {what}")
        pictures.worst(files["worst"], images, labels, logits, names, f"{title}: the worst of {what}")


def judged(net: QNetwork, network: Network, fakes: Network, data: Dataset) -> QNetwork:
    """The net with its accuracy on the test images in its metadata, and that of its float and fake nets."""
    images, labels = data.test_images, data.test_labels
    right = [int(np.count_nonzero(other.classify(images) == labels)) for other in (network, fakes, net)]
    correct = right[-1]
    accuracy = {
        "float": right[0] / len(images),
        "fake_quantised": right[1] / len(images),
        "quantised": correct / len(images),
        "images": len(images),
        "correct": correct,
    }
    return replace(net, metadata={**net.metadata, "accuracy": accuracy})


def doubts(net: QNetwork, history: list[Epoch], validation: np.ndarray, data: Dataset) -> list[str]:
    """What is to be said of a float training that came to nothing, or of integers that lost its result."""
    lost = remarks.of_training(
        max(epoch.validation for epoch in history[-LAST:]), validation, net.name,
        "validation images", "it has diverged or hardly begun: try another --rate or --loss",
    )  # fmt: skip
    return lost or remarks.of_training(
        net.metadata["accuracy"]["quantised"], data.test_labels, f"{net.name} in integers",
        "test images", "try more bits, or --qat-epochs",
    )  # fmt: skip


def show(result: dict, net: QNetwork, out: Path) -> None:
    """Print the trained net and what it reached."""
    images = dataset.by(net.in_shape)
    shapes = Table(
        title=f"{net.name}: images of {images}, {result['params']:,} parameters, {result['macs']:,} MACs"
    )
    for column in ("layer", "kind", "output", "values", "weights"):
        shapes.add_column(column)
    for spec in net.specs:
        shapes.add_row(
            spec.name,
            spec.kind,
            dataset.by(spec.out_shape),
            str(spec.dst),
            str(getattr(spec, "weight_format", "")),
        )
    console = cli.console()
    console.print(shapes)
    rows = net.metadata["quantisation"]
    console.print(table(rows))
    for line in coarse_tables({row["layer"]: row for row in rows}):
        console.print(line, soft_wrap=True)
    if names := gone(net.metadata):
        console.print(without(names), soft_wrap=True)
    images = net.metadata["accuracy"]["images"]
    console.print(
        f"{images:,} test images: {result['quantised_accuracy']:.2%} right in integers,"
        f" {result['fake_quantised_accuracy']:.2%} fake-quantised, {result['float_accuracy']:.2%} in floats"
    )
    console.print(
        f"{result['epochs']} epochs, {result['seconds']:.0f} s,"
        f" {result['images_per_second']:,.0f} images/s; written to {out}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
