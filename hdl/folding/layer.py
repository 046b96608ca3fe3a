"""How the products of a layer are folded onto its multipliers."""

from __future__ import annotations

import numpy as np

from hdl.folding.stage import MOST_WIRED, StagePlan, check_digits, check_pixels
from model.arithmetic.exact import FLOAT64_EXACT
from model.arithmetic.qformat import QFormat
from model.golden.spec import WeightedSpec
from model.layers.conv import ConvSpec
from model.layers.dense import DenseSpec

BIAS_WIDTH = 16
"""Bits of a loadable bias, at least."""
SHIFT_WIDTH = 3
"""Bits of a loadable shift of a channel."""
MOST_SHIFT = (1 << SHIFT_WIDTH) - 1
"""Largest loadable shift of a channel, bits."""
GATHERED_STEPS = 3
"""Cycles of a window that hide the check whether the next one's pixels are there."""


class Folding:
    """How a layer's products are spread over cycles.

    Parameters
    ----------
    spec : WeightedSpec
    plan : StagePlan

    Attributes
    ----------
    groups : int
        Input vectors, one behind the other, that make the outputs of one position.
    input_folds, output_folds : int
        Beats of an input vector, and cycles that each beat stays.
    seeded_bias : ndarray of int64, (C_out,) or (H_out, W_out, C_out)
        The bias and what rounding adds; a channel's own half, which its shift takes to the shared one.
    accumulator : QFormat
        Format of the sums before their channels' shifts, seeds included.
    aligned : QFormat
        Format of the sums on the grid that all channels share.
    shifts : ndarray of int, (groups * output_folds, output_lanes)
        Shift of each lane in each output beat of a position.
    """

    loadable = False
    """Whether weights, biases and shifts are written at run time."""

    def __init__(self, spec: WeightedSpec, plan: StagePlan):
        self.groups, self.inputs, self.outputs = spec.matrices.shape
        if plan.wired:
            self.unroll(spec, plan)
        elif isinstance(spec, ConvSpec) and not 1 <= plan.input_lanes <= self.inputs:
            spec.fail(
                f"{plan.input_lanes} lanes for {self.inputs} inputs of a sum; choose 1 to {self.inputs}"
            )
        for lanes, count, what in (
            (plan.input_lanes if isinstance(spec, DenseSpec) else 1, self.inputs, "inputs of a sum"),
            (plan.output_lanes, self.outputs, "output channels"),
        ):
            if lanes < 1 or count % lanes:
                spec.fail(f"{lanes} lanes do not divide {count} {what}; choose a divisor")
        check_pixels(spec, plan)
        check_digits(spec, plan)
        self.spec, self.plan = spec, plan
        self.input_folds = plan.digits if plan.wired else -(-self.inputs // plan.input_lanes)
        self.output_folds = self.outputs // plan.output_lanes
        if plan.serial:
            self.check_serial()
        halves = spec.halves
        if max(halves) >= FLOAT64_EXACT:
            spec.fail(
                f"{spec.dst} keeps no bit of the accumulator {spec.accumulator}; give it more fraction bits"
            )
        self.seeded_bias = spec.bias + halves
        low, high = spec.sum_ranges
        high = high + halves
        frac = spec.accumulator.frac
        self.accumulator = QFormat.spanning(low.min(), high.max(), frac)
        self.aligned = QFormat.spanning((low << spec.shifts).min(), (high << spec.shifts).max(), frac)
        self.shifts = spec.shifts.reshape(-1, plan.output_lanes)

    def unroll(self, spec: WeightedSpec, plan: StagePlan) -> None:
        """Take all groups as one, as hard-wired weights do."""
        lanes = self.inputs, self.groups * self.outputs
        if spec.weights.size > MOST_WIRED:
            spec.fail(f"{spec.weights.size:,} weights are too many to hard-wire; {MOST_WIRED:,} are the most")
        if (plan.input_lanes, plan.output_lanes) != lanes:
            spec.fail(
                f"hard-wired weights take all products in one cycle, {lanes[0]} x {lanes[1]} lanes, not"
                f" {plan.input_lanes} x {plan.output_lanes}"
            )
        if plan.array:
            spec.fail(f"hard-wired weights have no multipliers to share in {plan.array!r}")
        self.inputs, self.outputs, self.groups = self.groups * self.inputs, lanes[1], 1

    def check_serial(self) -> None:
        """Refuse what bits of inputs cannot do."""
        spec, plan, bits = self.spec, self.plan, self.spec.src.width
        if self.groups > 1 or plan.input_lanes != self.inputs:
            spec.fail(
                f"serial weights take whole positions of one group, {self.inputs} input lanes, not"
                f" {plan.input_lanes} of {self.groups} group{'s' * (self.groups > 1)}"
            )
        if self.output_folds < bits:
            spec.fail(
                f"serial weights take a cycle for each of an input's {bits} bits; {plan.output_lanes} output"
                f" lanes are done in {self.output_folds}, choose {self.outputs // bits} at most"
            )
        if plan.array:
            spec.fail(f"serial weights have no multipliers to share in {plan.array!r}")

    @property
    def aligns(self) -> bool:
        """Whether sums are shifted by channel."""
        return bool(self.shifts.any())

    @property
    def matrix(self) -> np.ndarray:
        """The weights of all groups as one matrix, zeros between them, (inputs, C_out)."""
        return block_diagonal(self.spec.matrices)

    @property
    def digit(self) -> QFormat:
        """One of the digits of an input; the last may have no more than some zeros at its top."""
        width = self.spec.src.width
        return QFormat(-(-width // self.plan.digits), 0, self.spec.src.signed)

    @property
    def vector_steps(self) -> int:
        """Cycles of an input vector."""
        return self.input_folds * self.output_folds

    @property
    def steps(self) -> int:
        """Cycles of all outputs of a position."""
        return self.groups * self.vector_steps

    @property
    def cycles(self) -> int:
        """Cycles a frame in which the multipliers are busy with the layer."""
        height, width, _ = self.spec.out_shape
        return height * width // self.plan.pixel_lanes * self.steps

    @property
    def seed_lanes(self) -> int:
        """Biases of an output beat: pixels side by side have the same, unless each has its own."""
        return self.plan.output_lanes if self.seeded_bias.ndim == 1 else self.plan.lanes

    @property
    def gathered(self) -> bool:
        """Whether windows are read from memory slice by slice, as often as there are output beats.

        Then one sum after the other is finished, and none has to wait while the others get their share.
        """
        spec, plan = self.spec, self.plan
        return (
            isinstance(spec, ConvSpec)
            and not (plan.wired or plan.serial)
            and plan.pixel_lanes == 1
            and self.groups == 1
            and spec.in_shape[2] % plan.input_lanes == 0
            and self.steps >= GATHERED_STEPS
        )

    @property
    def sums(self) -> int:
        """Sums under way in an output lane."""
        return 1 if self.gathered else self.output_folds

    @property
    def seeds(self) -> int:
        """Output beats until the biases repeat."""
        return self.seeded_bias.size // self.seed_lanes

    def weight_words(self, width: int | None = None, lanes: tuple[int, int] | None = None) -> list[int]:
        """The weights of each step as one number, output lane by output lane, lowest bits first.

        Parameters
        ----------
        width : int, optional
            Bits of a weight, in place of its format's.
        lanes : (int, int), optional
            Input and output lanes of the multipliers, if there are more than the plan's.
        """
        own = self.plan.input_lanes, self.plan.output_lanes
        width, lanes = width or self.spec.weight_format.width, lanes or own
        # Lanes that the last fold has no inputs for multiply by zero.
        idle = self.input_folds * self.plan.input_lanes - self.inputs
        folded = (
            np.pad(self.spec.matrices, ((0, 0), (0, idle), (0, 0)))
            .reshape(
                self.groups,
                self.input_folds,
                self.plan.input_lanes,
                self.output_folds,
                self.plan.output_lanes,
            )
            .transpose((0, 3, 1, 4, 2) if self.gathered else (0, 1, 3, 4, 2))
        )
        steps = folded.reshape(self.steps, *own[::-1])
        steps = np.pad(steps, ((0, 0), (0, lanes[1] - own[1]), (0, lanes[0] - own[0])))
        return [packed(step.ravel(), width) for step in steps]

    def bias_words(self) -> list[int]:
        """The seeds of each output beat as one number."""
        beats = self.seeded_bias.reshape(self.seeds, self.seed_lanes)
        return [packed(beat, self.accumulator.width) for beat in beats]


class LoadableFolding(Folding):
    """A `Folding` whose weights are written at run time: its widths follow from formats, not from values.

    Sums have room for all weights of their format and, beside the half that rounding adds, for biases as
    wide as the sums of products, or of `BIAS_WIDTH` bits where those are narrower.

    Parameters
    ----------
    spec : WeightedSpec
        Holds the first set.
    plan : StagePlan
    scaled : bool
        Whether each channel has a shift, of 0 to `MOST_SHIFT` bits; else none may have one.

    Raises
    ------
    ValueError
        If a bias or a shift of the set has no room, or as `Folding` does.
    """

    loadable = True

    def __init__(self, spec: WeightedSpec, plan: StagePlan, *, scaled: bool):
        super().__init__(spec, plan)
        self.scaled = scaled
        frac = self.accumulator.frac
        low, high = products(self)
        bias = QFormat(max(QFormat.spanning(low, high, frac).width, BIAS_WIDTH), frac)
        if not bias.contains(spec.bias):
            spec.fail(f"a bias is wider than the {bias.width} bits that loadable ones have here")
        most = MOST_SHIFT if scaled else 0
        if spec.shifts.max() > most:
            spec.fail(
                f"a channel's shift is {spec.shifts.max()} bits, and loadable ones are up to {most} here"
            )
        low, high = low + bias.min, high + bias.max + self.largest_half
        self.accumulator = QFormat.spanning(low, high, frac)
        self.aligned = QFormat.spanning(low << most, high << most, frac)

    @property
    def largest_half(self) -> int:
        """The most that rounding adds to a sum."""
        shift = self.spec.requant(self.spec.accumulator).shift
        return 1 << (shift - 1) if shift > 0 else 0

    @property
    def aligns(self):
        return self.scaled

    def shift_words(self) -> list[int]:
        """The shifts of each output beat of a position as one number."""
        return [packed(beat, SHIFT_WIDTH) for beat in self.shifts]


def block_diagonal(matrices: np.ndarray) -> np.ndarray:
    """Matrices (G, K, N) one behind the other on the diagonal of one, (G * K, G * N)."""
    count, rows, columns = matrices.shape
    whole = np.zeros((count, rows, count, columns), matrices.dtype)
    whole[np.arange(count), :, np.arange(count)] = matrices
    return whole.reshape(count * rows, count * columns)


def products(folding: Folding) -> tuple[int, int]:
    """Smallest and largest sum of products that the formats of weights and inputs allow."""
    weight, value = folding.spec.weight_format, folding.spec.src
    ends = [w * x for w in (weight.min, weight.max) for x in (value.min, value.max)]
    return folding.inputs * min(ends), folding.inputs * max(ends)


def packed(values: np.ndarray, width: int) -> int:
    """Integers side by side in two's complement, the first in the lowest bits.

    Raises
    ------
    ValueError
        For one that needs more bits: its neighbour would be another one.
    """
    word = 0
    if values.size and not -1 << (width - 1) <= values.min() <= values.max() < 1 << width:
        raise ValueError(f"integers from {values.min()} to {values.max()} do not fit {width} bits each")
    for value in reversed(values.tolist()):
        word = (word << width) | (value & ((1 << width) - 1))
    return word
