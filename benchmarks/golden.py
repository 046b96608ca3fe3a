"""``python -m benchmarks.golden``: the golden model's images a second against others' of the same net."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info, threadpool_limits

from model import artifact, cli, dataset
from model.qnetwork import QNetwork
from tests import reference

BATCHES = (1, 8, 32, 128, 512, 2048)
"""Images that onnxruntime is given at once; the quickest counts."""
PLAIN = 200
"""Images that the plain int64 layers are measured with."""
SIDE = 512
"""Of the square matrices whose product shows the rate of BLAS."""
EXAMPLES = """examples:
  python -m benchmarks.golden                        every shipped net
  python -m benchmarks.golden --net lenet --rounds 50
"""


def main(argv: list[str]) -> None:
    """The command."""
    parser = cli.Parser(prog="python -m benchmarks.golden", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("--net", nargs="+", default=artifact.names(), help="shipped nets or artifacts (all)")
    parser.add_argument("--data", metavar="DIR", help="IDX files of images to classify (MNIST)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each contestant (20)")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, not {options.rounds}")
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise ValueError("onnx or onnxruntime is missing: pip install -e '.[bench]'") from None
    del onnx, onnxruntime
    images = dataset.load(options.data).test_images
    rows = []
    with cli.progress() as progress:
        task = progress.add_task("classifying", total=len(options.net), note="")
        for net in map(artifact.load, options.net):
            progress.update(task, note=net.name)
            rows += compare(net, images, options.rounds)
            progress.advance(task)
    Console().print(table(rows))
    cli.write_json(options.json, {"rows": rows})


def compare(net: QNetwork, images: np.ndarray, rounds: int) -> list[dict]:
    """A net's rows: against the plain int64 layers, onnxruntime, and its products alone, all on one thread.

    Raises
    ------
    Failure
        If the plain layers give other logits.
    """
    few = images[:PLAIN]
    if not np.array_equal(reference.logits(net, few), net.logits(few)):
        raise cli.Failure(f"net {net.name!r}: the plain int64 layers give other logits")
    theirs, batch = quickest(net, images)
    agreeing = int(np.count_nonzero(theirs(images).argmax(axis=1) == net.classify(images)))
    square = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    contestants = {
        "ours": (lambda: net.classify(images), len(images)),
        "plain int64": (lambda: reference.logits(net, few), len(few)),
        "onnxruntime QDQ int8": (lambda: theirs(images), len(images)),
        # As many images as have so many products.
        "its products in BLAS": (lambda: square @ square, SIDE**3 / net.macs),
    }
    with threadpool_limits(1):
        seconds = interleaved(contestants, rounds)
    ours = seconds.pop("ours")
    rows = {other: row(net, other, ours, each) for other, each in seconds.items()}
    rows["plain int64"]["same_class"] = [len(few), len(few)]
    rows["onnxruntime QDQ int8"] |= {"same_class": [agreeing, len(images)], "batch": batch}
    return list(rows.values())


def quickest(net: QNetwork, images: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """The net in onnxruntime at its best batch size: a function from images to logits, and the size."""
    import onnxruntime

    from benchmarks.qdq import model_of

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model_of(net).SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )

    def at(batch: int):
        def logits(images):
            pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            parts = (pixels[start : start + batch] for start in range(0, len(images), batch))
            return np.concatenate([session.run(None, {"images": part})[0] for part in parts])

        return logits

    some = images[: max(BATCHES)]
    seconds = interleaved({batch: (partial(at(batch), some), len(some)) for batch in BATCHES}, 3)
    best = min(BATCHES, key=lambda batch: seconds[batch].min())
    return at(best), best


def interleaved(contestants: dict, rounds: int) -> dict:
    """CPU seconds an image of each contestant in each round, after a round that does not count.

    What else the machine does takes its share of the time, but less of the CPU's seconds.

    Parameters
    ----------
    contestants : dict
        By name what to call, and for how many images that counts.
    rounds : int
    """
    seconds = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, (work, images) in contestants.items():
            begin = time.process_time()
            work()
            seconds[name].append((time.process_time() - begin) / images)
    return {name: np.array(values[1:]) for name, values in seconds.items()}


def row(net: QNetwork, other: str, ours: np.ndarray, theirs: np.ndarray) -> dict:
    """One comparison from seconds an image in each round."""
    ratios = theirs / ours
    return {
        "net": net.name,
        "against": other,
        "threads": 1,
        "images_per_second": round(1 / float(np.median(ours))),
        "other_images_per_second": round(1 / float(np.median(theirs))),
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_quartiles": [round(float(q), 3) for q in np.quantile(ratios, (0.25, 0.75))],
        "rounds": len(ratios),
        "blas": sorted({library.get("architecture", "") for library in threadpool_info()} - {""}),
    }


def table(rows: list[dict]) -> Table:
    """The rows to read."""
    table = Table("net", "images/s", "against", "images/s", "ratio", "quartiles", "batch", "same class")
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header in ("net", "against") else "right"
    for line in rows:
        table.add_row(
            line["net"],
            f"{line['images_per_second']:,}",
            line["against"],
            f"{line['other_images_per_second']:,}",
            f"{line['ratio']:.2f}",
            "{:.2f} to {:.2f}".format(*line["ratio_quartiles"]),
            str(line.get("batch", "")),
            "{:,} of {:,}".format(*line["same_class"]) if "same_class" in line else "",
        )
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
