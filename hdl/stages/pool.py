"""Pooling: a window of each channel, reduced to its maximum, average or sum."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.folding.lanes import pooled
from hdl.parts.comparing import larger
from hdl.parts.pipe import Pipe, delayed, lanes_of, tree, tree_latency
from hdl.parts.raster import window_parts
from hdl.parts.repack import repack
from hdl.parts.rounding import AveragePipe, RequantPipe
from hdl.stages.collect import CollectPipe, Tiles, collects
from model.layers.pool import PoolSpec


class ReducePipe(Pipe):
    """Maximum or sum of the pixels of a window, lane by lane.

    Latency: ceil(log2(r_h * r_w)) cycles.

    Parameters
    ----------
    spec : PoolSpec
    lanes : int
        Channels of a beat.
    """

    def __init__(self, spec: PoolSpec, lanes: int):
        self.spec, self.lanes, self.taps = spec, lanes, spec.kernel[0] * spec.kernel[1]
        out = spec.dst if spec.mode == "max" else spec.sum_format
        super().__init__(lanes_of(spec.src, self.taps * lanes), lanes_of(out, lanes), tree_latency(self.taps))

    def elaborate(self, platform):
        m = Module()

        combine = larger if self.spec.mode == "max" else lambda a, b: a + b
        for lane in range(self.lanes):
            values = [self.i.payload[tap * self.lanes + lane] for tap in range(self.taps)]
            result, _ = tree(m, values, combine, f"lane{lane}")
            m.d.comb += self.o.payload[lane].eq(result)
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m


def pool_parts(spec: PoolSpec, lanes: int, device: Device) -> list[wiring.Component]:
    """Stage of a `PoolSpec`; as many lanes come out as went in, or fewer of several pixels."""
    taken, made = pooled(spec, lanes)
    if collects(spec, lanes):
        tiles = Tiles(spec, lanes)
        parts = [tiles, CollectPipe(tiles, device)]
    else:
        parts = [
            *repack(spec.src, lanes, taken),
            *window_parts(spec.in_shape, spec.geometry, spec.src, taken, spec.fill, device, together=True),
            ReducePipe(spec, made),
        ]
    if spec.mode == "avg":
        parts.append(AveragePipe(spec, made))
    elif spec.mode == "sum" and spec.sum_format != spec.dst:
        parts.append(RequantPipe(spec.sum_format, spec.dst, made))
    return parts
