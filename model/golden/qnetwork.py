"""The golden model: a quantised net in integers, which every simulation and netlist is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from model.arithmetic.chunks import chunk_of
from model.arithmetic.exact import narrowest
from model.arithmetic.geometry import Shape
from model.arithmetic.qformat import QFormat
from model.arithmetic.scratch import held
from model.golden import qchain
from model.golden.spec import Spec
from model.golden.workers import Workers

MOST = 96
"""Images that go through the layers together."""


@dataclass(frozen=True, eq=False)
class QNetwork:
    """A chain of quantised layers.

    Parameters
    ----------
    name : str
    input_format : QFormat
        Format of the pixels.
    specs : tuple of Spec
        In order; each layer's input is the output of the one before.
    metadata : dict
        Whatever JSON holds: how the net was trained, its accuracy, its classes' names.
    classifies : bool
        Whether its outputs are logits, the largest of which is the answer; else they are the answer
        themselves, a tensor of values.

    Raises
    ------
    ValueError
        If shapes or formats of neighbours differ, or a name stands twice.
    """

    name: str
    input_format: QFormat
    specs: tuple[Spec, ...]
    metadata: dict = field(default_factory=dict)
    classifies: bool = True

    def __post_init__(self):
        if not self.specs:
            raise ValueError(f"net {self.name!r} has no layers")
        names = [spec.name for spec in qchain.walk(self.specs)]
        for spec in qchain.walk(self.specs):
            if names.count(spec.name) > 1:
                spec.fail("another layer has the same name")
        qchain.check(self.specs, self.specs[0].in_shape, self.input_format)

    @property
    def in_shape(self) -> Shape:
        """Height, width and channels of an image."""
        return self.specs[0].in_shape

    @property
    def out_shape(self) -> Shape:
        """Height, width and channels of the last layer's output."""
        return self.specs[-1].out_shape

    @property
    def output_format(self) -> QFormat:
        """Format of the logits, or of the values."""
        return self.specs[-1].dst

    @property
    def outputs(self) -> int:
        """Number of logits, one a class, or of values."""
        return int(np.prod(self.out_shape))

    @property
    def macs(self) -> int:
        """Multiplications a frame."""
        return sum(spec.macs for spec in self.specs)

    @property
    def params(self) -> int:
        """Trained numbers."""
        return sum(spec.params for spec in self.specs)

    def trace(self, images: np.ndarray) -> list[np.ndarray]:
        """Output of every layer.

        Parameters
        ----------
        images : ndarray of int, (N, H, W, C)
            In `input_format`; the grey levels 0..255 of an image for the unsigned 8-bit one.

        Returns
        -------
        list of ndarray of int64
            For each layer (N, *out_shape).
        """
        images = self.checked(images)
        outputs = [np.empty((len(images), *spec.out_shape), np.int64) for spec in self.specs]

        def task(chunk, caches):
            values = qchain.outputs(self.specs, self.engine(images[chunk], caches), caches)
            for output, y in zip(outputs, values):
                output[chunk] = y.transpose(3, 0, 2, 1)

        with Workers.of(self) as workers:
            workers.map(task, len(images), self.chunk)
        return outputs

    def logits(self, images: np.ndarray, threads: int = 1) -> np.ndarray:
        """The last layer's integers, (N, outputs) int64, in raster order, channels last.

        Parameters
        ----------
        images : ndarray of int, (N, H, W, C)
            As for `trace`.
        threads : int
            Threads that share the images.
        """
        images = self.checked(images)
        logits = np.empty((len(images), self.outputs), np.int64)

        def task(chunk, caches):
            y = qchain.output(self.specs, self.engine(images[chunk], caches), caches)
            logits[chunk] = y.transpose(3, 0, 2, 1).reshape(-1, self.outputs)

        with Workers.of(self, threads) as workers:
            workers.map(task, len(images), self.chunk)
        return logits

    @cached_property
    def chunk(self) -> int:
        """Images that go through the layers together."""
        largest = max(int(np.prod(spec.out_shape)) for spec in qchain.walk(self.specs))
        return chunk_of(largest, MOST)

    def new_caches(self) -> list[dict]:
        """Working memory of one thread: a dict for each layer, and one for the images."""
        return [*qchain.new_caches(self.specs), {}]

    def engine(self, images: np.ndarray, caches: list[dict]) -> np.ndarray:
        """Images in the engine's layout and a type that layers take."""
        return held(images.transpose(1, 3, 2, 0), narrowest(self.input_format.magnitude), caches[-1])

    def answer(self, logits: np.ndarray) -> int | None:
        """The class of one image by its logits, the first of equals; None if the net does not classify."""
        return int(logits.argmax()) if self.classifies else None

    def classify(self, images: np.ndarray, threads: int = 1) -> np.ndarray:
        """Index of the largest logit, the first of equals: (N,) int64."""
        return self.logits(images, threads).argmax(axis=1)

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of images whose class is their label."""
        return float(np.mean(self.classify(images) == np.asarray(labels)))

    def checked(self, images: np.ndarray) -> np.ndarray:
        """The images, or a ValueError if their shape or values are not the net's."""
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != self.in_shape:
            raise ValueError(
                f"net {self.name!r} takes images of {'x'.join(map(str, self.in_shape))} (height, width,"
                f" channels), not {'x'.join(map(str, images.shape[1:]))}"
            )
        if images.dtype.kind not in "iu" or not self.input_format.contains(images):
            raise ValueError(f"net {self.name!r} takes integers of {self.input_format}")
        return images
