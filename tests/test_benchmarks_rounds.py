"""How rounds become a ratio."""

import numpy as np

from benchmarks.rounds import comparison, interleaved, table


def test_contestants_take_turns():
    turns, now = [], [0.0]

    def work(name, seconds):
        turns.append(name)
        now[0] += seconds

    contestants = {"a": (lambda: work("a", 2), 10), "b": (lambda: work("b", 3), 20)}
    seconds = interleaved(contestants, 2, lambda: now[0])
    assert turns == ["a", "b"] * 3
    assert {name: values.tolist() for name, values in seconds.items()} == {"a": [0.2] * 2, "b": [0.15] * 2}


def test_the_ratio_is_the_median_of_the_rounds():
    ours, theirs = np.array([1e-3, 2e-3, 1e-3]), np.array([2e-3, 8e-3, 5e-3])
    row = comparison("lenet", ours, "them", theirs)
    assert (row["images_per_second"], row["other_images_per_second"], row["ratio"]) == (1000, 200, 4)
    assert (row["net"], row["against"], row["rounds"]) == ("lenet", "them", 3)
    # not the ratio of the medians, 5
    assert row["ratio_quartiles"] == [3, 4.5]
    assert [column.header for column in table([row], batch=lambda row: "7").columns][-1] == "batch"
