"""How the products of one layer are folded onto its multipliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.qformat import QFormat, Requant
from model.spec import WeightedSpec


@dataclass(frozen=True)
class StagePlan:
    """Parallelism of one layer.

    Parameters
    ----------
    input_lanes : int
        Products of one output that are summed each cycle: a divisor of r_h * r_w * C_in (convolution) or
        of the number of inputs (dense).
    output_lanes : int
        Output channels worked on side by side, a divisor of C_out; also the values in one beat of the
        output stream.
    """

    input_lanes: int = 1
    output_lanes: int = 1


class Folding:
    """How a layer's products are spread over cycles.

    Parameters
    ----------
    spec : WeightedSpec
    plan : StagePlan

    Attributes
    ----------
    input_folds, output_folds : int
        Beats of an input vector, and cycles that each beat stays.
    seeded_bias : ndarray of int64, (C_out,)
        The bias and what rounding adds.
    accumulator : QFormat
        Format of the sums, seeds included.
    """

    def __init__(self, spec: WeightedSpec, plan: StagePlan):
        self.inputs, self.outputs = spec.matrix.shape
        for lanes, count, what in (
            (plan.input_lanes, self.inputs, "inputs of a sum"),
            (plan.output_lanes, self.outputs, "output channels"),
        ):
            if lanes < 1 or count % lanes:
                spec.fail(f"{lanes} lanes do not divide {count} {what}; choose a divisor")
        self.spec, self.plan = spec, plan
        self.input_folds = self.inputs // plan.input_lanes
        self.output_folds = self.outputs // plan.output_lanes
        half = Requant(spec.accumulator, spec.dst).half
        self.seeded_bias = spec.bias + half
        low, high = spec.accumulator_range
        self.accumulator = QFormat.spanning(low, high + half, spec.accumulator.frac)

    @property
    def steps(self) -> int:
        """Cycles of an output vector."""
        return self.input_folds * self.output_folds

    def weight_words(self) -> list[int]:
        """The weights of each step as one number, input lane by input lane, lowest bits first."""
        width = self.spec.weight_format.width
        grouped = self.spec.matrix.reshape(
            self.input_folds, self.plan.input_lanes, self.output_folds, self.plan.output_lanes
        ).transpose(0, 2, 3, 1)
        return [packed(step.ravel(), width) for step in grouped.reshape(self.steps, -1)]

    def bias_words(self) -> list[int]:
        """The seeds of each output fold as one number."""
        groups = self.seeded_bias.reshape(self.output_folds, self.plan.output_lanes)
        return [packed(group, self.accumulator.width) for group in groups]


def packed(values: np.ndarray, width: int) -> int:
    """Integers side by side in two's complement, the first in the lowest bits."""
    word = 0
    for value in reversed(values.tolist()):
        word = (word << width) | (value & ((1 << width) - 1))
    return word
