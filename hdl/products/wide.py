"""Products of factors that are wider than a multiplier: in parts, each in a multiplier of its own."""

from __future__ import annotations

from itertools import product

from amaranth.hdl import Module, Shape, Value

from hdl.devices.device import Device


def cut(shape: Shape, width: int) -> list[Shape]:
    """The parts of a factor from its low end, each of up to `width` bits as a signed number.

    All but the last have no sign. With a width of 0 nothing is cut.
    """
    step = width - 1
    if not width or shape.width + (not shape.signed) <= width:
        return [shape]
    whole = -(-(shape.width - shape.signed) // step) - 1
    top = Shape(shape.width - whole * step, shape.signed)
    return [Shape(step)] * whole + [top]


def pairs(device: Device, a: Shape, b: Shape) -> list[tuple[Shape, Shape]]:
    """The parts of two factors of a `wide_product`, each with each."""
    return list(product(cut(a, device.multiplier_width), cut(b, device.multiplier_width)))


def multipliers(device: Device, a: Shape, b: Shape) -> int:
    """Hard multipliers of a `wide_product`."""
    return sum(device.multipliers(1, *pair) for pair in pairs(device, a, b))


def wide_product(m: Module, a: Value, b: Value, device: Device, name: str) -> list[Value]:
    """Values whose sum is the product of two values, `Device.product_latency` cycles later.

    Parameters
    ----------
    m : Module
    a, b : Value
        Signed or unsigned, of any width.
    device : Device
    name : str
        Unique in the module.
    """
    width = device.multiplier_width
    made = []
    for (at, one), (where, other) in product(parts(a, width), parts(b, width)):
        made.append(device.multiply(m, one, other, f"{name}_{at}_{where}").shift_left(at + where))
    return made


def parts(value: Value, width: int) -> list[tuple[int, Value]]:
    """The parts of a value as `cut` has them, with the place of each one's lowest bit."""
    found, at = [], 0
    for shape in cut(value.shape(), width):
        part = value[at : at + shape.width]
        found.append((at, part.as_signed() if shape.signed else part))
        at += shape.width
    return found
