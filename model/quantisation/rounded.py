"""Layers that round as their integers do, forwards; the parts of a net of `model.quantisation.fake`.

Backwards rounding counts as if it were not there (the straight-through estimator: Bengio, Leonard and
Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013). A value that saturates
lets no gradient through; weights all learn, as one that has come beyond its grid would otherwise never
return.
"""

from __future__ import annotations

import copy

import numpy as np

from model.arithmetic.grid import Grid
from model.arithmetic.qformat import QFormat
from model.arithmetic.scratch import scratch
from model.layers import Pool
from model.layers.table import Tabled
from model.net.layer import Layer
from model.net.weighted import Weighted
from model.quantisation.scheme import Formats


class Rounded(Layer):
    """A layer whose output is rounded half up and saturated.

    Parameters
    ----------
    inner : Layer
        Built; it keeps the parameters.
    formats : Formats
        Without a `dst` the output stays as it is.
    """

    def __init__(self, inner: Layer, formats: Formats):
        self.inner, self.formats = inner, formats
        self.kind, self.name, self.in_shape, self.dtype = inner.kind, inner.name, inner.in_shape, inner.dtype

    @property
    def bounds(self) -> QFormat | None:
        """The format at whose ends values are cut off."""
        return self.formats.dst

    @property
    def params(self) -> dict[str, np.ndarray]:
        """Those of the layer within."""
        return self.inner.params

    @property
    def out_shape(self):
        return self.inner.out_shape

    @property
    def macs(self):
        return self.inner.macs

    def bind(self, params):
        self.inner.bind(params)

    def forward(self, x, cache):
        return self.rounded(self.inner.forward(x, cache.setdefault("inner", {})), cache)

    def rounded(self, y: np.ndarray, cache: dict) -> np.ndarray:
        """Values in the output's format; what saturates is noted for the way back."""
        dst = self.formats.dst
        if dst is None:
            return y
        codes = scratch(cache, "codes", y.shape, y.dtype)
        np.multiply(y, y.dtype.type(2.0**dst.frac), out=codes)
        codes += y.dtype.type(0.5)
        np.floor(codes, out=codes)
        clipped = scratch(cache, "clipped", y.shape, y.dtype)
        np.clip(codes, dst.min, dst.max, out=clipped)
        np.equal(codes, clipped, out=scratch(cache, "passes", y.shape, bool))
        clipped *= y.dtype.type(2.0**-dst.frac)
        return clipped

    def passed(self, dy: np.ndarray, cache: dict) -> np.ndarray:
        """The derivative by the output before it was rounded."""
        if self.formats.dst is None:
            return dy
        return np.multiply(dy, cache["passes"], out=scratch(cache, "passed", dy.shape, dy.dtype))

    def gradients(self, dy, cache):
        if not self.params:
            return {}
        return self.inner.gradients(self.passed(dy, cache), cache["inner"])

    def backward(self, dy, cache):
        return self.inner.backward(self.passed(dy, cache), cache["inner"])


class FakeWeighted(Rounded):
    """A convolution or dense layer with weights and biases of integers.

    Parameters
    ----------
    inner : Weighted
    formats : Formats
    frac : int
        Fraction bits of the input.
    """

    def __init__(self, inner: Weighted, formats: Formats, frac: int):
        super().__init__(inner, formats)
        self.frac = frac

    def forward(self, x, cache):
        return self.rounded(self.sums(x, cache), cache)

    def sums(self, x: np.ndarray, cache: dict) -> np.ndarray:
        """The output before it is rounded."""
        cache["layer"] = layer = copy.copy(self.inner)
        layer.params = self.quantised()
        return layer.forward(x, cache.setdefault("inner", {}))

    def quantised(self) -> dict[str, np.ndarray]:
        """The parameters as the integers have them, in real numbers."""
        grid: Grid = self.formats.grid
        steps = grid.steps.astype(self.dtype)
        params = {"weights": grid.codes(self.params["weights"]) * steps}
        if "bias" in self.params:
            codes = grid.biases(self.params["bias"], self.frac)
            params["bias"] = (codes * grid.steps * 2.0**-self.frac).astype(self.dtype)
        return params

    def gradients(self, dy, cache):
        return cache["layer"].gradients(self.passed(dy, cache), cache["inner"])

    def backward(self, dy, cache):
        return cache["layer"].backward(self.passed(dy, cache), cache["inner"])


class FakePool(Rounded):
    """A pooling by sums, each rounded exactly, whatever it is divided by.

    Parameters
    ----------
    inner : Pool
    formats : Formats
    frac : int
        Fraction bits of the input.
    """

    def __init__(self, inner: Pool, formats: Formats, frac: int):
        super().__init__(inner, formats)
        self.frac = frac
        self.sums = copy.copy(inner)
        self.sums.mode = "sum"
        self.divisor = int(np.prod(inner.geometry.kernel)) if inner.mode == "avg" else 1

    def forward(self, x, cache):
        sums = self.sums.forward(x, cache.setdefault("inner", {}))
        if self.divisor & (self.divisor - 1) == 0:
            return self.rounded(sums * sums.dtype.type(1 / self.divisor), cache)
        # A quotient of integers below 2**53 that is none itself lies too far from the next one to become it.
        up = self.formats.dst.frac - self.frac
        divisor = 2 * self.divisor << max(-up, 0)
        numerators = sums.astype(np.float64) * 2.0 ** (self.frac + 1 + max(up, 0)) + divisor // 2
        codes = np.floor(numerators / divisor)
        return self.rounded((codes * 2.0**-self.formats.dst.frac).astype(sums.dtype), cache)

    def backward(self, dy, cache):
        dy = self.passed(dy, cache) * dy.dtype.type(1 / self.divisor)
        return self.sums.backward(dy, cache["inner"])


class FakeTable(Rounded):
    """An activation that looks its values up, with the derivative of its function.

    Parameters
    ----------
    inner : Tabled
    formats : Formats
    """

    def __init__(self, inner: Tabled, formats: Formats):
        super().__init__(inner, formats)
        index, dst = formats.index, formats.dst
        values = inner.values(index)
        self.table = dst.real(dst.quantise(values)).astype(self.dtype)
        exact = np.floor(values * 2.0**dst.frac + 0.5)
        self.within = (dst.min <= exact) & (exact <= dst.max)
        self.taken = Rounded(inner, Formats(index))

    @property
    def bounds(self):
        return self.formats.index

    def forward(self, x, cache):
        x = self.taken.rounded(x, cache)
        self.inner.forward(x, cache.setdefault("inner", {}))  # for its derivative
        index = self.formats.index
        codes = (x * x.dtype.type(2.0**index.frac)).astype(np.intp) & ((1 << index.width) - 1)
        cache["passes"] &= self.within[codes]
        return self.table[codes]


class Passing(Rounded):
    """A ReLU whose input is rounded and saturated as its output would be: nothing is left to do."""

    def forward(self, x, cache):
        return x

    def backward(self, dy, cache):
        return dy
