"""The hardware of `model.arithmetic.qformat.Requant`: shift, round half up, saturate."""

from __future__ import annotations

from hdl.devices.device import Device
from hdl.parts.pipe import Pipe
from hdl.parts.rounding import RequantPipe
from model.layers.requant import RequantSpec


def requant_parts(spec: RequantSpec, lanes: int, device: Device) -> list[Pipe]:
    """Stage of a `RequantSpec`."""
    return [RequantPipe(spec.src, spec.dst, lanes)] if spec.src != spec.dst else []
