"""``python -m benchmarks.widths``: what few bits cost without training for them, corrected and not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks.papers import PAPERS
from model import cli
from model.files import dataset
from model.files.dataset import Dataset
from model.files.whole import replacing
from model.golden.workers import blas
from model.net.network import Network
from model.quantisation.build import build
from model.quantisation.correction import corrected
from model.quantisation.fold import folded
from model.quantisation.scheme import SCALES, calibrate
from model.quantisation.widths import Widths
from model.train import CALIBRATION, VALIDATION
from model.training import nets
from model.training.loop import fit

NORMALISED = [str(Path(__file__).with_name(f"{name}.toml")) for name in ("ahead", "behind")]
"""Descriptions of nets with batch normalisation, which no shipped net has."""
BITS = [8, 6, 5, 4, 3]
EXAMPLES = """examples:
  python -m benchmarks.widths                           all nets, on MNIST, light paper and cloth
  python -m benchmarks.widths --net lenet --data paper --bits 4
  python -m benchmarks.widths --data my_images/ --floats floats/     nets are kept there for the next run

Data are "mnist", "paper" (MNIST, inverted), "cloth" (MNIST made like Fashion-MNIST) or a folder of IDX files.
"""


def main(argv: list[str]) -> None:
    """The command."""
    parser = cli.Parser(prog="python -m benchmarks.widths", description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "--net", nargs="+", default=[*nets.NETS, *NORMALISED], help="names of shipped nets, or files (all)"
    )
    parser.add_argument("--data", nargs="+", default=list(PAPERS), help="names or folders (all names)")
    parser.add_argument(
        "--bits", nargs="+", type=cli.positive, default=BITS, metavar="N", help="of weights and values"
    )
    parser.add_argument("--scales", choices=SCALES, default=SCALES[0], help="of weights: one a ... (channel)")
    parser.add_argument("--epochs", type=cli.positive, default=4, help="of each net's training (4)")
    parser.add_argument("--floats", metavar="DIR", help="take trained nets from here, and keep them here")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
    known = [nets.load(name) for name in options.net]
    widths = [Widths(bits) for bits in options.bits]
    rows = []
    with cli.progress() as progress:
        total = len(options.data) * len(known) * (options.epochs + len(widths))
        task = progress.add_task("widths", total=total, note="")
        for name in options.data:
            data = PAPERS[name]() if name in PAPERS else dataset.load(name)
            for net in known:
                done = progress.tasks[0].completed
                progress.update(task, note=f"{net.name} on {data.name}")
                network, images = trained(
                    net, data, options.epochs, options.floats,
                    lambda epochs: progress.update(task, completed=done + epochs),  # noqa: B023
                )  # fmt: skip
                progress.update(task, completed=done + options.epochs)
                for width in widths:
                    row = compared(network, images, width, options.scales, data)
                    rows.append({"data": data.name, "net": net.name} | row)
                    progress.advance(task)
    cli.console().print(table(rows, options.bits))
    cli.write_json(options.json, {"epochs": options.epochs, "scales": options.scales, "rows": rows})


def trained(
    net: nets.Net, data: Dataset, epochs: int, folder: str | None, report: Callable[[float], None]
) -> tuple[Network, np.ndarray]:
    """A net trained by its recipe for some epochs, normalisations folded, and images for calibration.

    From the folder if it is there, else it is written there.
    """
    rng = np.random.default_rng(0)
    network = net.network(data.in_shape, data.classes, rng)
    nets.check_classes(network, data.classes)
    order = rng.permutation(len(data.train_images))
    kept, learnt = np.split(order, [len(order) // VALIDATION])
    images = data.train_images[np.sort(learnt[:CALIBRATION])]
    path = Path(folder) / f"{data.name}-{net.name}-{epochs}.npy" if folder else None
    if path and path.exists():
        network = folded(network)
        try:
            vector = np.load(path, allow_pickle=False)
        except (ValueError, EOFError):
            raise ValueError(f"{path} is damaged: remove it, and the net is trained again") from None
        if vector.shape != network.vector.shape:
            raise ValueError(f"{path} holds the parameters of another net: name another folder, or remove it")
        network.vector[:] = vector
        return network, images
    validation = data.train_images[kept], data.train_labels[kept]
    try:
        with blas().limit(limits=1):
            fit(
                network, replace(net.recipe, epochs=epochs), data.train_images[learnt],
                data.train_labels[learnt], validation, rng,
                report=lambda count, loss, accuracy: report(count / len(learnt)),
            )  # fmt: skip
    except FloatingPointError as error:
        raise cli.Failure(f"training of net {net.name!r} on {data.name} failed: {error}") from None
    network = folded(network)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, "wb") as file:
            np.save(file, network.vector)
    return network, images


def compared(network: Network, images: np.ndarray, width: Widths, scales: str, data: Dataset) -> dict:
    """Shares of test images that floats, rounded integers and corrected ones classify right."""

    def right(net) -> float:
        return float(np.mean(net.classify(data.test_images) == data.test_labels))

    scheme = calibrate(network, images, width, width, scales)
    start = time.perf_counter()
    better = corrected(network, scheme, images)
    seconds = time.perf_counter() - start
    return {
        "bits": width.default,
        "float": right(network),
        "rounded": right(build(network, scheme)),
        "corrected": right(build(better, scheme)),
        "seconds": round(seconds, 3),
    }


def table(rows: list[dict], bits: list[int]) -> Table:
    """A line for each net on each data set: per cent right, rounded and corrected, by widths."""
    result = Table()
    for title in ("data", "net", "floats", *(f"{count} bits" for count in bits)):
        result.add_column(title, no_wrap=True, justify="left" if title in ("data", "net") else "right")
    for start in range(0, len(rows), len(bits)):
        part = rows[start : start + len(bits)]
        cells = [f"{100 * row['rounded']:.2f} > {100 * row['corrected']:.2f}" for row in part]
        result.add_row(part[0]["data"], part[0]["net"], f"{100 * part[0]['float']:.2f}", *cells)
    return result


if __name__ == "__main__":
    sys.exit(cli.run(main))
