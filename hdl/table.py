"""Activations by table."""

from __future__ import annotations

from amaranth.hdl import Module, Value

from hdl.device import Device
from hdl.memory import Rom
from hdl.pipe import Pipe, delayed, lanes_of
from model.layers.table import TableSpec


class TablePipe(Pipe):
    """Looks every lane up in a ROM of its own. Latency: `Rom.latency` cycles.

    Parameters
    ----------
    spec : TableSpec
    lanes : int
    device : Device
    """

    def __init__(self, spec: TableSpec, lanes: int, device: Device):
        self.spec, self.lanes, self.device = spec, lanes, device
        super().__init__(lanes_of(spec.src, lanes), lanes_of(spec.dst, lanes), Rom.latency)

    def elaborate(self, platform):
        m = Module()
        mask = (1 << self.spec.dst.width) - 1
        words = [int(entry) & mask for entry in self.spec.table]
        for lane in range(self.lanes):
            m.submodules[f"rom{lane}"] = rom = Rom(self.spec.dst.width, words, self.device)
            m.d.comb += rom.addr.eq(Value.cast(self.i.payload[lane]))
            m.d.comb += self.o.payload[lane].eq(rom.data)
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m


def table_parts(spec: TableSpec, lanes: int, device: Device) -> list[Pipe]:
    """Stage of a `TableSpec`."""
    return [TablePipe(spec, lanes, device)]
