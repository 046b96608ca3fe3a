"""Memories of weights that are written at run time, along a chain of bytes from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.parts.memory import Ram, Rom
from hdl.parts.pipe import delayed

COLUMN = 32
"""Bits that are written at once, at most: what a block RAM of the usual kinds takes."""
GROUP = 16
"""Columns that hang on one register of the bus that writes them."""
LINK = data.StructLayout({"start": 1, "valid": 1, "data": 8})
"""What runs along the chain: the mark before a set, and its bytes."""


@dataclass(frozen=True)
class Share:
    """What one memory takes of a set of weights.

    Parameters
    ----------
    name : str
        Of the layer, and what is in the memory.
    width : int
        Bits of a word.
    words : tuple of int
        Contents, each 0 .. 2**width - 1.
    """

    name: str
    width: int
    words: tuple[int, ...]

    @property
    def columns(self) -> int:
        """Columns of a word."""
        return -(-self.width // COLUMN)

    @property
    def column_bytes(self) -> int:
        """Bytes of a column in the set; all have as many."""
        return -(-min(self.width, COLUMN) // 8)

    @property
    def length(self) -> int:
        """Bytes in the set."""
        return len(self.words) * self.columns * self.column_bytes

    @property
    def latency(self) -> int:
        """Cycles until the last byte is written, or passed on."""
        return 2 + -(-self.columns // GROUP)

    def column(self, index: int) -> list[int]:
        """What a column holds."""
        return [word >> (COLUMN * index) & ((1 << COLUMN) - 1) for word in self.words]

    def encode(self) -> bytes:
        """The bytes: word by word, column by column, lowest bits first."""
        columns = zip(*(self.column(index) for index in range(self.columns)))
        return b"".join(part.to_bytes(self.column_bytes, "little") for word in columns for part in word)


class LoadRom(wiring.Component):
    """A `Rom` whose contents a chain of bytes can replace.

    After a `start` it takes as many bytes as its share has, and passes on what comes behind them; so the
    place in the chain is the address, and no wire is longer than from one memory to the next. A reset does
    not bring the first contents back.

    Parameters
    ----------
    share : Share
        With the first contents.
    device : Device
    copies : int
        Memories with the same contents, to be read side by side.

    Members
    -------
    addr : in, array of `copies`
    data : out, array of `copies`
        Two cycles after `addr`; meaningless while bytes come in.
    i, o : `LINK`, in and out
    """

    latency = Rom.latency

    def __init__(self, share: Share, device: Device, copies: int = 1):
        self.share, self.device, self.copies = share, device, copies
        super().__init__(
            {
                "addr": In(range(len(share.words))).array(copies),
                "data": Out(share.width).array(copies),
                "i": In(LINK),
                "o": Out(LINK),
            }
        )

    def elaborate(self, platform):
        m = Module()
        share, link = self.share, self.i
        depth = len(share.words)
        full = Signal()
        place = Signal(range(share.column_bytes))
        turn = Signal(share.columns, init=1)
        address = Signal(range(depth))
        gathered = Signal(8 * share.column_bytes, reset_less=True)
        write_addr, write = Signal.like(address, reset_less=True), Signal.like(turn, init=0)
        last = place == share.column_bytes - 1
        m.d.sync += [
            self.o.start.eq(link.start),
            self.o.valid.eq(link.valid & full),
            self.o.data.eq(link.data),
            write.eq(0),
        ]
        with m.If(link.valid & ~full):
            m.d.sync += [
                gathered.eq(Cat(gathered, link.data)[8:]),
                place.eq(Mux(last, 0, place + 1)),
            ]
            with m.If(last):
                m.d.sync += [write.eq(turn), write_addr.eq(address), turn.eq(turn.rotate_left(1))]
                with m.If(turn[-1]):
                    m.d.sync += [address.eq(address + 1), full.eq(address == depth - 1)]
        with m.If(link.start):
            m.d.sync += [full.eq(0), place.eq(0), turn.eq(1), address.eq(0)]

        words = [[] for _ in range(self.copies)]
        for index in range(share.columns):
            if index % GROUP == 0:
                name = f"group{index // GROUP}"
                gathered = delayed(m, gathered, 1, f"{name}_data")
                write_addr = delayed(m, write_addr, 1, f"{name}_addr")
                write = delayed(m, write, 1, f"{name}_write", reset_less=False)
            width = min(COLUMN, share.width - COLUMN * index)
            for copy, word in enumerate(words):
                name = f"copy{copy}_column{index}"
                if depth == 1:
                    column = Signal(width, name=name, init=share.column(index)[0], reset_less=True)
                    with m.If(write[index]):
                        m.d.sync += column.eq(gathered)
                    word.append(column)
                    continue
                m.submodules[name] = ram = Ram(width, depth, self.device, share.column(index))
                m.d.comb += [
                    ram.write_addr.eq(write_addr),
                    ram.write_data.eq(gathered),
                    ram.write_en.eq(write[index]),
                    ram.read_addr.eq(self.addr[copy]),
                    ram.read_en.eq(1),
                ]
                word.append(delayed(m, ram.read_data, 1, name))
        m.d.comb += [target.eq(Cat(word)) for target, word in zip(self.data, words)]
        return m
