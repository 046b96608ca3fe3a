"""The plan of one layer, as data: its lanes, and which of them are built."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hdl.folding.lanes import divides, windows_of
from model.golden.spec import WeightedSpec
from model.layers.conv import ConvSpec

MOST_WIRED = 1 << 14
"""Weights of a hard-wired layer, at most: many more than any chip has room for."""
WIRED = "wired"
"""What a `StagePlan` says of weights that are no numbers in a memory but shifts and additions."""
SERIAL = "serial"
"""What it says of weights in tables of sums, which inputs address bit by bit."""


@dataclass(frozen=True)
class StagePlan:
    """Parallelism of one layer.

    Parameters
    ----------
    input_lanes : int
        Products of one output that are summed each cycle: up to r_h * r_w * C_in of a convolution (of one
        group), where the last cycle of a sum may have fewer, or a divisor of the inputs of a dense layer.
    output_lanes : int
        Output channels worked on side by side, a divisor of C_out (of one group); also the values in one
        beat of the output stream.
    array : str or None
        Layers that name the same array use the same multipliers in turns: as many as the widest of them
        has input lanes, times as many as the widest has output lanes. Without a name a layer has its own.
    weights : str or None
        `WIRED` for hard-wired ones, which take all lanes: every product of a position in one cycle, of all
        groups too, so `output_lanes` is C_out then. `SERIAL` for those of `hdl.products.serial`, which take
        all input lanes, and so few output lanes that a position takes a cycle or more for each bit of an
        input. By default weights are where the `Plan` has them.
    pixel_lanes : int
        Neighbouring output pixels of a convolution that are worked on side by side, a divisor of W_out; then
        a beat of the output stream holds as many whole pixels.
    digits : int
        Parts of an input's bits that take turns on hard-wired weights, one a cycle: fewer bits make smaller
        sums.
    """

    input_lanes: int = 1
    output_lanes: int = 1
    array: str | None = None
    weights: str | None = None
    pixel_lanes: int = 1
    digits: int = 1

    def described(self) -> dict:
        """What JSON says of it: the lanes, and what is not as usual."""
        usual = StagePlan()
        return {
            key: value
            for key, value in asdict(self).items()
            if key in ("input_lanes", "output_lanes") or value != getattr(usual, key)
        }

    @property
    def wired(self) -> bool:
        """Whether the weights are hard-wired."""
        return self.weights == WIRED

    @property
    def serial(self) -> bool:
        """Whether inputs come bit by bit."""
        return self.weights == SERIAL

    @property
    def multipliers(self) -> int:
        """Multipliers that the layer keeps busy; of weights without multipliers, products a cycle."""
        return self.input_lanes * self.output_lanes * self.pixel_lanes

    @property
    def lanes(self) -> int:
        """Values in a beat of the output stream."""
        return self.output_lanes * self.pixel_lanes


def pixels_in(spec: ConvSpec, plan: StagePlan) -> int:
    """Pixels of a beat before a convolution's window: one, those of the windows side by side, or a row."""
    if plan.pixel_lanes == 1:
        return 1
    whole = plan.pixel_lanes == spec.out_shape[1]
    return spec.in_shape[1] if whole else plan.pixel_lanes * spec.geometry.stride[1]


def check_pixels(spec: WeightedSpec, plan: StagePlan) -> None:
    """Raise a ValueError, naming the layer, for pixel lanes that are not built.

    Beats are parts of a row: those that come in and those that go out keep step within it, so each must
    divide its row. Pixels leave whole, and their windows take their steps side by side.
    """
    pixels = plan.pixel_lanes
    if pixels == 1:
        return
    if pixels < 1 or not isinstance(spec, ConvSpec):
        spec.fail(f"{pixels} pixel lanes; only convolutions have any, from 1")
    if spec.in_shape[1] == 1:
        spec.fail(f"{pixels} pixel lanes for rows of one pixel; they come from 2 on")
    row, taken = (spec.in_shape, spec.geometry), pixels_in(spec, plan)
    if not divides(*row, taken) or windows_of(*row, taken) != pixels:
        spec.fail(
            f"{pixels} pixel lanes do not divide its rows: {spec.in_shape[1]} pixels come in"
            f" ({taken} a beat), {spec.out_shape[1]} go out"
        )
    channels = spec.out_shape[2]
    if plan.output_lanes != channels:
        spec.fail(f"with pixel lanes it has {channels} output lanes, one for each channel, or is hard-wired")
    if plan.array is not None:
        spec.fail("with pixel lanes a layer has multipliers of its own")
    if plan.serial:
        spec.fail("serial weights have no pixel lanes")


def check_digits(spec: WeightedSpec, plan: StagePlan) -> None:
    """Raise a ValueError, naming the layer, for digits that are not built."""
    if plan.digits == 1:
        return
    if not plan.wired or spec.src.signed:
        spec.fail(f"{plan.digits} digits; only hard-wired weights have any, for inputs without a sign")
    if spec.bias.ndim > 1:
        spec.fail(f"{plan.digits} digits; there are none with biases by pixel")
    if not 1 <= plan.digits <= spec.src.width:
        spec.fail(f"{plan.digits} digits for inputs of {spec.src.width} bits; choose 1 to {spec.src.width}")
