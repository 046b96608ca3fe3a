"""Nets that can be trained: the shipped ones by their names, and the user's by their files."""

from __future__ import annotations

import runpy
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.arithmetic.geometry import Shape
from model.files import artifact
from model.files.dataset import by
from model.net.chain import flow
from model.net.layer import Layer
from model.net.network import Network
from model.quantisation.widths import Widths
from model.training import description
from model.training.recipe import Recipe
from model.training.tuning import Tuning

MAX_VALUES = 1 << 22
"""Values of a layer's output for one image; more are a slip of the pen, and would fill the memory."""

DEFAULT_RECIPE, DEFAULT_WIDTHS, DEFAULT_TUNING = Recipe(**description.DEFAULTS), Widths(), Tuning()


@dataclass(frozen=True)
class Net:
    """A net's description; its shapes follow from the images.

    Attributes
    ----------
    name : str
    layers : callable
        Takes the number of classes, and gives new layers.
    recipe : Recipe
        Trains it well.
    weights, activations : Widths
        What it is quantised to.
    tuning : Tuning
        How it is quantised.
    """

    name: str
    layers: Callable[[int], list[Layer]]
    recipe: Recipe = DEFAULT_RECIPE
    weights: Widths = DEFAULT_WIDTHS
    activations: Widths = DEFAULT_WIDTHS
    tuning: Tuning = DEFAULT_TUNING

    def network(
        self, in_shape: Shape, classes: int, rng: np.random.Generator, dtype: type = np.float32
    ) -> Network:
        """The net for images of a size, with its first weights.

        Raises
        ------
        ValueError
            If it does not fit them; names the layer.
        """
        try:
            network = Network(self.layers(classes), in_shape, rng, dtype)
            for layer, _ in flow(network.layers):
                if (values := int(np.prod(layer.out_shape, dtype=object))) > MAX_VALUES:
                    raise ValueError(f"layer {layer.name!r}: {values:,} values; {MAX_VALUES:,} are possible")
        except ValueError as error:
            raise ValueError(f"net {self.name!r} does not fit the images: {error}") from None
        self.weights.check([layer.name for layer in network.layers if layer.weighted], "weights")
        self.activations.check([layer.name for layer in network.layers], "activations")
        return network


def check_classes(network: Network, classes: int) -> None:
    """Raise a ValueError, naming the layer, if a net does not give one value a class."""
    values = int(np.prod(network.out_shape))
    if values != classes:
        shaping = [
            layer for layer in network.layers if layer.weighted or layer.out_shape != layer.in_shape
        ] or network.layers
        raise ValueError(
            f"layer {shaping[-1].name!r}: the net ends in {counted(network.out_shape, 'value')}, but the"
            f' images have {classes} classes; end in {{dense = "classes"}}, or pool more before'
        )


def counted(shape: Shape, what: str) -> str:
    """A number of values with the shape in which they come, as people write them."""
    values = int(np.prod(shape))
    text = f"{values:,} {what}{'s' * (values != 1)}"
    return text if values == shape[2] else f"{by(shape)} = {text}"


def load(net: str) -> Net:
    """A net from a shipped one's name, a TOML file, or a Python file, which is run.

    A Python file defines ``layers``, a function that takes the number of classes and returns a list of
    layers; and if it likes ``recipe`` (a `Recipe`), ``weights`` and ``activations`` (`Widths`) and
    ``tuning`` (a `Tuning`).

    Raises
    ------
    ValueError
        If there is none, or what it says does not hold together; names the file and what in it.
    OSError
        If it cannot be read.
    """
    if net in NETS:
        return NETS[net]
    path = Path(net)
    if path.suffix not in READERS or "\0" in net or not path.is_file():
        raise ValueError(
            f"no net {net!r}: neither a .toml or .py file nor one of the shipped nets {', '.join(NETS)}"
        )
    try:
        name = artifact.check_name(path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; rename the file") from None
    return READERS[path.suffix](path, name)


def from_toml(path: Path, name: str) -> Net:
    """A net from a TOML file."""
    document = description.parse(path)

    def layers(classes: int) -> list[Layer]:
        return description.layers(document, classes, str(path))

    layers(2)  # what is wrong is said now
    return Net(
        name, layers, description.recipe(document, str(path)), **description.quantisation(document, str(path))
    )


def from_python(path: Path, name: str) -> Net:
    """A net from a Python file; it is run, as any program that a user names."""
    try:
        found = runpy.run_path(str(path))
        layers = found["layers"](2) if callable(found.get("layers")) else None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f", line {frame.lineno}" for frame in frames[::-1] if frame.filename == str(path)), "")
        raise ValueError(f"{path}{line}: {type(error).__name__}: {error}") from None
    if not isinstance(layers, list) or not all(isinstance(layer, Layer) for layer in layers):
        raise ValueError(f"{path}: it defines no function layers(classes) that returns a list of layers")
    given = {}
    for key, kind in (("recipe", Recipe), ("weights", Widths), ("activations", Widths), ("tuning", Tuning)):
        if key in found:
            if not isinstance(found[key], kind):
                raise ValueError(f"{path}: {key} is a {kind.__name__}, not {found[key]!r}")
            given[key] = found[key]
    return Net(name, found["layers"], **given)


READERS = {".toml": from_toml, ".py": from_python}
"""What reads a description, by how its file's name ends."""
NETS = {path.stem: from_toml(path, path.stem) for path in sorted(artifact.ZOO.glob("*.toml"))}
"""The nets that ship, by the names that commands take."""
