"""What a net takes of a board, and the plan with which it fits."""

from __future__ import annotations

from boards.catalogue.board import Target
from hdl.devices.budget import Budget, lacking
from hdl.folding.net import Plan
from hdl.planning.estimate import on_board
from hdl.planning.fit import Fitter, excess
from hdl.planning.search import DEFAULT_MULTIPLIERS
from model.golden.qnetwork import QNetwork

SMALLER = "; take a smaller net or a larger board"


def taken(net: QNetwork, plan: Plan, target: Target) -> Budget:
    """What the accelerator and the shell round it take of a chip, estimated."""
    return on_board(net, plan, target.family)


def default_plan(
    net: QNetwork, target: Target, shipped: Plan | None = None, *, loadable: bool = False
) -> Plan:
    """The net's own plan, or the fastest found that the board's chip has room for; else the smallest."""
    if shipped is not None and not loadable and not lacking(taken(net, shipped, target), target.budget):
        return shipped
    fitter = Fitter(net, target.family, loadable=loadable)
    room = target.chip.room
    return (fitter.fastest(room, DEFAULT_MULTIPLIERS, wires=False) or fitter.smallest(room)).plan


def checked_fit(net: QNetwork, plan: Plan, target: Target) -> Budget:
    """The estimate of what a net takes of a board.

    Raises
    ------
    ValueError
        If that is more than its chip has.
    """
    need = taken(net, plan, target)
    if lacking(need, target.budget):
        fitter = Fitter(net, target.family)
        raise ValueError(
            f"net {net.name!r} is too large for {target.name}: it needs {excess(need, target.budget)};"
            f" {fitter.nearest(target.budget) or fitter.short(target.budget) + SMALLER}"
        )
    return need
