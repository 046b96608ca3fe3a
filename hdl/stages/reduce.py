"""Reduction kernels: a window of each channel, summed with constant weights and divided."""

from __future__ import annotations

from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.folding.lanes import pooled
from hdl.parts.raster import window_parts
from hdl.parts.repack import repack
from hdl.products.weigh import weigh_parts
from model.layers.reduce import ReduceSpec


def reduce_parts(spec: ReduceSpec, lanes: int, device: Device) -> list[wiring.Component]:
    """Stage of a `ReduceSpec`; as many lanes come out as went in, or fewer of several pixels.

    Throughput: the `Window`'s, a position of the padded image a cycle. Latency: the window's, the
    `WeighPipe`'s, and 2 cycles for a divisor that is a power of two, 4 for another.
    """
    taken, made = pooled(spec, lanes)
    window = window_parts(spec.in_shape, spec.geometry, spec.src, taken, 0, device, together=True)
    return [*repack(spec.src, lanes, taken), *window, *weigh_parts(spec, made)]
