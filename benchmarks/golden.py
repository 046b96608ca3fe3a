"""``python -m benchmarks.golden``: the golden model's images a second against others' of the same net."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info

from model import artifact, cli, dataset
from model.qnetwork import QNetwork
from tests import reference

BATCHES = (1, 8, 32, 128, 512, 2048)
"""Images that onnxruntime is given at once; the quickest counts."""
PLAIN = 200
"""Images that the plain int64 layers are measured with."""
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
    """A net's rows: against the plain int64 layers and against onnxruntime, all on one thread.

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
    seconds = interleaved(
        {
            "ours": (net.classify, images),
            "plain int64": (lambda some: reference.logits(net, some), few),
            "onnxruntime QDQ int8": (theirs, images),
        },
        rounds,
    )
    ours = seconds.pop("ours")
    rows = [row(net, other, ours, each) for other, each in seconds.items()]
    rows[0] |= {"agreeing": len(few), "images": len(few)}
    rows[1] |= {"agreeing": agreeing, "images": len(images), "batch": batch}
    return rows


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
    seconds = interleaved({batch: (at(batch), some) for batch in BATCHES}, 3)
    best = min(BATCHES, key=lambda batch: seconds[batch].min())
    return at(best), best


def interleaved(contestants: dict, rounds: int) -> dict:
    """Seconds an image of each contestant in each round, after a round that does not count."""
    seconds = {key: [] for key in contestants}
    for _ in range(rounds + 1):
        for key, (work, images) in contestants.items():
            begin = time.process_time()
            work(images)
            seconds[key].append((time.process_time() - begin) / len(images))
    return {key: np.array(values[1:]) for key, values in seconds.items()}


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
            f"{line['agreeing']:,} of {line['images']:,}",
        )
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
