"""The boards' half of ``python -m sim.verify --board B``: a core as its board has it, and the board."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from boards.catalogue import targets
from boards.catalogue.fitting import default_plan
from boards.link.protocol import REPLY, Command, Decoder, Frame, Result, image_payload
from boards.shell.design import Design
from boards.simulated.board import SimulatedBoard
from hdl.folding.net import Plan
from model.cli import Failure
from model.golden.qnetwork import QNetwork
from sim.simulators.netlist import NETLIST, SCRIPT, SOURCE, Recipe, lacking, netlist

LISTEN = 4000
"""Bits of silence after which no more answers are awaited."""


@dataclass(frozen=True)
class Core:
    """A net on a board, ready to be simulated.

    Parameters
    ----------
    design : Design
    """

    design: Design

    @classmethod
    def of(cls, board: str, net: QNetwork, plan: Plan | None = None, shipped: Plan | None = None) -> Core:
        """The design that ``boards.build`` makes of a board's name, a net, and a plan or the shipped one.

        Raises
        ------
        ValueError
            For an unknown board or a plan that does not fit the net.
        """
        target = targets.find(board)
        return cls(Design.of(target, net, plan or default_plan(net, target, shipped)))

    @property
    def plan(self) -> Plan:
        """The design's."""
        return self.design.plan

    @property
    def device(self):
        """The chip's family."""
        return self.design.target.family

    @property
    def files(self) -> dict[str, str]:
        """What the build gives to yosys."""
        design = self.design
        options = design.target.tools.options(float(design.pll.output_mhz), seed=1)
        files = design.prepare(script_after_synth=f"write_verilog -noattr {NETLIST}", **options).files
        return {name: files[name] for name in (SOURCE, SCRIPT)}

    @property
    def recipe(self) -> Recipe:
        """How the build synthesises."""
        return Recipe(self.device.name, self.files[SCRIPT])

    def board(self) -> SimulatedBoard:
        """The netlist of the whole board.

        Raises
        ------
        ValueError
            If a cell has no model, such as the PLL of some families.
        """
        text = netlist(self.files, self.device.name)
        if missing := lacking(text):
            raise ValueError(
                f"the pins of {self.design.target.name} cannot be simulated: nothing models its"
                f" {', '.join(missing)}; --pins 0 leaves them out"
            )
        return SimulatedBoard(self.design, text)

    def check_pins(self, images: np.ndarray) -> int:
        """Send images to the netlist of the whole board through its serial pins.

        Parameters
        ----------
        images : ndarray, (N, H, W, C)

        Returns
        -------
        int
            Frames answered, all of them as the golden model does.

        Raises
        ------
        Failure
            If one is not.
        """
        board = self.board()
        identity, net = self.design.identity, self.design.net
        requests = [
            Frame(Command.CLASSIFY, index & 0xFF, image_payload(image, identity)).encode()
            for index, image in enumerate(images)
        ]
        answers = Decoder().feed(board.play(requests, quiet=LISTEN).data)
        for index, (answer, logits) in enumerate(zip(answers, net.logits(images))):
            if (answer.kind, answer.tag) != (REPLY | Command.CLASSIFY, index & 0xFF):
                raise Failure(f"the board's pins, frame {index}: the answer is of kind {answer.kind:#x}")
            got = Result.decode(answer.payload, identity)
            if got != replace(got, cls=net.answer(logits), logits=tuple(map(int, logits))):
                raise Failure(
                    f"the board's pins, frame {index}: class {got.cls} with values {got.logits},"
                    f" the golden model says {net.answer(logits)} with {tuple(map(int, logits))}"
                )
        if len(answers) != len(images):
            raise Failure(f"the board's pins: {len(answers)} answers to {len(images)} frames")
        return len(answers)
