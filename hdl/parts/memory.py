"""Memories: ROMs of weights and tables, and the RAM behind a line buffer."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device


class Rom(wiring.Component):
    """A table of constants, read in two cycles: a block RAM is slow, and its word gets a register at once.

    Parameters
    ----------
    width : int
        Bits of a word.
    words : sequence of int
        Contents, each 0 .. 2**width - 1. A single word becomes a constant.
    device : Device

    Members
    -------
    addr : in
    data : out, two cycles after `addr`
    """

    latency = 2

    def __init__(self, width: int, words, device: Device):
        self.width, self.words, self.device = width, [int(word) for word in words], device
        super().__init__({"addr": In(range(len(self.words))), "data": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if len(self.words) == 1:
            m.d.comb += self.data.eq(self.words[0])
            return m
        if self.device.rom_style(self.width, len(self.words)) == "block":
            m.d.comb += self.data.eq(self.device.block_rom(m, self.addr, self.words, self.width))
            return m
        m.submodules.memory = storage = memory.Memory(
            shape=self.width, depth=len(self.words), init=self.words, attrs={"rom_style": "logic"}
        )
        port = storage.read_port()
        word = Signal(self.width, reset_less=True)
        m.d.sync += word.eq(port.data)
        m.d.comb += [port.addr.eq(self.addr), self.data.eq(word)]
        return m


class Ram(wiring.Component):
    """One write and one read port; the read takes one cycle and must not meet a write to its address.

    Parameters
    ----------
    width : int
        Bits of a word.
    depth : int
        Words.
    device : Device
    init : sequence of int
        First contents, by default zeros.
    holds_address : bool
        Where a memory is made of LUTs, hold the address and not the word: its few registers hang on `read_en`
        instead of all.

    Members
    -------
    write_addr, write_data, write_en : in
    read_addr, read_en : in
    read_data : out
        The word of the last cycle with `read_en`, held until the next, or until it is written if the memory
        is made of LUTs and `holds_address`.
    """

    def __init__(self, width: int, depth: int, device: Device, init=(), *, holds_address: bool = False):
        self.width, self.depth, self.device, self.init = width, depth, device, init
        self.style = device.ram_style(width, depth)
        self.holds_address = holds_address and self.style == "distributed"
        super().__init__(
            {
                "write_addr": In(range(depth)),
                "write_data": In(width),
                "write_en": In(1),
                "read_addr": In(range(depth)),
                "read_en": In(1),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # An asynchronous port and a register of our own: yosys merges both into a block RAM's synchronous
        # port, and the attribute spares the bypass logic for a read that meets a write.
        m.submodules.memory = storage = memory.Memory(
            shape=self.width,
            depth=self.depth,
            init=self.init,
            attrs={"ram_style": self.style, "no_rw_check": 1},
        )
        write, read = storage.write_port(), storage.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self.write_addr),
            write.data.eq(self.write_data),
            write.en.eq(self.write_en),
        ]
        source, held = (self.read_addr, read.addr) if self.holds_address else (read.data, self.read_data)
        register = Signal.like(source, name="held", reset_less=True)
        m.d.comb += held.eq(register)
        with m.If(self.read_en):
            m.d.sync += register.eq(source)
        if self.holds_address:
            m.d.comb += self.read_data.eq(read.data)
        else:
            m.d.comb += read.addr.eq(self.read_addr)
        return m
