"""A trained net's weights as a request to a board that was built with ``--weights loadable``."""

from __future__ import annotations

from boards.link.protocol import Command, Frame, Identity
from hdl.folding.net import Plan
from hdl.loadable.loading import check_compatible, layout, weight_set
from model.golden.qnetwork import QNetwork


def load_request(
    net: QNetwork, plan: Plan, identity: Identity, tag: int = 0, core: QNetwork | None = None
) -> Frame:
    """The request that loads a net's weights.

    Parameters
    ----------
    net : QNetwork
        Of the shapes and formats for which the board was built.
    plan : Plan
        The board's: its build left it as ``plan.json``.
    identity : Identity
        What the board answers when it is asked.
    tag : int
        Of the request.
    core : QNetwork, optional
        The net from which the board was built, if it is at hand: errors then name the layer.

    Raises
    ------
    ValueError
        If the board takes no weights, or not this net's.
    """
    if not identity.set_bytes:
        raise ValueError(f"the weights of {identity.board} are fixed: build it with --weights loadable")
    if core is not None:
        check_compatible(core, net, plan)
    payload = weight_set(net, plan)
    if layout(net, plan) != identity.layout:
        raise ValueError(
            f"the weights of net {net.name!r} do not fit {identity.board}: it was built from {identity.net!r}"
            " with another plan, other shapes or other formats"
        )
    return Frame(Command.LOAD, tag, payload)
