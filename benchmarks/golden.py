"""``python -m benchmarks.golden``: the golden model's images a second against others' of the same net."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import rounds
from model import cli
from model.files import artifact, dataset, levels
from model.golden.qnetwork import QNetwork
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
    parser.add_argument("--data", metavar="DIR", help=f"{dataset.TAKEN} to classify (MNIST)")
    parser.add_argument("--rounds", type=cli.positive, default=20, help="turns of each contestant (20)")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(argv)
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise ValueError("onnx or onnxruntime is missing: pip install -e '.[bench]'") from None
    del onnx, onnxruntime
    images = dataset.load_part("t10k", options.data).images
    rows = []
    with cli.progress() as progress:
        task = progress.add_task("classifying", total=len(options.net), note="")
        for net in map(artifact.load, options.net):
            progress.update(task, note=net.name)
            rows += compare(net, levels.for_net(images, net), options.rounds)
            progress.advance(task)
    console = cli.console()
    console.print(
        rounds.table(
            rows,
            batch=lambda row: str(row.get("batch", "")),
            same_answer=lambda row: "{:,} of {:,}".format(*row["same"]) if "same" in row else "",
        )
    )
    console.print(f"one thread; {rounds.kernels()}")
    cli.write_json(options.json, {"rows": rows, "blas": rounds.kernels()})


def compare(net: QNetwork, images: np.ndarray, count: int) -> list[dict]:
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
        seconds = rounds.interleaved(contestants, count, time.process_time)
    ours = seconds.pop("ours")
    rows = {other: rounds.comparison(net.name, ours, other, each) for other, each in seconds.items()}
    rows["plain int64"]["same"] = [len(few), len(few)]
    rows["onnxruntime QDQ int8"] |= {"same": [agreeing, len(images)], "batch": batch}
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
    turns = {batch: (partial(at(batch), some), len(some)) for batch in BATCHES}
    seconds = rounds.interleaved(turns, 3, time.process_time)
    best = min(BATCHES, key=lambda batch: seconds[batch].min())
    return at(best), best


if __name__ == "__main__":
    sys.exit(cli.run(main))
