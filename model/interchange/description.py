"""The one description of a quantised net that every reader makes, and the report of what it cannot be.

Nodes are what a framework defines: products with differences from a zero point, sums that it rounds in its
own way. `model.interchange.assemble` makes specs of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from model.arithmetic.qformat import QFormat
from model.arithmetic.steps import Function


@dataclass(frozen=True)
class Values:
    """A tensor of values on the way through the net: the integer q stands for ``(q - zero) * step``.

    Parameters
    ----------
    dims : tuple of int
        As the file has them, without the batch; channels last.
    format : QFormat
        Width and sign; without fraction bits.
    step : float
    zero : int
    """

    dims: tuple[int, ...]
    format: QFormat
    step: float
    zero: int


@dataclass(frozen=True)
class Rounding:
    """How a node's sums become its output.

    Parameters
    ----------
    rule : callable
        See `model.arithmetic.steps.Function`; of all the output's channels, or of one for all of them.
    low, high : int
        What the results are clipped to, fused activations included.
    """

    rule: Function
    low: int
    high: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A layer.

    Parameters
    ----------
    where : str
        Its name and operator in the file, for reports.
    inputs : tuple of str
        Keys of `Description.values`.
    output : str
    """

    where: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Unknown(Node):
    """A layer that was refused; it only keeps the graph whole, so that the rest is checked too."""


@dataclass(frozen=True, eq=False, kw_only=True)
class View(Node):
    """The same values, in the same order, with other dimensions."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Node):
    """A convolution of differences from the input's zero, which are 0 in the padding.

    Parameters
    ----------
    weights : ndarray of int, (r_h, r_w, C_in / groups, C_out)
    bias : ndarray of int, (C_out,)
    stride, dilation, padding, groups
        As of `model.layers.ConvSpec`.
    rounding : Rounding
    """

    weights: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Node):
    """A dense layer of differences from the input's zero, over all values in raster order.

    Parameters
    ----------
    weights : ndarray of int, (inputs, C_out)
    bias : ndarray of int, (C_out,)
    rounding : Rounding
    """

    weights: np.ndarray
    bias: np.ndarray
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Maximum(Node):
    """The largest value of each window, clipped; padding never wins."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    low: int
    high: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Average(Node):
    """The sum of each window's values, and a constant, rounded. There is no padding.

    Parameters
    ----------
    addend : int
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    addend: int
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Map(Node):
    """A function of one value.

    Parameters
    ----------
    function : str
        Its name.
    entries : ndarray of int
        Results from the smallest value of the input's format to the largest.
    """

    function: str
    entries: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """The sum of a function of one input and one of another, rounded.

    Parameters
    ----------
    entries : (ndarray of int, ndarray of int)
        As of `Map`, for each input.
    rounding : Rounding
    """

    entries: tuple[np.ndarray, np.ndarray]
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Node):
    """A border of zeros: of the input's zero point."""

    padding: tuple[tuple[int, int], tuple[int, int]]


@dataclass
class Description:
    """A net.

    Parameters
    ----------
    source : str
        What framework it is of, and what its integers are equal to.
    values : dict of Values
        By names that are unique in the net.
    input, output : str
    nodes : list of Node
        Each behind those whose outputs it takes.
    notes : list of str
        What was folded away.
    softmax : bool
        Whether a softmax at the end is part of that.
    """

    source: str
    values: dict[str, Values] = field(default_factory=dict)
    input: str = ""
    output: str = ""
    nodes: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    softmax: bool = False


class Refused(ValueError):
    """A net that cannot be converted.

    Attributes
    ----------
    problems : list of str
        All of them.
    """

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__(problems[0] if len(problems) == 1 else f"{len(problems)} problems")


def problem(attribute: str, found, accepted: str) -> str:
    """What a report says of a layer: which attribute is what, and what would be accepted."""
    return f"{attribute} is {found}; accepted: {accepted}"
