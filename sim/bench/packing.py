"""Between arrays of integers and the bytes that a simulation reads and writes, for any payload shape.

Values of a payload are nested as its shape is: a plain shape is an array (n,), an ``ArrayLayout`` of them an
array (n, length), a ``StructLayout`` a dict of such; an array of structures is a dict of arrays. Integers are
int64 where a field has up to 63 bits, and Python's (dtype object) above.
"""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data

BLOCK = 1 << 16
"""Payloads that are packed together: one byte a bit stays in the cache."""


def row_bytes(shape) -> int:
    """Bytes of one payload in a file."""
    return (Shape.cast(shape).width + 7) // 8


def count(values) -> int:
    """Number of payloads that nested values hold."""
    while isinstance(values, dict):
        values = next(iter(values.values()))
    return len(values)


def block(values, part: slice):
    """Some of the payloads that nested values hold."""
    if isinstance(values, dict):
        return {name: block(inner, part) for name, inner in values.items()}
    return values[part]


def pack(shape, values) -> np.ndarray:
    """Values as rows of bytes, most significant byte first.

    Parameters
    ----------
    shape : ShapeLike
    values : array_like or dict
        Of n payloads.

    Returns
    -------
    ndarray of uint8, (n, row_bytes(shape))

    Raises
    ------
    ValueError
        If a value does not fit its field, or a field is missing.
    """
    rows = np.empty((count(values), row_bytes(shape)), np.uint8)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        bits = np.zeros((len(rows[part]), 8 * rows.shape[1]), np.uint8)
        write_bits(shape, block(values, part), bits, 0)
        rows[part] = np.packbits(bits, axis=1, bitorder="little")[:, ::-1]
    return rows


def write_bits(shape, values, bits: np.ndarray, offset: int) -> None:
    """Put the values of a field into the columns from `offset` on, one bit a column."""
    if isinstance(shape, data.Layout):
        for key, field in shape:
            write_bits(field.shape, element(shape, values, key), bits, offset + field.offset)
        return
    plain, values = Shape.cast(shape), np.asarray(values)
    low = -(1 << (plain.width - 1)) if plain.signed else 0
    high = (1 << (plain.width - plain.signed)) - 1
    if values.shape != bits.shape[:1]:
        raise ValueError(f"expected {len(bits)} values, not an array of {values.shape}")
    if values.dtype.kind not in "biuO" or (values.size and not low <= values.min() <= values.max() <= high):
        raise ValueError(f"values must be integers of {low} to {high}")
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    exact = values.astype(object if plain.width > 63 else np.int64)
    for bit in range(plain.width):
        bits[:, offset + bit] = (exact >> bit) & 1


def element(shape: data.Layout, values, key):
    """The values of one field of a structure or one element of an array."""
    if not isinstance(shape, data.ArrayLayout):
        names = {name for name, _ in shape}
        if not isinstance(values, dict) or set(values) != names:
            raise ValueError(f"expected a dict with the fields {sorted(names)}")
        return values[key]
    if isinstance(values, dict):
        return {name: element(shape, part, key) for name, part in values.items()}
    values = np.asarray(values)
    if values.ndim < 2 or values.shape[1] != shape.length:
        raise ValueError(f"expected {shape.length} values a beat, not an array of shape {values.shape}")
    return values[:, key]


def unpack(shape, rows: np.ndarray):
    """The inverse of `pack`.

    Parameters
    ----------
    shape : ShapeLike
    rows : ndarray of uint8, (n, row_bytes(shape))
    """
    bits = np.unpackbits(rows[:, ::-1], axis=1, bitorder="little")
    return read_bits(shape, bits, 0)


def read_bits(shape, bits: np.ndarray, offset: int):
    """Values of a field from the columns from `offset` on."""
    if isinstance(shape, data.Layout):
        parts = {key: read_bits(field.shape, bits, offset + field.offset) for key, field in shape}
        return stacked(list(parts.values())) if isinstance(shape, data.ArrayLayout) else parts
    plain = Shape.cast(shape)
    columns = bits[:, offset : offset + plain.width].astype(object if plain.width > 63 else np.int64)
    values = np.zeros(len(bits), columns.dtype)
    for bit in range(plain.width):
        weight = -(1 << bit) if plain.signed and bit == plain.width - 1 else 1 << bit
        values += columns[:, bit] * weight
    return values


def stacked(parts: list):
    """Elements of an array, each (n, ...), as one (n, length, ...)."""
    if isinstance(parts[0], dict):
        return {name: stacked([part[name] for part in parts]) for name in parts[0]}
    return np.stack(parts, axis=1)
