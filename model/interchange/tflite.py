"""Reads TFLite files: nets of 8-bit integers."""

from __future__ import annotations

from dataclasses import replace

from model.arithmetic.qformat import QFormat
from model.interchange.description import Description, Node, Refused, Unknown, Values
from model.interchange.tflite_file import File, Operator, Tensor
from model.interchange.tflite_operators import OPERATORS, folded_input, folded_output
from model.interchange.tflite_shapes import without_shapes

SOURCE = "TFLite, as LiteRT 2.3's reference kernels compute it (OpResolverType.BUILTIN_REF)"


def read(path) -> tuple[Description, list[str]]:
    """The description of a file, and the problems of its layers.

    Raises
    ------
    ValueError
        If nothing can be said of its layers.
    OSError
        If it cannot be opened.
    """
    try:
        file = File(path)
    except ImportError:
        raise ValueError("TFLite files need the package tflite (pip install tflite)") from None
    ends = (file.inputs, "inputs"), (file.outputs, "outputs")
    if wrong := [
        f"the net has {len([tensor for tensor in found if tensor])} {what}; accepted: one"
        for found, what in ends
        if len(found) != 1 or found[0] is None
    ]:
        raise Refused(wrong)
    reader = Reader(file)
    return reader.description, reader.problems


class Reader:
    """Makes a file's description, operator by operator, and gathers all problems.

    Attributes
    ----------
    description : Description
    problems : list of str
    """

    def __init__(self, file: File):
        self.description, self.problems = Description(SOURCE), []
        (source,), (sink,) = file.inputs, file.outputs
        operators, shapes = without_shapes(file.operators, sink)
        self.description.notes += [f"{operator.where}: of a shape that is known" for operator in shapes]
        while (found := folded_input(operators, source)) or (found := folded_output(operators, sink)):
            operator, note = found
            if operator.input(0) is source:
                source = operator.outputs[0]
            else:
                sink = operator.input(0)
            operators.remove(operator)
            self.description.softmax |= operator.kind == "SOFTMAX"
            self.description.notes.append(f"{operator.where}: {note}")
        for tensor in (source, sink):
            self.values(tensor)
        self.description.input, self.description.output = source.key, sink.key
        made = {source.key}
        for operator in operators:
            node = self.node(operator)
            if node.output in made:
                self.problems.append(f"{node.where}: its output is also made elsewhere; accepted: one maker")
            else:
                self.description.nodes.append(node)
            made.add(node.output)

    def values(self, tensor: Tensor) -> Values:
        """A tensor of the net; where it cannot be one, something in its place."""
        if tensor.key not in self.description.values:
            try:
                values = tensor.values
            except ValueError as error:
                self.problems.append(str(error))
                values = Values(tuple(max(n, 1) for n in tensor.dims[1:4]), QFormat(8, 0), 1.0, 0)
            self.description.values[tensor.key] = values
        return self.description.values[tensor.key]

    def node(self, operator: Operator) -> Node:
        """What an operator does; `Unknown` if that is among the problems now."""
        changing = [tensor for tensor in operator.inputs if tensor is not None and tensor.data is None]
        made = [tensor for tensor in operator.outputs if tensor is not None]
        ends = {
            "where": operator.where,
            "inputs": tuple(tensor.key for tensor in changing),
            "output": made[0].key if made else operator.where,
        }
        node = Unknown(**ends)
        for tensor in (*changing, *made):
            self.values(tensor)
        if operator.kind not in OPERATORS:
            operator.problems.append(f"is unknown; accepted: {', '.join(OPERATORS)}")
        elif not changing or operator.input(0) is not changing[0] or len(operator.outputs) != 1 or not made:
            operator.problems.append("has no input that is computed, or not one output")
        else:
            try:
                node = replace(OPERATORS[operator.kind](operator, self.values), **ends)
            except ValueError as error:
                operator.problems.append(str(error))
            except Exception as error:  # whatever a damaged file provokes in flatbuffers or NumPy
                operator.problems.append(f"is damaged ({type(error).__name__})")
        self.problems += [f"{operator.where}: {reason}" for reason in operator.problems]
        return Unknown(**ends) if operator.problems else node
