"""``python -m benchmarks.train``: a step of training against PyTorch's, and two threads against one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from rich.table import Table

from model import cli
from model.learner import Learner
from model.losses import LOSSES
from model.nets import NETS
from model.network import Network
from model.optim import Momentum
from model.recipe import Recipe
from model.team import Team

SHAPE, CLASSES = (28, 28, 1), 10
RATE, MOMENTUM = 0.01, 0.9
STEPS = 5
"""Of each contestant in a turn."""
TOLERANCE = 1e-4
"""Largest difference between the losses, and between the gradients, as a share of their size."""
EXAMPLES = """examples:
  python -m benchmarks.train                         four nets, batches of 128 and 64, one thread
  python -m benchmarks.train --net lenet --batch 128 --threads 2
  python -m benchmarks.train --compile               torch.compile too (it needs a C++ compiler)
"""


def main(argv: list[str]) -> None:
    """The command."""
    parser = cli.Parser(prog="python -m benchmarks.train", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("--net", nargs="+", choices=NETS, default=list(NETS), help="(all)")
    parser.add_argument("--batch", nargs="+", type=int, default=[128, 64], metavar="N", help="(128 64)")
    parser.add_argument("--threads", type=int, default=1, help="of both, where they are compared (1)")
    parser.add_argument("--rounds", type=int, default=100, help="turns of each contestant (100)")
    parser.add_argument("--compile", action="store_true", help="let torch.compile take part")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
    if min(*options.batch, options.rounds, options.threads) < 1:
        raise ValueError("--batch, --threads and --rounds must be at least 1")
    try:
        import torch
    except ImportError:
        raise ValueError("PyTorch is missing: pip install -e '.[bench]'") from None
    torch.set_num_threads(options.threads)
    points = [(batch, name) for batch in options.batch for name in options.net]
    rows = []
    with cli.progress() as progress:
        task = progress.add_task("training", total=2 * len(points), note="")
        for batch, name in points:
            for measure in (scaling, against_pytorch):
                progress.update(task, note=f"{name}, batch {batch}")
                rows.append(measure(name, batch, options))
                progress.advance(task)
    cli.console().print(table(rows))
    cli.write_json(options.json, {"rows": rows})


def problem(name: str, batch: int) -> tuple[Network, np.ndarray, np.ndarray]:
    """A new net, and images and labels to learn: noise, as the speed does not depend on them."""
    rng = np.random.default_rng(0)
    network = NETS[name].network(SHAPE, CLASSES, rng)
    return network, rng.integers(0, 256, (batch, *SHAPE), np.uint8), rng.integers(0, CLASSES, batch)


@contextmanager
def stepper(network: Network, images, labels, threads: int) -> Iterator[Callable[[], None]]:
    """A function that does one step of ours: pixels to floats, forward, backward, update."""
    recipe, batch = Recipe(epochs=1, batch=len(images)), np.arange(len(images))
    learner = Learner(network, recipe, images, labels, (images, labels))
    optimiser = Momentum(network.vector, MOMENTUM)

    def step():
        _, _, gradient = learner.batch_gradient(team, batch, None, 0)
        optimiser.step(gradient, RATE)

    with Team.of(network, learner.works, threads) as team:
        yield step


def scaling(name: str, batch: int, options) -> dict:
    """Our images a second on two threads against those on one."""
    learning = problem(name, batch)
    with stepper(*learning, 1) as one, stepper(*learning, 2) as two:
        seconds = interleaved({1: one, 2: two}, options.rounds)
    # Of the fastest rounds: where another program has one of two cores, threads show nothing.
    best = {count: np.sort(values)[: -(-len(values) // 10)] for count, values in seconds.items()}
    return row(name, batch, 2, "ours, 1 thread", best[2], best[1])


def against_pytorch(name: str, batch: int, options) -> dict:
    """Our images a second against those of PyTorch at the fastest of its ways."""
    from benchmarks.pytorch import LAYOUTS, Twin

    network, images, labels = problem(name, batch)
    twins = {layout: Twin(network, images, labels, layout) for layout in LAYOUTS}
    if options.compile:
        twins |= {f"{layout} compiled": Twin(network, images, labels, layout, True) for layout in LAYOUTS}
    for way, twin in twins.items():
        check(network, images, labels, twin.gradient(), f"{name} in PyTorch ({way})")
    steps = {way: twin.stepper(RATE, MOMENTUM) for way, twin in twins.items()}
    with stepper(network, images, labels, options.threads) as ours:
        seconds = interleaved(steps | {"ours": ours}, options.rounds)
    ours = seconds.pop("ours")
    best = min(seconds, key=lambda way: np.median(seconds[way]))
    return row(name, batch, options.threads, f"torch {best}", ours, seconds[best])


def check(network: Network, images, labels, other: tuple[float, np.ndarray], what: str) -> None:
    """Fail if another loss and gradient of the batch are not ours."""
    loss, _, gradient = network.gradient(images, labels, LOSSES["cross-entropy"], network.new_caches())
    ours = np.append(gradient, loss) / len(images)
    error = np.abs(ours - np.append(other[1], other[0])).max() / np.abs(ours).max()
    if not error < TOLERANCE:
        raise cli.Failure(f"{what} computes another loss or gradient: they differ by {error:.1e}")


def interleaved(steps: dict, rounds: int) -> dict:
    """Seconds of one step of each contestant in each round, after a round that does not count."""
    seconds = {key: [] for key in steps}
    for _ in range(rounds + 1):
        for key, step in steps.items():
            begin = time.perf_counter()
            for _ in range(STEPS):
                step()
            seconds[key].append((time.perf_counter() - begin) / STEPS)
    return {key: np.array(values[1:]) for key, values in seconds.items()}


def row(name: str, batch: int, threads: int, other: str, ours: np.ndarray, theirs: np.ndarray) -> dict:
    """One comparison from seconds a step in each round."""
    ratios = theirs / ours
    return {
        "net": name,
        "batch": batch,
        "threads": threads,
        "against": other,
        "images_per_second": round(batch / float(np.median(ours))),
        "other_images_per_second": round(batch / float(np.median(theirs))),
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_quartiles": [round(float(q), 3) for q in np.quantile(ratios, (0.25, 0.75))],
        "rounds": len(ratios),
    }


def table(rows: list[dict]) -> Table:
    """The rows to read."""
    table = Table("net", "batch", "img/s", "against", "img/s", "ratio", "quartiles")
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header in ("net", "against") else "right"
    for line in rows:
        table.add_row(
            line["net"],
            str(line["batch"]),
            f"{line['images_per_second']:,}",
            line["against"],
            f"{line['other_images_per_second']:,}",
            f"{line['ratio']:.2f}",
            "{:.2f}-{:.2f}".format(*line["ratio_quartiles"]),
        )
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
