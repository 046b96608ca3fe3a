"""``python -m model.classify``: show a trained net pictures or a test set, in the hardware's integers."""

from __future__ import annotations

import functools
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
from rich.table import Table

from model import cli
from model.files import artifact, dataset, levels, values
from model.files.image import read_image
from model.files.listing import several
from model.files.whole import check_writable
from model.golden.qnetwork import QNetwork

EXAMPLES = """\
examples:
  python -m model.classify lenet seven.png
  python -m model.classify build/lenet.npz --resize --invert photo1.jpg photo2.jpg    dark on light
  python -m model.classify build/my_net.npz --data cifar10/         a test set, and how much of it is right
  python -m model.classify build/my_net.npz --data features.npz     rows of numbers, with labels or without
"""
MIDDLE, MARGIN = 127.5, 32
"""Of grey levels, and how far a clearly light or dark picture's mean is from it."""
MNIST_MEAN = 33.3
"""Of its training images; nets that ship do not say it."""
SHOWN = 3
"""Pictures that a remark names."""
ROWS = 20
"""Answers to a test set that are printed."""


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m model.classify", description=__doc__, epilog=EXAMPLES)
    options.add_argument("net", metavar="NET", help="a shipped net's name, or an artifact's file")
    options.add_argument("pictures", metavar="PICTURE", nargs="*", help="PNG or JPEG files")
    options.add_argument("--data", metavar="DIR", help=f"the test set in {dataset.TAKEN}")
    options.add_argument("--invert", action="store_true", help="take black for white")
    options.add_argument(
        "--resize", action="store_true", help="scale pictures to the size that the net takes"
    )
    options.add_argument("--json", metavar="FILE", help="write classes and logits as JSON")
    options.add_argument(
        "--values", metavar="FILE", help="write the outputs, (N, H, W, C) integers, as NumPy's .npy"
    )
    return options


def parse(argv: list[str]) -> Namespace:
    """The options; a folder or an .npz in place of pictures is a test set."""
    known = parser()
    options = known.parse_args(argv)
    if options.data is None and len(options.pictures) == 1 and is_set(options.pictures[0]):
        options.data = options.pictures.pop()
    if bool(options.pictures) == (options.data is not None):
        known.error("name a PICTURE or more, or a test set with --data")
    if options.data is not None and (options.invert or options.resize):
        known.error("--invert and --resize are for pictures, and --data is a test set")
    check_writable(options.json, options.values)
    return options


def is_set(path: str) -> bool:
    """Whether something is a test set rather than a picture."""
    return Path(path).is_dir() or Path(path).suffix.lower() == ".npz"


def main(argv: list[str]) -> None:
    """Run the command."""
    options = parse(argv)
    net = artifact.load(options.net)
    single = options.data is None
    images, names, labels = (pictures if single else test_set)(options, net)
    logits = net.logits(levels.for_net(images, net))
    answers = [
        {"picture": name, "class": class_name(net, int(row.argmax())), "logits": row.tolist()}
        if net.classifies
        else {"picture": name, "values": row.tolist()}
        for name, row in zip(names, logits)
    ]
    if options.values:
        values.save(options.values, logits.reshape(-1, *net.out_shape))
    result = {"net": net.name, "answers": answers}
    if labels is not None:
        for answer, label in zip(answers, labels):
            answer["label"] = class_name(net, int(label))
        right = int((logits.argmax(axis=1) == labels).sum())
        result |= {"images": len(images), "right": right, "accuracy": right / len(images)}
    cli.write_json(options.json, result)
    shown = answers if single else answers[:ROWS]
    show(net, shown)
    if len(shown) < len(answers):
        cli.console().print(f"and {len(answers) - len(shown):,} more; --json FILE has all of them")
    if labels is not None:
        cli.console().print(f"right: {right:,} of {len(images):,}, {right / len(images):.2%}")
    if single:
        remark_on(options, net, images)


def pictures(options: Namespace, net: QNetwork) -> tuple[np.ndarray, list[str], None]:
    """Pictures, their names, and no labels."""
    read = functools.partial(read_image, shape=net.in_shape, invert=options.invert, resize=options.resize)
    return np.stack([read(path) for path in options.pictures]), options.pictures, None


def test_set(options: Namespace, net: QNetwork) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """Images, their names, and labels as the net counts them, if there are any and it classifies."""
    with cli.counted("reading pictures") as tell:
        part = dataset.load_part("t10k", options.data, tell)
    names = [f"test image {index}" for index in range(len(part.images))]
    if part.labels is None or not net.classifies:
        return part.images, names, None
    return part.images, names, part.labelled(net.metadata.get("classes"), options.data)


def remark_on(options: Namespace, net: QNetwork, images: np.ndarray) -> None:
    """Say which pictures do not look like those that the net learnt."""
    other = [path for path, image in zip(options.pictures, images) if other_side(net, image)]
    if other:
        kinds = ("dark", "light") if mean_of(net) > MIDDLE else ("light", "dark")
        seen = f"{kinds[0]}{' as inverted' * options.invert}"
        cli.remark(
            f"{several(other, SHOWN)}: {seen}, where the net learnt {kinds[1]} images;"
            f" {'leave out --invert' if options.invert else 'try --invert'}"
        )


def mean_of(net: QNetwork) -> float:
    """The mean grey level of the images that a net learnt; the middle if its artifact does not say it."""
    mean = net.metadata.get("mean", MNIST_MEAN if net.metadata.get("dataset") == "MNIST" else None)
    return mean if type(mean) in (int, float) else MIDDLE


def other_side(net: QNetwork, image: np.ndarray) -> bool:
    """Whether an image is clearly light where a net learnt dark ones, or the other way round."""
    learnt, mean = mean_of(net) - MIDDLE, image.mean() - MIDDLE
    return learnt * mean < 0 and min(abs(learnt), abs(mean)) > MARGIN


def class_name(net: QNetwork, index: int) -> str:
    """What a class is called: its number if the artifact says nothing."""
    names = net.metadata.get("classes")
    return str(names[index]) if isinstance(names, list) and index < len(names) else str(index)


def show(net: QNetwork, answers: list[dict]) -> None:
    """Print each picture's class, and the runner-up with how far the two are apart; or the ends of values."""
    table = Table(title=f"net {net.name}")
    if not net.classifies:
        for column in ("picture", "values", *values.ENDS):
            table.add_column(column)
        for answer in answers:
            found = values.ends(answer["values"], net.output_format)
            table.add_row(answer["picture"], f"{net.outputs:,}", *found)
        cli.console().print(table)
        return
    for column in ("picture", "class", "next", "logits apart"):
        table.add_column(column)
    for answer in answers:
        first, second = np.argsort(-np.array(answer["logits"]), kind="stable")[[0, 1 % net.outputs]]
        apart = net.output_format.real(answer["logits"][first] - answer["logits"][second])
        table.add_row(answer["picture"], answer["class"], class_name(net, int(second)), f"{apart:.2f}")
    cli.console().print(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
