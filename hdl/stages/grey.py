"""Colour to grey, a pixel a cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.parts.comparing import larger, smaller
from hdl.parts.pipe import Pipe, delayed, lanes_of, tree, tree_latency
from hdl.parts.repack import repack
from hdl.products.weigh import floor_parts, weigh_parts
from model.layers.grey import GreySpec


class ExtremesPipe(Pipe):
    """The largest value of a pixel plus the smallest: twice its lightness.

    Latency: 3 cycles, two to compare and one to add. Throughput: one pixel a cycle.
    """

    def __init__(self, spec: GreySpec):
        self.spec, self.taps = spec, spec.in_shape[2]
        super().__init__(
            lanes_of(spec.src, self.taps), lanes_of(spec.sum_format, 1), tree_latency(self.taps) + 1
        )

    def elaborate(self, platform):
        m = Module()
        values = [self.i.payload[channel] for channel in range(self.taps)]
        largest, _ = tree(m, values, larger, "largest")
        smallest, _ = tree(m, values, smaller, "smallest")
        both = Signal.like(self.o.payload[0], name="both", reset_less=True)
        m.d.sync += both.eq(largest + smallest)
        m.d.comb += [
            self.o.payload[0].eq(both),
            self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False)),
        ]
        return m


def grey_parts(spec: GreySpec, lanes: int, device: Device) -> list[wiring.Component]:
    """Stage of a `GreySpec`: beats of `lanes` values in, of one grey level out.

    Latency, from a whole pixel: average 2 (a sum) + 4 (a division), lightness 3 + 2 (a shift), luminosity
    3 + 4 cycles, and the FIFO's of the `Elastic` around them.
    """
    pixel = repack(spec.src, lanes, spec.in_shape[2])
    if spec.weights is None:
        return [*pixel, ExtremesPipe(spec), *floor_parts(spec, 1)]
    return [*pixel, *weigh_parts(spec, 1)]
