"""Activations by table."""

from __future__ import annotations

from amaranth.hdl import Module, Value

from hdl.devices.device import Device
from hdl.loadable.loading import Loads
from hdl.parts.memory import Rom
from hdl.parts.pipe import Pipe, delayed, lanes_of
from model.layers.table import TableSpec


class TablePipe(Pipe):
    """Looks every lane up in a ROM of its own. Latency: `Rom.latency` cycles.

    Parameters
    ----------
    spec : TableSpec
    lanes : int
    device : Device
    loads : Loads, optional
        Memories of tables that are written at run time.
    """

    def __init__(self, spec: TableSpec, lanes: int, device: Device, loads: Loads | None = None):
        self.spec, self.lanes, self.device, self.loads = spec, lanes, device, loads
        super().__init__(lanes_of(spec.src, lanes), lanes_of(spec.dst, lanes), Rom.latency)

    def elaborate(self, platform):
        m = Module()
        mask = (1 << self.spec.dst.width) - 1
        words = [int(entry) & mask for entry in self.spec.table]
        if self.loads is not None:
            table = self.loads.rom(m, f"{self.spec.name}.table", self.device, self.lanes)
            ports = list(zip(table.addr, table.data))
        else:
            ports = []
            for lane in range(self.lanes):
                m.submodules[f"rom{lane}"] = rom = Rom(self.spec.dst.width, words, self.device)
                ports.append((rom.addr, rom.data))
        for index, result, (addr, data) in zip(self.i.payload, self.o.payload, ports):
            m.d.comb += [addr.eq(Value.cast(index)), result.eq(data)]
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m


def table_parts(spec: TableSpec, lanes: int, device: Device, loads: Loads | None = None) -> list[Pipe]:
    """Stage of a `TableSpec`."""
    return [TablePipe(spec, lanes, device, loads)]
