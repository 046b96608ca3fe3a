"""Trained integer nets as files: an ``.npz`` of integer arrays and one JSON text; never a pickle.

The member ``net.json`` (bytes as a uint8 array) holds ``{"format", "name", "input_format", "layers",
"metadata"}``. A layer is ``{"kind", <scalar fields>}``; its array fields are members named
``<layer>/<field>``, where ``<layer>`` is the position in the net. A branch of layers is a list of such
layers; there ``<layer>`` is ``<layer>/<branch>/<position in the branch>``.

A net is written in the first format that can hold it, so that older versions read what they can run.
Format 2 added to convolutions groups, dilation and biases by pixel, format 3 residual additions and scales
by channel, format 4 rescales and padding that is no zero, format 5 nets whose outputs are no classes
(``"classifies": false``).
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from model.arithmetic.qformat import QFormat
from model.files import archive
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec
from model.layers import SPECS

FORMATS = (1, 2, 3, 4, 5)
ADDED = {"groups": 2, "dilation": 2, "shifts": 3, "fill": 4}
"""Fields that came after the first format, and with which."""
VALUES = 5
"""The first format that knows nets which do not classify."""
TEXT = "net.json"
ZOO = Path(__file__).parents[1] / "zoo"
MAX_BYTES = 1 << 28
"""Larger artifacts are refused before they are unpacked; a weight takes 1 to 8 bytes."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
"""Names of nets and layers: they end up in Verilog, paths and reports."""


def names() -> list[str]:
    """Names of the nets that ship trained."""
    return sorted(path.stem for path in ZOO.glob("*.npz"))


def find(net: str) -> Path:
    """The artifact that a user means: a shipped net's name, or the path of a file.

    Raises
    ------
    ValueError
        If there is neither.
    """
    shipped = ZOO / f"{net}.npz"
    if NAME.fullmatch(net) and shipped.is_file():
        return shipped
    if Path(net).is_file():
        return Path(net)
    raise ValueError(f"no net {net!r}: neither a file nor one of the shipped nets {', '.join(names())}")


def save(path, net: QNetwork) -> None:
    """Write a net's artifact; `path` is replaced whole, by what gives the same net again, or left alone."""
    archive.write(path, TEXT, *described(net), again=lambda place: described(read(place)), compress=True)


def described(net: QNetwork) -> tuple[dict, dict[str, np.ndarray]]:
    """A net as an artifact holds it: its JSON description and its arrays."""
    version = max(1 if net.classifies else VALUES, *(spec.since for spec in walk(net.specs)))
    arrays: dict[str, np.ndarray] = {}
    layers = encode(net.specs, version, arrays)
    text = {
        "format": version,
        "name": net.name,
        "input_format": dataclasses.asdict(net.input_format),
        "layers": layers,
        "metadata": net.metadata,
        **({} if net.classifies else {"classifies": False}),
    }
    return text, arrays


def encode(specs: tuple[Spec, ...], version: int, arrays: dict[str, np.ndarray], at: str = "") -> list[dict]:
    """Layers as JSON holds them; what they hold of arrays goes to `arrays`, by names that begin with `at`."""
    layers = []
    for index, spec in enumerate(specs):
        layer = {"kind": spec.kind}
        for field in fields_of(spec, version):
            value, name = getattr(spec, field.name), f"{at}{index}/{field.name}"
            if isinstance(value, np.ndarray):
                arrays[name] = narrow(value)
            elif isinstance(value, QFormat):
                layer[field.name] = dataclasses.asdict(value)
            elif isinstance(value, tuple) and spec.branches and value in spec.branches:
                layer[field.name] = encode(value, version, arrays, f"{name}/")
            else:
                layer[field.name] = value
        layers.append(layer)
    return layers


def load(net) -> QNetwork:
    """Read a net from a shipped net's name or a file.

    Raises
    ------
    ValueError
        If it does not exist, is no artifact, has another format version, or describes a net that does
        not fit together. The message names the file.
    OSError
        If it cannot be opened.
    """
    return read(find(str(net)))


def read(path: Path) -> QNetwork:
    """The net of an artifact's file; raises as `load` does."""
    with archive.reading(path, TEXT, MAX_BYTES, "cannot read net", "artifact") as (text, arrays):
        return decode(text, arrays)


def decode(description: dict, arrays) -> QNetwork:
    """A net from its JSON description and its arrays."""
    version = description["format"]
    if type(version) is not int or version not in FORMATS:
        raise ValueError(
            f"artifact format {version!r}, but this version reads formats {FORMATS[0]} to {FORMATS[-1]};"
            " train the net again or use the matching version"
        )
    classifies = description.get("classifies", True) if version >= VALUES else True
    if type(classifies) is not bool:
        raise ValueError(f"classifies must be true or false, not {classifies!r}")
    return QNetwork(
        check_name(description["name"]),
        QFormat(**description["input_format"]),
        layers_of(description["layers"], version, arrays),
        dict(description["metadata"]),
        classifies,
    )


def layers_of(layers: list[dict], version: int, arrays, at: str = "") -> tuple[Spec, ...]:
    """Layers from their JSON and from the arrays whose names begin with `at`."""
    specs = []
    for index, layer in enumerate(layers):
        if layer["kind"] not in SPECS:
            raise ValueError(f"layer {at}{index} is of the unknown kind {layer['kind']!r}")
        spec, fields = SPECS[layer["kind"]], {}
        for field in fields_of(spec, version):
            name = f"{at}{index}/{field.name}"
            if name in arrays:
                fields[field.name] = arrays[name]
            elif field.name in layer:
                value = layer[field.name]
                if isinstance(value, dict):
                    value = QFormat(**value)
                elif holds_layers(value):
                    value = layers_of(value, version, arrays, f"{name}/")
                fields[field.name] = frozen(value)
        # An array of a later format would be passed over, and the net be another one.
        given = layer.keys() | {name for name in ADDED if f"{at}{index}/{name}" in arrays}
        if unknown := given - fields.keys() - {"kind"}:
            raise ValueError(f"layer {at}{index} has an unknown field {min(unknown)!r}")
        check_name(fields["name"])
        specs.append(spec(**fields))
        if specs[-1].since > version:
            specs[-1].fail(f"such a layer needs artifact format {specs[-1].since}, not {version}")
    return tuple(specs)


def holds_layers(value) -> bool:
    """Whether a JSON value is a branch of layers."""
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def fields_of(spec, version: int) -> list[dataclasses.Field]:
    """The fields of a kind of layer, or of one, that a format of artifacts holds."""
    return [field for field in dataclasses.fields(spec) if ADDED.get(field.name, 1) <= version]


def check_name(name: str) -> str:
    """The name itself, or a ValueError if it could not name a file or a signal."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} is not a letter followed by up to 31 letters, digits or _")
    return name


def frozen(value):
    """JSON lists as tuples, all the way down."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def narrow(array: np.ndarray) -> np.ndarray:
    """The same integers in the smallest dtype that holds them."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    dtype = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    # A float is what NumPy takes for a signed integer together with an unsigned one of the widest kind.
    return array.astype(dtype if dtype.kind in "iu" else np.int64)
