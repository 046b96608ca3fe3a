"""Fair comparisons: contestants take turns in one run, and what counts is the ratio within a round."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import numpy as np
from rich.table import Table

from model.golden.workers import blas

Contestant = tuple[Callable[[], object], float]
"""What to call, and for how many images that counts."""


def interleaved(
    contestants: Mapping[object, Contestant], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[object, np.ndarray]:
    """Seconds an image of each contestant in each round, after a round that does not count.

    Parameters
    ----------
    contestants : mapping
        By name.
    rounds : int
    clock : callable
        ``time.process_time`` counts the seconds of one process alone: what else the machine does takes its
        share of the time, but less of these.
    """
    seconds = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, (work, images) in contestants.items():
            begin = clock()
            work()
            seconds[name].append((clock() - begin) / images)
    return {name: np.array(values[1:]) for name, values in seconds.items()}


def comparison(net: str, ours: np.ndarray, against: str, theirs: np.ndarray) -> dict:
    """One row of a report, from seconds an image in each round."""
    ratios = theirs / ours
    return {
        "net": net,
        "against": against,
        "images_per_second": round(1 / float(np.median(ours))),
        "other_images_per_second": round(1 / float(np.median(theirs))),
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_quartiles": [round(float(q), 3) for q in np.quantile(ratios, (0.25, 0.75))],
        "rounds": len(ratios),
    }


def table(rows: list[dict], **more: Callable[[dict], str]) -> Table:
    """The rows to read, with more columns behind the usual ones, by their titles."""
    columns = {
        "net": lambda row: row["net"],
        "images/s": lambda row: f"{row['images_per_second']:,}",
        "against": lambda row: row["against"],
        "theirs": lambda row: f"{row['other_images_per_second']:,}",
        "ratio": lambda row: f"{row['ratio']:.2f}",
        "quartiles": lambda row: "{:.2f}-{:.2f}".format(*row["ratio_quartiles"]),
    } | {title.replace("_", " "): text for title, text in more.items()}
    result = Table()
    for title in columns:
        left = title in ("net", "against")
        result.add_column(title, no_wrap=True, justify="left" if left else "right")
    for row in rows:
        result.add_row(*(text(row) for text in columns.values()))
    return result


def kernels() -> str:
    """NumPy's BLAS and the processor it computes for, with what holds it to an older one."""
    found = next((one for one in blas().info() if one["user_api"] == "blas"), {})
    name = " ".join(filter(None, (found.get(key) for key in ("internal_api", "version", "architecture"))))
    forced = os.environ.get("OPENBLAS_CORETYPE")
    return f"{name} (as OPENBLAS_CORETYPE asks)" if forced else name
