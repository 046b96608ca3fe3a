"""The builds that the calibrated estimator is judged by: whole boards, none of them in the grid.

They were laid down before any of them was counted, and nothing in the estimate was changed after that.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.grid import Builder, Point
from hdl.planning.folding import SERIAL, WIRED, StagePlan
from hdl.planning.harden import wirable
from hdl.planning.search import Search
from model.files import artifact

MULTIPLIERS = (("tiny", 1), ("tiny", 31), ("lenet", 16), ("lenet", 40), ("lecture", 32), ("large", 4))
"""Shipped nets, and the most multipliers that the planner may use for them."""


def held_out() -> list[Point]:
    """All of them."""
    return [*planned(), *drawn()]


def planned() -> Iterator[Point]:
    """Shipped nets as the planner folds them, with weights of every kind."""
    for name, most in MULTIPLIERS:
        net = artifact.load(name)
        plan = Search(net).within(most)
        yield Point(f"{name}, {plan.multipliers} multipliers", net, plan, board=True)
    net = artifact.load("tiny")
    search = Search(net)
    yield Point("tiny, a pixel a cycle", net, search.plan(search.floor), board=True)
    for name, most in (("lenet", 12), ("tiny", 16)):
        net = artifact.load(name)
        plan = Search(net, shares=False).within(most).made_loadable(net)
        yield Point(f"{name}, {plan.multipliers} multipliers, loadable", net, plan, board=True)
    net = artifact.load("record")
    search = Search(net, wired=next(wirable(net, search.device, 1 << 16)))
    yield Point("record, one layer hard-wired, 8 multipliers", net, search.within(8), board=True)


def drawn() -> Iterator[Point]:
    """Nets of other shapes and widths."""
    net = Builder((18, 22, 3), 6).conv((3, 5), 6, StagePlan(45, 2), bits=6, to=5).pool("avg")
    yield net.dense(7, StagePlan(6, 1), bits=5).point("6 x 6 bits, average pooling", board=True)
    net = Builder((15, 15, 1), 5).conv(3, 5, StagePlan(9, 5, weights=WIRED), bits=3, to=3)
    net = net.conv(3, 10, StagePlan(45, 1, weights=SERIAL), bits=5, to=6).pool()
    yield net.dense(6, StagePlan(1, 1)).point("5 x 3 bits hard-wired, 3 x 5 bit by bit", board=True)
