"""The builds that the calibrated estimator is judged by: whole boards, none of them in the grid.

They were laid down before any of them was counted. Twelve others came before them: those showed that the
estimate took products with a wide factor and ROMs of many words for something else than synthesis does. Once
that was mended they were no longer unseen, and these took their place.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.grid import Builder, Point
from hdl.folding.stage import SERIAL, WIRED, StagePlan
from hdl.planning.harden import wirable
from hdl.planning.search import Search
from model.files import artifact

MULTIPLIERS = (("tiny", 6), ("lenet", 24), ("lecture", 10), ("large", 2), ("large", 18))
"""Shipped nets, and the most multipliers that the planner may use for them."""


def held_out() -> list[Point]:
    """All of them."""
    return [*planned(), *drawn(), *rescaled(), *rounded()]


def rescaled() -> Iterator[Point]:
    """Nets of drawn scales as the planner folds them.

    Pixels of few channels: one of 40 was laid down with them and left out (docs/hardware.md).
    """
    for most in (3, 12):
        net = Builder((10, 8, 1), 8).conv(3, 8, stride=(2, 2), to=None).rescale(20, apart=3)
        net = net.conv(3, 8, groups=8, padding=((1, 1), (1, 1)), to=None).rescale(19, apart=2)
        net = net.conv(1, 12, to=None).rescale(21, apart=4).pool().net()
        plan = Search(net).within(most)
        yield Point(f"separable, any scale, {plan.multipliers} multipliers", net, plan, board=True)
    net = Builder((9, 9, 3), 8).conv(3, 6, to=None).rescale(22).pool().conv(2, 10, to=None).rescale(17)
    for most in (5, 20):
        plan = Search(net.net()).within(most)
        yield Point(f"22 and 17 bits, {plan.multipliers} multipliers", net.net(), plan, board=True)
    net = Builder((8, 8, 2), 6).conv(3, 8, to=None).rescale(15, to=5).conv(3, 4, to=None).rescale(20, to=7)
    for most in (8, 3):
        plan = Search(net.net()).within(most)
        yield Point(
            f"6, 5 and 7 bits, any scale, {plan.multipliers} multipliers", net.net(), plan, board=True
        )


def rounded() -> Iterator[Point]:
    """Nets with the roundings of other frameworks, folded by hand; two of them answer with values."""
    plans = {"few": (StagePlan(4, 1), StagePlan(2, 2)), "many": (StagePlan(4, 4), StagePlan(4, 8))}
    for name, (first, inner) in plans.items():
        net = Builder((20, 10, 1), 8).conv((10, 4), 16, first, to=None, stride=(2, 2)).rounded()
        for _ in range(2):
            net = net.conv(3, 16, StagePlan(9, 1), groups=16, to=None, padding=((1, 1), (1, 1))).rounded()
            net = net.conv(1, 16, inner, to=None).rounded()
        net = net.pool("sum", whole=True).rounded().dense(4, StagePlan(4, 1), to=None).rounded()
        yield net.point(f"keywords, a kernel a channel, {name} multipliers", board=True)
    net = Builder((1, 1, 40), 8).dense(16, StagePlan(8, 2)).rounded(signed=False)
    net = net.dense(8, StagePlan(4, 2)).rounded().dense(16, StagePlan(4, 2)).rounded()
    net = net.dense(40, StagePlan(4, 4)).rounded()
    yield net.point("an autoencoder, values for an answer", board=True, classifies=False)
    net = Builder((12, 12, 3), 8).conv(3, 12, StagePlan(9, 4), to=None, padding=((1, 1), (1, 1)))
    net = net.rounded(halves=True).conv(3, 12, StagePlan(12, 3), to=None, stride=(2, 2)).rounded(halves=True)
    net = net.pool("sum", (5, 5), (5, 5), whole=True).rounded().dense(4, StagePlan(3, 2), to=None)
    yield net.point("halves to the even, averages", board=True)
    net = Builder((10, 14, 2), 6).conv(3, 10, StagePlan(6, 5), bits=5, to=None).rounded(6)
    net = net.residual(StagePlan(10, 2)).conv(1, 6, StagePlan(5, 2), bits=6, to=None).rounded(5, signed=False)
    yield net.pool().dense(4, StagePlan(6, 2), bits=6).point("6 bits, a branch, two roundings", board=True)
    net = Builder((16, 16, 1), 8).conv(5, 8, StagePlan(5, 8), to=None, stride=(2, 2)).rounded()
    net = net.conv(3, 16, StagePlan(8, 4), to=None, stride=(2, 2)).rounded()
    yield net.dense(4, StagePlan(8, 2), to=None).rounded().point("strides, wide beats", board=True)
    net = Builder((9, 9, 4), 4).conv(3, 8, StagePlan(4, 2), bits=4, to=None).rounded(4)
    net = net.pool("avg", (3, 3), (2, 2)).conv(3, 4, StagePlan(8, 4), bits=4, to=None).rounded(4)
    yield net.point("4 bits, a map for an answer", board=True, classifies=False)


def planned() -> Iterator[Point]:
    """Shipped nets as the planner folds them."""
    for name, most in MULTIPLIERS:
        net = artifact.load(name)
        plan = Search(net).within(most)
        yield Point(f"{name}, {plan.multipliers} multipliers", net, plan, board=True)
    net = artifact.load("lecture")
    plan = Search(net, shares=False).within(6).made_loadable(net)
    yield Point(f"lecture, {plan.multipliers} multipliers, loadable", net, plan, board=True)
    net = artifact.load("lenet")
    search = Search(net, wired=next(wirable(net, Search(net).device, 1 << 16)))
    yield Point("lenet, one layer hard-wired, 20 multipliers", net, search.within(20), board=True)


def drawn() -> Iterator[Point]:
    """Nets of other shapes and widths."""
    net = Builder((21, 15, 2), 12).pool("avg", (3, 3), (3, 3)).conv(3, 6, StagePlan(6, 3), bits=7, to=10)
    yield net.dense(4, StagePlan(3, 2), bits=6).point("12 bits, averages of 3 x 3 first", board=True)
    net = Builder((12, 16, 1), 7).conv(3, 4, StagePlan(9, 1), bits=6, to=7).pool().dense(12, StagePlan(4, 1))
    net = net.dense(4, StagePlan(3, 2), bits=5)
    yield net.point("sums of a dense layer multiplied whole", board=True)
    net = Builder((14, 14, 1), 4).conv(3, 6, StagePlan(9, 6, weights=WIRED, digits=2), bits=4, to=4)
    net = net.pool("sum").conv(3, 8, StagePlan(54, 1, weights=SERIAL), bits=4, to=5)
    yield net.dense(4, StagePlan(8, 1), bits=4).point("digits, sums, bit by bit", board=True)
    net = Builder((16, 12, 3), 6).conv(1, 8, StagePlan(3, 4), bits=5, to=6).residual(StagePlan(12, 2), bits=5)
    net = net.conv(3, 8, StagePlan(3, 1), groups=8, signed=True, dilation=(2, 2), padding=((2, 2), (2, 2)))
    yield net.pool("avg").dense(4, StagePlan(4, 1)).point("residual, a kernel a channel", board=True)
    net = Builder((13, 13, 2), 5).conv(3, 6, StagePlan(6, 2), bits=4, to=6, spread=3).table(5)
    net = net.conv(3, 6, StagePlan(9, 3), bits=5, to=6).pool("avg").dense(4, StagePlan(6, 2), bits=5)
    yield net.point("5 bits, table, averages, loadable", loadable=True, board=True)
