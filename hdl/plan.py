"""How parallel each layer is built: the plan, apart from the net; its cost and the search for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from model.qnetwork import QNetwork


@dataclass(frozen=True)
class StagePlan:
    """Parallelism of one layer.

    Parameters
    ----------
    input_lanes : int
        Products of one output that are summed each cycle: a divisor of r_h * r_w * C_in (convolution) or
        of the number of inputs (dense). Ignored by layers without weights.
    output_lanes : int
        Output channels worked on side by side, a divisor of C_out; also the values in one beat of the
        output stream.
    """

    input_lanes: int = 1
    output_lanes: int = 1


@dataclass(frozen=True)
class Plan:
    """One `StagePlan` a layer, by the layer's name."""

    stages: dict[str, StagePlan]
