"""Operators that compute nothing but the shape for a RESHAPE.

Keras' Flatten and Reshape become such where the batch is left open: SHAPE, STRIDED_SLICE and PACK ask how
many images there are. The file tells the shape that the RESHAPE gives, and for one image it is that.
"""

from __future__ import annotations

from model.interchange.tflite_file import Operator, Tensor

OF_SHAPES = {"SHAPE", "STRIDED_SLICE", "PACK"}
RESHAPE = "RESHAPE"


def without_shapes(operators: list[Operator], sink: Tensor) -> tuple[list[Operator], list[Operator]]:
    """The operators but for those of shapes alone, and these; a RESHAPE keeps no input that they computed."""
    left_out: list[Operator] = []
    for operator in reversed(operators):  # those that use a tensor stand behind the one that makes it
        # a RESHAPE too, where it is only asked for its shape
        if operator.kind in {*OF_SHAPES, RESHAPE} and all(
            made is not None and made is not sink and only_shapes(made, operators, left_out)
            for made in operator.outputs
        ):
            left_out.append(operator)
    gone = {id(made) for operator in left_out for made in operator.outputs}
    for operator in operators:
        if operator.kind == RESHAPE:
            operator.inputs = [tensor for tensor in operator.inputs if id(tensor) not in gone]
    return [operator for operator in operators if operator not in left_out], left_out[::-1]


def only_shapes(made: Tensor, operators: list[Operator], left_out: list[Operator]) -> bool:
    """Whether all that use a tensor take it for a shape, and something does."""
    using = [operator for operator in operators if made in operator.inputs]
    return bool(using) and all(
        operator in left_out or (operator.kind == RESHAPE and made not in operator.inputs[:1])
        for operator in using
    )
