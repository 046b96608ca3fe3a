"""LiteRT's reference kernels, tensor by tensor, and the golden model likewise: to compare all of them."""

from __future__ import annotations

import numpy as np
import pytest


def tensors(path, images: np.ndarray) -> dict[int, np.ndarray]:
    """Every tensor of a TFLite file for each of some images, int8 (N, ...), by its number.

    Parameters
    ----------
    path : path
    images : ndarray of int8, (N, ...)
        In the net's own shape.
    """
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    interpreter = litert.Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    computed = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] == np.int8]
    found: dict[int, list] = {detail["index"]: [] for detail in computed}
    for image in images:
        if entry["dtype"] == np.float32:  # the net quantises it first
            (first,) = (d for d in computed if d["name"] == "t0")
            scale, zero = first["quantization"]
            image = (image.astype(np.float32) - zero) * np.float32(scale)
        interpreter.set_tensor(entry["index"], image.reshape(entry["shape"]).astype(entry["dtype"]))
        interpreter.invoke()
        for index, values in found.items():
            values.append(interpreter.get_tensor(index).copy())
    return {index: np.stack(values) for index, values in found.items()}


def golden(net, images: np.ndarray) -> dict[str, np.ndarray]:
    """The output of every layer, also of those in branches, by the layers' names: (N, ...)."""
    found: dict[str, np.ndarray] = {}

    def through(specs, x):
        for spec in specs:
            for branch in spec.branches:
                through(branch, x)
            x = found[spec.name] = spec.run(x)
        return x

    through(net.specs, images.reshape(-1, *net.in_shape))
    return found


def compare(path, net, images: np.ndarray) -> int:
    """Assert that all outputs are equal; how many layers were compared."""
    ours, theirs = golden(net, images), tensors(path, images)
    names = net.metadata["converted"]["tensors"]
    for name, tensor in names.items():
        expected = theirs[int(tensor.split()[0])]
        values, expected = (each.reshape(len(images), -1) for each in (ours[name], expected))
        np.testing.assert_array_equal(values, expected, err_msg=f"{name}: {tensor}")
    traced = net.trace(images.reshape(-1, *net.in_shape))
    for spec, values in zip(net.specs, traced):
        np.testing.assert_array_equal(values, ours[spec.name])
    return len(names)
