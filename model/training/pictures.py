"""Pictures of a training: learning curves, confusion matrix, and the images that are classified worst."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model.files.whole import replacing
from model.training.history import Epoch

MAX_NAME = 18
"""Letters of a class's name that a picture shows."""
WORST = 20
"""Images on the picture of the worst."""
MAX_COUNTS = 30
"""Classes up to which the confusion matrix has its counts written in; more are too small to read."""
LETTERS = 6, 9
"""Smallest and largest height of the letters of its names, points."""
MATRIX = 0.7
"""Share of the picture's height that it takes at least."""


@contextlib.contextmanager
def figure(path: Path, width: float, height: float) -> Iterator:
    """An empty Matplotlib figure that is written to a PNG file; sizes in inches."""
    # Here and not above: it takes a second, and only pictures need it.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    new = Figure(figsize=(width, height), dpi=110, layout="constrained")
    yield new
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters of users' names that the font lacks
        FigureCanvasAgg(new).print_png(png)
    with replacing(path) as file:
        file.write(png.getvalue())


def curves(path: Path, history: Sequence[Epoch], title: str, tuning: int = 0) -> None:
    """Loss, accuracies and learning rate by epoch; the last `tuning` epochs were quantisation-aware."""
    epochs = np.arange(1, len(history) + 1)
    # A line of one point would not be seen.
    style = {"marker": "o", "markersize": 3} if len(history) <= 30 else {}
    with figure(path, 8, 7.5) as drawing:
        drawing.suptitle(title, parse_math=False)
        loss, wrong, rate = drawing.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
        loss.plot(epochs, [epoch.loss for epoch in history], label="training images", **style)
        loss.set_ylabel("mean loss")
        for name, label in (("accuracy", "training images"), ("validation", "validation images")):
            share = [100 * (1 - getattr(epoch, name)) for epoch in history]
            wrong.plot(epochs, share, label=label, **style)
        wrong.set_ylabel("wrong, %")
        rate.plot(epochs, [epoch.rate for epoch in history], color="tab:grey", **style)
        rate.set_ylabel("learning rate")
        note = "training images as they were met, moved; validation by the averaged net"
        rounded = "\nbehind the dotted line everything is rounded as in integers" if tuning else ""
        rate.set_xlabel(f"epoch ({note}){rounded}")
        rate.set_xlim(0.5, len(history) + 0.5)
        rate.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if tuning:
            for axes in (loss, wrong, rate):
                axes.axvline(len(history) - tuning + 0.5, color="black", linestyle=":", linewidth=1)
        for axes in (loss, wrong):
            axes.legend(loc="upper right")
        for axes in (loss, wrong, rate):
            axes.grid(alpha=0.3)
            axes.set_ylim(0, 1.08 * axes.dataLim.y1 or 1)


def confusion_matrix(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class (rows) were given each answer (columns): (classes, classes) int."""
    return np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)


def confusion(path: Path, matrix: np.ndarray, names: Sequence[str], title: str) -> None:
    """A confusion matrix, coloured by the share of the class.

    Parameters
    ----------
    matrix : ndarray of int, (classes, classes)
        From `confusion_matrix`.
    names : sequence of str
        Of the classes.
    """
    classes, names = len(matrix), [shortened(name) for name in names]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = min(max(5.0, 0.48 * classes), 13.0) + 0.1 * max(map(len, names))
    room = 72 * MATRIX * size / classes / 1.25  # points that a line of letters has, with some air
    small = min(max(room, LETTERS[0]), LETTERS[1])
    step = math.ceil(small / room)  # of many classes some have their names
    named, shown = range(0, classes, step), names[::step]
    with figure(path, size + 0.8, size) as drawing:
        axes = drawing.subplots()
        # The root lets single mistakes be seen beside a diagonal of hundreds.
        picture = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
        bar = drawing.colorbar(picture, shrink=0.8, ticks=np.sqrt([0, 0.01, 0.05, 0.2, 0.5, 1]))
        bar.ax.set_yticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"])
        bar.set_label("share of the class")
        long = max(map(len, names)) > 2
        axes.set_xticks(named, shown, fontsize=small, rotation=90 if long else 0, parse_math=False)
        axes.set_yticks(named, shown, fontsize=small, parse_math=False)
        axes.set_xlabel("answer")
        axes.set_ylabel("label")
        right = int(np.trace(matrix))
        axes.set_title(
            f"{title}\n{right:,} of {matrix.sum():,} right ({right / max(matrix.sum(), 1):.2%})",
            fontsize=10,
            parse_math=False,
        )
        if classes <= MAX_COUNTS:
            for row, column in zip(*np.nonzero(matrix)):
                colour = "white" if shares[row, column] > 0.3 else "black"
                font = {"fontsize": min(small, 8), "color": colour}
                axes.text(column, row, str(matrix[row, column]), ha="center", va="center", **font)


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far each label's output lies above the largest other one, below zero where that wins: (N,)."""
    rows = np.arange(len(labels))
    others = logits.astype(np.float64)
    others[rows, labels] = -np.inf
    return logits[rows, labels] - others.max(axis=1)


def worst(
    path: Path, images: np.ndarray, labels: np.ndarray, logits: np.ndarray, names: Sequence[str], title: str
) -> None:
    """The images whose labels lie farthest below another answer, the worst first.

    Parameters
    ----------
    images : ndarray of uint8, (N, H, W, C)
        Grey or colour; of other numbers of channels the mean is shown.
    labels : ndarray of int, (N,)
    logits : ndarray, (N, classes)
    names : sequence of str
        Of the classes.
    """
    distance = margins(logits, labels)
    chosen = np.argsort(distance, kind="stable")[:WORST]
    answers = logits.argmax(axis=1)
    columns = min(5, len(chosen))
    rows = -(-len(chosen) // columns)
    with figure(path, max(1.8 * columns, 6), 2.15 * rows + 0.9) as drawing:
        drawing.suptitle(title, parse_math=False, fontsize=11)
        drawing.supxlabel("numbers: how far the label's output lies above the largest other one", fontsize=8)
        grid = drawing.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.axis("off")
        for axes, index in zip(grid, chosen):
            axes.imshow(displayed(images[index]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            label, answer = shortened(names[labels[index]]), shortened(names[answers[index]])
            text = f"{label}, right" if labels[index] == answers[index] else f"{label}, taken for {answer}"
            text = f"{textwrap.fill(text, 22)}\n{distance[index]:+.2f}"
            axes.set_title(text, fontsize=8, parse_math=False)


def displayed(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as Matplotlib takes it: H x W, or H x W x 3."""
    return image if image.shape[2] == 3 else image.mean(axis=2)


def shortened(name: str) -> str:
    """A class's name on one line, the middle left out where it is long."""
    name = " ".join(name.split()) or "?"
    # Both ends stay: names often differ in the last letters alone.
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 9]}...{name[-6:]}"
