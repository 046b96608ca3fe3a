"""The activation that does nothing."""

from __future__ import annotations

from model.net.layer import Vanishing


class Identity(Vanishing):
    """h(x) = x: where a net's description wants an activation, and the values are to stay."""

    kind = "identity"

    def forward(self, x, cache):
        return x

    def backward(self, dy, cache):
        return dy
