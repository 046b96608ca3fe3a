"""Writes TFLite files, table by table, with the format's own builders: right ones, and any that are not."""

from __future__ import annotations

import flatbuffers
import numpy as np
import tflite

TYPES = {"INT8": np.int8, "INT32": np.int32, "FLOAT32": np.float32}


class Writer:
    """A net of one subgraph.

    Tensors and operators are numbered in the order in which they are added.
    """

    def __init__(self):
        self.tensors: list[dict] = []
        self.operators: list[tuple] = []

    def tensor(
        self, shape, type="INT8", *, data=None, scales=(), zeros=None, axis=0, name=None, buffer=None
    ) -> int:
        """Add a tensor; its number. Its buffer's number is its own unless another one is given."""
        scales = np.atleast_1d(np.asarray(scales, np.float32))
        zeros = np.zeros(len(scales), int) if zeros is None else np.atleast_1d(zeros)
        self.tensors.append(
            dict(
                shape=tuple(map(int, shape)), type=type, data=data, scales=scales, zeros=zeros, axis=axis,
                name=f"t{len(self.tensors)}" if name is None else name, buffer=buffer,
            )
        )  # fmt: skip
        return len(self.tensors) - 1

    def constant(self, values, type="INT32", **quantisation) -> int:
        """Add a constant."""
        values = np.asarray(values)
        return self.tensor(values.shape, type, data=values.astype(TYPES[type]), **quantisation)

    def operator(self, kind: str, inputs, output, options: str | None = None, **attributes) -> int:
        """Add an operator with one output; the output's number."""
        self.operators.append((kind, list(inputs), [output], options, attributes))
        return output

    def write(self, path, source: int | list[int], sink: int | list[int]) -> None:
        """Write the file, with its input and its output."""
        path.write_bytes(self.content(source, sink))

    def content(self, source: int | list[int], sink: int | list[int], graphs: int = 1) -> bytes:
        """The file's bytes; equal vectors and texts in it are one."""
        self.builder, self.vectors = flatbuffers.Builder(1024), {}
        builder = self.builder
        data = [b""] + [one["data"].tobytes() for one in self.tensors if one["data"] is not None]
        buffers = [
            self.table("Buffer", Data=builder.CreateByteVector(each) if each else None) for each in data
        ]
        kinds = sorted({kind for kind, *_ in self.operators})
        codes = []
        for kind in kinds:
            number = getattr(tflite.BuiltinOperator, kind)
            fields = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": 1}
            codes.append(self.table("OperatorCode", **fields))
        tensors, filled = [], 0
        for tensor in self.tensors:
            filled += tensor["data"] is not None
            own = filled if tensor["data"] is not None else 0
            quantised = None
            if len(tensor["scales"]) or len(tensor["zeros"]):
                quantised = self.table(
                    "QuantizationParameters",
                    Scale=self.vector(tensor["scales"]),
                    ZeroPoint=self.vector(tensor["zeros"].astype(np.int64)),
                    QuantizedDimension=tensor["axis"],
                )
            fields = {
                "Shape": self.integers(tensor["shape"]),
                "Type": getattr(tflite.TensorType, tensor["type"]),
                "Buffer": own if tensor["buffer"] is None else tensor["buffer"],
                "Name": builder.CreateSharedString(tensor["name"]),
                "Quantization": quantised,
            }
            tensors.append(self.table("Tensor", **fields))
        operators = []
        for kind, inputs, outputs, options, attributes in self.operators:
            fields = {
                "OpcodeIndex": kinds.index(kind),
                "Inputs": self.integers(inputs),
                "Outputs": self.integers(outputs),
            }
            if options:
                fields["BuiltinOptions"] = self.table(options, **attributes)
                fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, options)
            operators.append(self.table("Operator", **fields))
        ends = {
            "Inputs": self.integers(np.atleast_1d(source)),
            "Outputs": self.integers(np.atleast_1d(sink)),
        }
        graph = self.table(
            "SubGraph", Tensors=self.offsets(tensors), Operators=self.offsets(operators), **ends
        )
        fields = {"OperatorCodes": codes, "Subgraphs": [graph] * graphs, "Buffers": buffers}
        model = self.table("Model", Version=3, **{key: self.offsets(all_) for key, all_ in fields.items()})
        builder.Finish(model, b"TFL3")
        return bytes(builder.Output())

    def table(self, kind: str, **fields) -> int:
        """A table with some of its fields."""
        getattr(tflite, f"{kind}Start")(self.builder)
        for name, value in fields.items():
            if value is not None:
                getattr(tflite, f"{kind}Add{name}")(self.builder, value)
        return getattr(tflite, f"{kind}End")(self.builder)

    def vector(self, values: np.ndarray) -> int:
        """A vector of numbers."""
        key = values.dtype.str, values.tobytes()
        if key not in self.vectors:
            self.vectors[key] = self.builder.CreateNumpyVector(values)
        return self.vectors[key]

    def integers(self, values) -> int:
        """A vector of 32-bit integers."""
        return self.vector(np.asarray(values, np.int32))

    def offsets(self, tables: list[int]) -> int:
        """A vector of tables."""
        self.builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self.builder.PrependUOffsetTRelative(table)
        return self.builder.EndVector()
