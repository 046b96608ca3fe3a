"""Lattice ECP5: its multiplier and block RAM with the registers that synthesis does not infer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed

from hdl.devices.device import Device

WIDTH = 18
"""Bits of a multiplier's factor, and of a block RAM's word at each of its two ports."""
REGISTERS = ("INPUTA", "INPUTB", "OUTPUT")
WORDS = 1024
"""Words of `WIDTH` bits in a block RAM."""
ADDRESS = 14
"""Address bits of a port."""
SLICE, PITCH = 16, 20
"""Words in one ``INITVAL`` parameter, and the bits from one to the next."""


@dataclass(frozen=True)
class Ecp5(Device):
    """``MULT18X18D`` with its input and output registers (Lattice FPGA-TN-02205, sysDSP usage guide) and one
    of the fabric behind them, since multipliers stand in few rows of the chip and adders far from them; and
    ``DP16KD`` with its output registers (FPGA-TN-02204, memory usage guide) for tables, and for memories that
    are read in two cycles.

    Without them the clock ends near 140 MHz, every product costs fabric registers on three sides, and
    every bit of a table one.
    """

    name: str = "ecp5"
    product_latency: int = 3
    bram_shapes: tuple[tuple[int, int], ...] = (*Device.bram_shapes, (512, 36))

    def multiply(self, m: Module, a: Value, b: Value, name: str) -> Value:
        shape = (a * b).shape()
        if max(len(a) + (not a.shape().signed), len(b) + (not b.shape().signed)) > WIDTH:
            product = super().multiply(m, a, b, name)
        else:
            product = self.multiplier(m, a, b, name)
        moved = Signal(shape, name=f"{name}_moved", reset_less=True)
        m.d.sync += moved.eq(product)
        return moved

    def multiplier(self, m: Module, a: Value, b: Value, name: str) -> Value:
        """A ``MULT18X18D``: the product two cycles later, as wide as the cell has it."""
        product = Signal(signed(2 * WIDTH), name=f"{name}_dsp")
        ports = {"i_CLK0": ClockSignal(), "i_CE0": Const(1), "i_RST0": Const(0)}
        for side, value in (("A", a), ("B", b)):
            factor = Signal(signed(WIDTH), name=f"{name}_{side.lower()}")
            m.d.comb += factor.eq(value)
            ports |= {f"i_{side}{bit}": factor[bit] for bit in range(WIDTH)}
            ports |= {f"i_SIGNED{side}": Const(1), f"i_SOURCE{side}": Const(0)}
        ports |= {f"i_C{bit}": Const(0) for bit in range(WIDTH)}
        ports |= {f"o_P{bit}": product[bit] for bit in range(2 * WIDTH)}
        parameters = {f"p_REG_{register}_CLK": "CLK0" for register in REGISTERS}
        m.submodules[name] = Instance("MULT18X18D", **parameters, **ports)
        return product

    def block_rom(self, m: Module, addr: Value, words: list[int], width: int) -> Value:
        if len(words) > WORDS:
            return super().block_rom(m, addr, words, width)
        # Up to half the depth, both ports read the same line, each its half of the block.
        ports = 2 if len(words) <= WORDS // 2 else 1
        data = Signal(-(-width // (ports * WIDTH)) * ports * WIDTH)
        line = Signal(WORDS.bit_length() - 1)
        m.d.comb += line.eq(addr)
        for index, start in enumerate(range(0, len(data), ports * WIDTH)):
            contents = [0] * WORDS
            for port in range(ports):
                for n, word in enumerate(words):
                    contents[port * WORDS // 2 + n] = word >> (start + port * WIDTH) & (1 << WIDTH) - 1
            lines = [line, line | WORDS // 2][:ports]
            outputs = [data[start + port * WIDTH :][:WIDTH] for port in range(ports)]
            m.submodules[f"block{index}"] = block(contents, lines, outputs)
        return data[:width]

    def block_ram(self, m: Module, depth: int, write, read, out_en: Value) -> Value:
        width, bits = len(write[1]), self.ram_bits(len(write[1]), depth)
        if not bits:
            return super().block_ram(m, depth, write, read, out_en)
        word, data = Signal(-(-width // bits) * bits), Signal(-(-width // bits) * bits)
        m.d.comb += word.eq(write[1])
        for index in range(len(data) // bits):
            start = index * bits
            writes = port("A", bits, write[0], write_en=write[2], data=word[start:][:bits])
            reads = port("B", bits, read[0], enable=read[1], out_en=out_en, output=data[start:][:bits])
            m.submodules[f"block{index}"] = Instance("DP16KD", *COMMON, *writes, *reads)
        return data[:width]

    def ram_bits(self, width: int, depth: int) -> int:
        """Bits of a word in one block of a `block_ram`; 0 where synthesis maps it, as it is too deep or does
        with half as many blocks.
        """
        if depth > 2 * WORDS or (depth <= WORDS // 2 and width > WIDTH):
            return 0
        return WIDTH if depth <= WORDS else WIDTH // 2

    def ram_brams(self, width: int, depth: int) -> int:
        bits = self.ram_bits(width, depth)
        return -(-width // bits) if bits else super().ram_brams(width, depth)

    def rom_brams(self, width: int, depth: int, constant: int = 0) -> int:
        if depth > WORDS:
            return super().rom_brams(width, depth, constant)
        return -(-width // (WIDTH * (2 if depth <= WORDS // 2 else 1)))

    def rom_registers(self, width: int, depth: int) -> int:
        return super().rom_registers(width, depth) if depth > WORDS else 0


COMMON = (("p", "RESETMODE", "SYNC"), ("p", "ASYNC_RESET_RELEASE", "SYNC"), ("p", "GSR", "AUTO"))
"""Parameters of a block RAM that are no port's."""


def block(contents: list[int], lines: list[Value], outputs: list[Value]) -> Instance:
    """A block RAM that is only read, with the output registers on.

    Parameters
    ----------
    contents : list of int
        `WORDS` words of `WIDTH` bits.
    lines, outputs : list of Value
        Address and word of port A and, if it is used, of port B.
    """
    values = []
    for number in range(WORDS // SLICE):
        words = contents[number * SLICE : (number + 1) * SLICE]
        value = sum(word << (PITCH * n) for n, word in enumerate(words))
        values.append(("p", f"INITVAL_{number:02X}", Const(value, SLICE * PITCH)))
    ports = [port(side, WIDTH, line, output=output) for side, line, output in zip("AB", lines, outputs)]
    return Instance("DP16KD", *COMMON, *values, *chain(*ports))


def port(side: str, bits: int, address: Value, *, enable=1, out_en=1, output=None, write_en=0, data=None):
    """Parameters and connections of one port of a block RAM, as an `Instance` takes them.

    Parameters
    ----------
    side : str
        ``A`` or ``B``.
    bits : int
        Of a word: `WIDTH` or half of it.
    address : Value
    enable, out_en : Value
        Of reading, and of the output register.
    output : Value, optional
        The word that is read.
    write_en, data : Value, optional
    """
    parameters = {
        "DATA_WIDTH_": bits,
        "REGMODE_": "NOREG" if output is None else "OUTREG",
        "CSDECODE_": "0b000",
        "WRITEMODE_": "NORMAL",
    }
    # The lowest address bits choose bits of a word; the lowest two enable writing where it has two bytes.
    low = {WIDTH: 4, WIDTH // 2: 3}[bits]
    lines = Cat(Const(3 if bits == WIDTH and data is not None else 0, low), address)
    inputs = {"CLK": ClockSignal(), "CE": enable, "OCE": out_en, "WE": write_en, "RST": 0}
    inputs |= {f"CS{bit}": 0 for bit in range(3)}
    yield from (("p", f"{name}{side}", value) for name, value in parameters.items())
    yield "p", f"CLK{side}MUX", f"CLK{side}"
    for name, value in inputs.items():
        yield "i", f"{name[:2]}{side}{name[2:]}" if name[:2] == "CS" else f"{name}{side}", Value.cast(value)
    for bit in range(ADDRESS):
        yield "i", f"AD{side}{bit}", lines[bit] if bit < len(lines) else Const(0)
    for bit in range(WIDTH):
        yield "i", f"DI{side}{bit}", data[bit] if data is not None and bit < bits else Const(0)
        if output is not None and bit < bits:
            yield "o", f"DO{side}{bit}", output[bit]


ECP5 = Ecp5()
