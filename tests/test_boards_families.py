"""The tops of iCE40 and Gowin boards in Verilator, pin by pin, as `test_boards_top` has the ECP5's."""

import dataclasses

import numpy as np
import pytest

from boards.catalogue import targets
from boards.shell.design import Design
from boards.simulated.board import SimulatedBoard
from hdl.folding.net import Plan
from random_nets import NetDrawer
from test_boards_top import check, play, request, tiny_net

BOARDS = [
    pytest.param("icebreaker"),
    pytest.param("tang-nano-9k"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("upduino3", "versa-ecp5", "orangecrab-25f")),
]


@pytest.mark.parametrize("name", BOARDS)
def test_answers_as_the_golden_model(name):
    net, target = tiny_net(), targets.find(name)
    baud = int(target.clock_mhz * 1e6) // 8
    design = Design.of(target, net, Plan.serial(net), baud=baud, timeout=40 / baud)
    board = SimulatedBoard(design)
    images = NetDrawer(1).images(net, 3)
    found, leds = play(board, *(request(board, image, tag) for tag, image in enumerate(images)))
    assert len(found) == 3
    for tag, (answer, image) in enumerate(zip(found, images)):
        result = check(board, answer, image, tag)
    assert leds == result.cls & ((1 << target.leds) - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"), [("icebreaker", "feedback_div"), ("tang-nano-9k", "feedback_div")]
)
def test_pll_with_a_wrong_divider_does_not_lock(name, change):
    """The mutant of the clock: the top as it was built for another one."""
    net, target = tiny_net(), targets.find(name)
    design = Design.of(target, net, Plan.serial(net), baud=1_000_000)
    pll = dataclasses.replace(design.pll, **{change: getattr(design.pll, change) - 1})
    wrong = dataclasses.replace(design, pll=pll)
    board = SimulatedBoard(design, wrong.verilog())
    image = np.zeros(net.in_shape, int)
    assert board.play([request(board, image)]).data == b""
