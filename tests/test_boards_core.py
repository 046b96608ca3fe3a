"""The netlist of a whole board, through its serial pins."""

import re

import pytest

from boards.catalogue import targets
from boards.shell.design import Design
from boards.simulated.core import Core
from hdl.planning import search
from model.cli import Failure
from random_nets import NetDrawer
from test_boards_top import BAUD, TIMEOUT, tiny_net


@pytest.mark.slow
def test_a_board_answers_through_its_pins(monkeypatch):
    """The ULX3S as it is synthesised, PLL and serial port included; and one with a broken multiplier."""
    net = tiny_net()
    design = Design.of(targets.find("ulx3s"), net, search.default(net), baud=BAUD, timeout=TIMEOUT)
    images = NetDrawer(1).images(net, 6)
    core = Core(design)
    assert core.check_pins(images) == 6

    board = core.board()

    class Wrong:
        """Answers with another image's logits."""

        def play(self, requests, **options):
            return board.play([requests[1], *requests[1:]], **options)

    monkeypatch.setattr(Core, "board", lambda _: Wrong())
    with pytest.raises(Failure, match="the board's pins, frame 0: "):
        core.check_pins(images)


def test_cells_without_a_model_are_named(monkeypatch):
    text = "// netlist of ice40 cells\nmodule top;\n  SB_LUT4 #(\n  SB_NEW_CELL #(\nendmodule\n"
    monkeypatch.setattr("boards.simulated.core.netlist", lambda *_: text)
    net = tiny_net()
    core = Core(Design.of(targets.find("icebreaker"), net, search.search(net, 1)))
    with pytest.raises(ValueError, match=re.escape("nothing models its SB_NEW_CELL; --pins 0")):
        core.board()
