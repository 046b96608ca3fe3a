"""What the pieces take that parts are made of: counters, adders, memories, trees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

from amaranth.hdl import Value

from hdl.devices.device import Device
from hdl.loadable.loading import Loads
from hdl.loadable.loadrom import COLUMN, GROUP, Share
from hdl.planning.tally import Tally
from hdl.products.graph import Graph


def bits(payload) -> int:
    """Bits of a payload."""
    return len(Value.cast(payload))


def counter(limit: int) -> Tally:
    """A counter of `limit` states with its comparison."""
    width = max(limit - 1, 0).bit_length()
    return Tally(counter=width, counters=1, ff=width) if width else Tally()


def adder(width: int) -> Tally:
    """An adder and the register behind it."""
    return Tally(adder=width, chain=1, ff=width)


def larger(width: int) -> Tally:
    """The larger of two values: a comparison, and a choice behind it."""
    return Tally(adder=width, chain=1, choice=width, ff=width)


def wired(graph: Graph) -> Tally:
    """A `Wired`."""
    # A cell holds two bits; nextpnr puts another before each chain, and one behind it.
    luts = sum(2 * -(-width // 2) + 4 for width in graph.widths)
    return Tally(graph=luts, ff=graph.registers)


def rom(width: int, words: Sequence[int], device: Device) -> Tally:
    """A `Rom`. In LUTs a column like another one is the same logic, and a constant one none."""
    depth = len(words)
    if depth == 1:
        return Tally()
    if device.rom_style(width, depth) == "block":
        constant = width - (reduce(or_, words) & ~reduce(and_, words)).bit_count()
        return Tally(ff=device.rom_registers(width, depth), bram=device.rom_brams(width, depth, constant))
    columns = {tuple(word >> bit & 1 for word in words) for bit in range(width)}
    different = sum(len(set(column)) > 1 for column in columns)
    return Tally(rom=device.rom_luts(different, depth), ff=2 * different)


def loadrom(share: Share, device: Device, copies: int = 1) -> Tally:
    """A `LoadRom`."""
    depth, data = len(share.words), 8 * share.column_bytes
    bus = data + (depth - 1).bit_length()
    total = Tally(loading=12, ff=10 + data + 2 * share.columns) + counter(depth).times(2)
    total += Tally(ff=bus).times(-(-share.columns // GROUP)) + Tally(ff=share.columns)
    for start in range(0, share.width, COLUMN):
        width = min(COLUMN, share.width - start)
        total += (Tally(ff=width) if depth == 1 else ram(width, depth, device) + Tally(ff=width)).times(
            copies
        )
    return total


def memory(name: str, width: int, words: Sequence[int], device: Device, loads: Loads | None) -> Tally:
    """A `Rom`, or the `LoadRom` of that name."""
    return rom(width, words, device) if loads is None else loadrom(loads.shares[name], device)


def ram(width: int, depth: int, device: Device) -> Tally:
    """A `Ram`, or the memory of a FIFO."""
    style = device.ram_style(width, depth)
    if style == "block":
        return Tally(bram=device.brams(width, depth))
    if style == "registers":
        return Tally(choice=width * depth, ff=width * (depth + 1))
    cells = -(-width // 4) * -(-depth // device.lutram_words)
    select = width * (-(-depth // device.lutram_words) - 1)
    return Tally(lutram=4 * cells, choice=select, ff=width)


def tree(widths: int, count: int) -> Tally:
    """A tree of adders over `count` values of `widths` bits."""
    total = Tally()
    while count > 1:
        widths += 1
        total += adder(widths).times(count // 2)
        if count % 2:
            total += Tally(ff=widths - 1)
        count = -(-count // 2)
    return total
