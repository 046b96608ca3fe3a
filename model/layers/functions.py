"""Activations: the functions that a table stands for in integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.arithmetic.qformat import QFormat
from model.arithmetic.scratch import lent, scratch
from model.layers.table import Tabled

SIGMOID_INDEX = QFormat(8, 4)
"""256 entries, 1/16 apart, over [-8, 8): finer or farther ones change no class worth mentioning."""
TANH_INDEX = QFormat(8, 5)
"""Likewise: tanh(x) is 2 sigmoid(2 x) - 1."""


class Sigmoid(Tabled):
    """1 / (1 + exp(-x)).

    Parameters
    ----------
    index : QFormat, optional
        Format of the table's index.
    """

    kind = function = "sigmoid"
    keeps_order = True

    def __init__(self, index: QFormat | None = SIGMOID_INDEX):
        super().__init__(index)

    def h(self, x):
        return 0.5 * np.tanh(0.5 * x) + 0.5

    def forward(self, x, cache):
        y = scratch(cache, "y", x.shape, x.dtype)
        np.multiply(x, 0.5, out=y)
        np.tanh(y, out=y)
        y *= 0.5
        y += 0.5
        return y

    def backward(self, dy, cache):
        y = cache["y"]
        dx = lent(cache, y.shape, y.dtype, dy)
        np.subtract(1, y, out=dx)
        dx *= y
        dx *= dy
        return dx

    def entry_format(self, values, y, width):
        return QFormat(width, width, signed=False)


class Tanh(Tabled):
    """The hyperbolic tangent.

    Parameters
    ----------
    index : QFormat, optional
        Format of the table's index.
    """

    kind = function = "tanh"
    keeps_order = True

    def __init__(self, index: QFormat | None = TANH_INDEX):
        super().__init__(index)

    def h(self, x):
        return np.tanh(x)

    def forward(self, x, cache):
        return np.tanh(x, out=scratch(cache, "y", x.shape, x.dtype))

    def backward(self, dy, cache):
        y = cache["y"]
        dx = lent(cache, y.shape, y.dtype, dy)
        np.multiply(y, y, out=dx)
        np.subtract(1, dx, out=dx)
        dx *= dy
        return dx

    def entry_format(self, values, y, width):
        return QFormat(width, width - 1)


class LeakyReLU(Tabled):
    """x above zero, ``slope * x`` below.

    Parameters
    ----------
    slope : float
        From 0 to 1.
    index : QFormat, optional
        Format of the table's index.
    """

    kind = function = "leaky_relu"
    keeps_order = True

    def __init__(self, slope: float = 0.01, index: QFormat | None = None):
        if not 0 <= slope <= 1:
            raise ValueError(f"a leaky ReLU's slope lies between 0 and 1, not {slope}")
        super().__init__(index)
        self.slope = float(slope)

    def h(self, x):
        return np.maximum(x, self.slope * x)

    def forward(self, x, cache):
        cache["x"] = x
        y = scratch(cache, "y", x.shape, x.dtype)
        np.multiply(x, self.slope, out=y)
        return np.maximum(x, y, out=y)

    def backward(self, dy, cache):
        return np.where(cache["x"] > 0, dy, dy * self.slope)


class Function(Tabled):
    """Any function h of one value, given with its derivative.

    An artifact keeps its table and its name, never its code.

    Parameters
    ----------
    function : str
        Name of h, for reports.
    h, derivative : callable
        From an array of floats to one of the same shape, value by value.
    index : QFormat, optional
        Format of the table's index.
    increasing : bool
        Whether h never falls: at a net's end it then decides no class.

    Examples
    --------
    >>> softplus = Function("softplus", lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + np.exp(-x)))
    """

    kind = "function"

    def __init__(
        self,
        function: str,
        h: Callable,
        derivative: Callable,
        index: QFormat | None = None,
        increasing: bool = False,
    ):
        super().__init__(index)
        self.keeps_order = increasing
        self.function, self.h, self.derivative = function, h, derivative

    def forward(self, x, cache):
        cache["x"] = x
        y = scratch(cache, "y", x.shape, x.dtype)
        y[...] = self.h(x)
        return y

    def backward(self, dy, cache):
        dx = lent(cache, dy.shape, dy.dtype, dy)
        return np.multiply(self.derivative(cache["x"]), dy, out=dx, casting="same_kind")
