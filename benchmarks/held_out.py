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
    return [*planned(), *drawn(), *rescaled()]


def rescaled() -> Iterator[Point]:
    """Nets of any scale, as those of other frameworks are, as the planner folds them.

    Pixels of few channels: of 40 the estimate counts 31 % too few LUTs (docs/hardware.md).
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
