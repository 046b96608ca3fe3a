"""``python -m model.classify``: show a trained net single pictures, in the integers of the hardware."""

from __future__ import annotations

import sys

import numpy as np
from rich.table import Table

from model import cli
from model.files import artifact, values
from model.files.image import read_image
from model.files.whole import check_writable
from model.golden.qnetwork import QNetwork

EXAMPLES = """\
examples:
  python -m model.classify lenet seven.png
  python -m model.classify build/lenet.npz --resize --invert photo1.jpg photo2.jpg    dark on light
"""
MIDDLE, MARGIN = 127.5, 32
"""Of grey levels, and how far a clearly light or dark picture's mean is from it."""
MNIST_MEAN = 33.3
"""Of its training images; nets that ship do not say it."""
SHOWN = 3
"""Pictures that a remark names."""


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m model.classify", description=__doc__, epilog=EXAMPLES)
    options.add_argument("net", metavar="NET", help="a shipped net's name, or an artifact's file")
    options.add_argument("pictures", metavar="PICTURE", nargs="+", help="PNG or JPEG files")
    options.add_argument("--invert", action="store_true", help="take black for white")
    options.add_argument(
        "--resize", action="store_true", help="scale pictures to the size that the net takes"
    )
    options.add_argument("--json", metavar="FILE", help="write classes and logits as JSON")
    options.add_argument(
        "--values", metavar="FILE", help="write the outputs, (N, H, W, C) integers, as NumPy's .npy"
    )
    return options


def main(argv: list[str]) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    check_writable(options.json, options.values)
    net = artifact.load(options.net)
    images = np.stack(
        [
            read_image(path, net.in_shape, invert=options.invert, resize=options.resize)
            for path in options.pictures
        ]
    )
    logits = net.logits(images)
    answers = [
        {"picture": path, "class": class_name(net, int(row.argmax())), "logits": row.tolist()}
        if net.classifies
        else {"picture": path, "values": row.tolist()}
        for path, row in zip(options.pictures, logits)
    ]
    if options.values:
        values.save(options.values, logits.reshape(-1, *net.out_shape))
    cli.write_json(options.json, {"net": net.name, "answers": answers})
    show(net, answers)
    other = [path for path, image in zip(options.pictures, images) if other_side(net, image)]
    if other:
        shown = ", ".join(other[:SHOWN]) + f" and {len(other) - SHOWN} more" * (len(other) > SHOWN)
        kinds = ("dark", "light") if mean_of(net) > MIDDLE else ("light", "dark")
        cli.remark(
            f"{shown}: {kinds[0]}{' as inverted' * options.invert}, where the net learnt {kinds[1]} images;"
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
