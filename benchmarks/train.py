"""``python -m benchmarks.train``: a step of training against PyTorch's, and two threads against one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np

from benchmarks import rounds
from model import cli
from model.net.losses import LOSSES
from model.net.network import Network
from model.training.learner import Learner
from model.training.nets import NETS
from model.training.optim import Momentum
from model.training.recipe import Recipe
from model.training.team import Team

SHAPE, CLASSES = (28, 28, 1), 10
RATE, MOMENTUM = 0.01, 0.9
STEPS = 20
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
    parser.add_argument(
        "--batch", nargs="+", type=cli.positive, default=[128, 64], metavar="N", help="(128 64)"
    )
    parser.add_argument(
        "--threads", type=cli.positive, default=1, help="of both, where they are compared (1)"
    )
    parser.add_argument("--rounds", type=cli.positive, default=30, help="turns of each contestant (30)")
    parser.add_argument("--compile", action="store_true", help="let torch.compile take part")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
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
    libraries = {"torch": torch.__version__, "numpy": np.__version__, "blas": rounds.kernels()}
    console = cli.console()
    console.print(rounds.table(rows, batch=lambda row: str(row["batch"])))
    console.print(", ".join(f"{name} {version}" for name, version in libraries.items()), soft_wrap=True)
    cli.write_json(options.json, {"rows": rows} | libraries)


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
        seconds = turns({1: one, 2: two}, batch, options.rounds)
    # Of the fastest rounds: where another program has one of two cores, threads show nothing.
    best = {count: np.sort(values)[: -(-len(values) // 10)] for count, values in seconds.items()}
    return rounds.comparison(name, best[2], "ours, 1 thread", best[1]) | {"batch": batch, "threads": 2}


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
        seconds = turns(steps | {"ours": ours}, batch, options.rounds)
    ours = seconds.pop("ours")
    best = min(seconds, key=lambda way: np.median(seconds[way]))
    row = rounds.comparison(name, ours, f"torch {best}", seconds[best])
    return row | {"batch": batch, "threads": options.threads}


def turns(steps: Mapping[object, Callable[[], None]], batch: int, count: int) -> dict[object, np.ndarray]:
    """Seconds an image of each contestant in each round: `STEPS` steps a turn."""

    def several(step):
        for _ in range(STEPS):
            step()

    contestants = {way: (partial(several, step), STEPS * batch) for way, step in steps.items()}
    return rounds.interleaved(contestants, count)


def check(network: Network, images, labels, other: tuple[float, np.ndarray], what: str) -> None:
    """Fail if another loss and gradient of the batch are not ours."""
    loss, _, gradient = network.gradient(images, labels, LOSSES["cross-entropy"], network.new_caches())
    ours = np.append(gradient, loss) / len(images)
    error = np.abs(ours - np.append(other[1], other[0])).max() / np.abs(ours).max()
    if not error < TOLERANCE:
        raise cli.Failure(f"{what} computes another loss or gradient: they differ by {error:.1e}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
