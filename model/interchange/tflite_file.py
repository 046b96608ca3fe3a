"""The tables of a TFLite file: tensors, constants, operators, and nothing of what they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model.arithmetic.qformat import QFormat
from model.interchange.description import Values, problem

MAX_BYTES, MAX_OPERATORS, MAX_TENSORS, MAX_VALUES = 1 << 23, 128, 4096, 1 << 24
"""Larger files and nets are refused before anything is made of them."""
MAX_DIMS, MAX_ENDS = 8, 64
"""Dimensions of a tensor, and inputs or outputs of an operator."""
NAME_LENGTH = 60
"""Characters of a tensor's name that a report shows."""


class Tensor:
    """A tensor of the file.

    Attributes
    ----------
    index : int
        Its number in the file.
    name : str
    dims : tuple of int
        The batch included.
    type : str
        As the format calls it, such as ``INT8``.
    scales, zeros : ndarray
        Its quantisation: one number, one a channel, or none.
    axis : int
        Along which there is a scale for each channel.
    data : ndarray or None
        A constant's values.
    """

    def __init__(self, index: int, table, vectors: Vectors, buffers: Callable, types: dict[int, str]):
        name = vectors.text(table.Name())
        self.index, self.name = index, shortened(name.decode(errors="replace")) or f"tensor{index}"
        self.dims = tuple(vectors.numbers(table.ShapeAsNumpy(), int).tolist())
        if len(self.dims) > MAX_DIMS:
            raise ValueError(
                f"tensor {index} {self.name!r} has {len(self.dims):,} dimensions; up to {MAX_DIMS} are"
                " accepted"
            )
        self.type = types.get(table.Type(), f"type {table.Type()}")
        quantised = table.Quantization()
        self.scales = vectors.numbers(quantised.ScaleAsNumpy() if quantised else 0, np.float32)
        self.zeros = vectors.numbers(quantised.ZeroPointAsNumpy() if quantised else 0, np.int64)
        self.axis = quantised.QuantizedDimension() if quantised else 0
        self.data = None
        raw, kind = buffers(table.Buffer()), {"INT8": np.int8, "INT32": "<i4"}.get(self.type)
        if raw is not None and kind is not None:
            values = np.frombuffer(raw.tobytes(), kind)
            if min(self.dims, default=1) >= 0 and values.size == math.prod(self.dims):
                self.data = values.astype(np.int64).reshape(self.dims)

    @property
    def key(self) -> str:
        """Number and name."""
        return f"{self.index} {self.name}"

    @property
    def values(self) -> Values:
        """The tensor as values on their way through the net.

        Raises
        ------
        ValueError
            If they are no 8-bit integers of one scale, or of more than one image.
        """
        what = f"tensor {self.index} {self.name!r}"
        if self.type != "INT8":
            raise ValueError(problem(f"type of {what}", self.type, "INT8"))
        if self.dims[:1] != (1,) or len(self.dims) > 4 or min(self.dims) < 1:
            raise ValueError(
                problem(f"shape of {what}", list(self.dims), "up to four dimensions, the first 1")
            )
        if math.prod(self.dims) > MAX_VALUES:
            raise ValueError(problem(f"shape of {what}", list(self.dims), f"up to {MAX_VALUES:,} values"))
        steps, zeros = self.scales.tolist(), self.zeros.tolist()
        if len(steps) != 1 or len(zeros) != 1 or not 0 < steps[0] < math.inf or not -128 <= zeros[0] <= 127:
            raise ValueError(
                problem(
                    f"quantisation of {what}", f"scale {steps[:3]}, zero point {zeros[:3]}",
                    "one scale above 0, one zero point from -128 to 127",
                )
            )  # fmt: skip
        return Values(self.dims[1:], QFormat(8, 0), steps[0], zeros[0])

    def per_channel(self, axis: int) -> np.ndarray | None:
        """The scales along an axis, or None if there are others, or zero points."""
        channels = self.dims[axis]
        known = self.scales.size == 1 or (self.scales.size == channels and self.axis == axis % len(self.dims))
        if not known or self.zeros.any() or not np.isfinite(self.scales).all() or self.scales.min() <= 0:
            return None
        return np.broadcast_to(self.scales, channels)


class Operator:
    """An operator of the file.

    Attributes
    ----------
    kind : str
        As the format calls it, such as ``CONV_2D``.
    where : str
        Its place, kind and name, for reports.
    inputs, outputs : list of Tensor or None
        None for an optional one that is not there.
    """

    def __init__(self, number: int, kind: str, inputs, outputs, table):
        self.kind, self.inputs, self.outputs, self.table = kind, inputs, outputs, table
        name = next((tensor.name for tensor in outputs if tensor), "")
        self.where = f"operator {number} {kind} {name!r}"
        self.problems: list[str] = []

    def input(self, place: int) -> Tensor | None:
        """An input, if it is there."""
        return self.inputs[place] if place < len(self.inputs) else None

    def options(self, kind: str):
        """Its attributes, as the package's class of this name."""
        import tflite

        table, made = self.table.BuiltinOptions(), getattr(tflite, kind)()
        if table is None or self.table.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, kind):
            raise ValueError("its attributes are missing, or another operator's; the file is damaged")
        made.Init(table.Bytes, table.Pos)
        return made

    def demand(self, holds: bool, attribute: str, found, accepted: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(problem(attribute, found, accepted))


class File:
    """A file whose tables are read; raises ValueError if it is no such file.

    Attributes
    ----------
    tensors : list of Tensor
    operators : list of Operator
    inputs, outputs : list of Tensor
    """

    def __init__(self, path):
        import tflite

        if Path(path).stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        data = Path(path).read_bytes()
        if not tflite.Model.ModelBufferHasIdentifier(data, 0):
            raise ValueError("it is no TFLite file")
        try:
            self.read(tflite, tflite.Model.GetRootAs(data, 0))
        except ValueError:
            raise
        except Exception as error:  # whatever a damaged file provokes in flatbuffers or NumPy
            raise ValueError(f"the file is damaged ({type(error).__name__})") from None

    def read(self, tflite, model) -> None:
        """All tables of the model."""
        if model.SubgraphsLength() != 1:
            raise ValueError(f"it has {model.SubgraphsLength()} subgraphs; one is accepted")
        graph = model.Subgraphs(0)
        if not 0 < graph.OperatorsLength() <= MAX_OPERATORS or graph.TensorsLength() > MAX_TENSORS:
            raise ValueError(
                f"it has {graph.OperatorsLength():,} operators and {graph.TensorsLength():,} tensors;"
                f" 1 to {MAX_OPERATORS:,} and up to {MAX_TENSORS:,} are accepted"
            )
        types, kinds, vectors = named(tflite.TensorType), named(tflite.BuiltinOperator), Vectors()

        def buffer(index):
            if not 0 < index < model.BuffersLength():
                return None
            raw = model.Buffers(index).DataAsNumpy()
            return None if np.isscalar(raw) else vectors.counted(raw)

        def chosen(indices, what="the net"):
            """Tensors by their numbers; None for -1."""
            found = vectors.numbers(indices, int).tolist()
            if len(found) > MAX_ENDS:
                raise ValueError(
                    f"{what} has {len(found):,} inputs or outputs; up to {MAX_ENDS} are accepted"
                )
            if wrong := [index for index in found if not -1 <= index < len(self.tensors)]:
                raise ValueError(f"it is damaged: {what} names tensor {wrong[0]}, which is not there")
            return [None if index < 0 else self.tensors[index] for index in found]

        self.tensors = [
            Tensor(index, graph.Tensors(index), vectors, buffer, types)
            for index in range(graph.TensorsLength())
        ]
        self.operators = []
        for number in range(graph.OperatorsLength()):
            table = graph.Operators(number)
            if table.OpcodeIndex() >= model.OperatorCodesLength():
                raise ValueError(f"it is damaged: operator {number} is of no kind")
            code = model.OperatorCodes(table.OpcodeIndex())
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            ends = [chosen(e, f"operator {number}") for e in (table.InputsAsNumpy(), table.OutputsAsNumpy())]
            self.operators.append(Operator(number, kinds.get(kind, f"operator {kind}"), *ends, table))
        self.inputs, self.outputs = chosen(graph.InputsAsNumpy()), chosen(graph.OutputsAsNumpy())


class Vectors:
    """What of a file is copied, which together is no more than a file may have.

    Tables may share their parts, so a small file can hold as much as it likes.
    """

    def __init__(self):
        self.taken = 0

    def counted(self, vector: np.ndarray) -> np.ndarray:
        """A vector of the file."""
        self.taken += vector.nbytes
        if self.taken > MAX_BYTES:
            raise ValueError(
                f"its tensors share what they hold, and are larger together than {MAX_BYTES:,} bytes"
            )
        return vector

    def numbers(self, vector, kind) -> np.ndarray:
        """Numbers of the file; the package gives 0 for a vector that is missing."""
        return np.zeros(0, kind) if np.isscalar(vector) else self.counted(np.asarray(vector)).astype(kind)

    def text(self, vector: bytes | None) -> bytes:
        """The beginning of a text; more of it than reports show."""
        return self.counted(np.frombuffer(vector or b"", np.uint8))[: 8 * NAME_LENGTH].tobytes()


def named(enumeration: type) -> dict[int, str]:
    """The names of an enumeration's numbers."""
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


def shortened(name: str) -> str:
    """A tensor's name as reports show it; converters join the names of all layers that they fuse."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..."
