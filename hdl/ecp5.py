"""Lattice ECP5: its multiplier and block RAM with the registers that synthesis does not infer."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value, signed

from hdl.device import Device

WIDTH = 18
"""Bits of a multiplier's factor, and of a block RAM's word at each of its two ports."""
REGISTERS = ("INPUTA", "INPUTB", "OUTPUT")
WORDS = 1024
"""Words of `WIDTH` bits in a block RAM."""
SLICE, PITCH = 16, 20
"""Words in one ``INITVAL`` parameter, and the bits from one to the next."""


@dataclass(frozen=True)
class Ecp5(Device):
    """``MULT18X18D`` with its input and output registers (Lattice FPGA-TN-02205, sysDSP usage guide), and
    ``DP16KD`` with its output registers (FPGA-TN-02204, memory usage guide) for tables.

    Without them the clock ends near 140 MHz, every product costs fabric registers on three sides, and
    every bit of a table one.
    """

    name: str = "ecp5"
    bram_shapes: tuple[tuple[int, int], ...] = (*Device.bram_shapes, (512, 36))

    def multiply(self, m: Module, a: Value, b: Value, name: str) -> Value:
        shape = (a * b).shape()
        if max(len(a) + (not a.shape().signed), len(b) + (not b.shape().signed)) > WIDTH:
            return super().multiply(m, a, b, name)
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
        exact = product[: shape.width]
        return exact.as_signed() if shape.signed else exact

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

    def rom_brams(self, width: int, depth: int) -> int:
        if depth > WORDS:
            return super().rom_brams(width, depth)
        return -(-width // (WIDTH * (2 if depth <= WORDS // 2 else 1)))

    def rom_registers(self, width: int, depth: int) -> int:
        return super().rom_registers(width, depth) if depth > WORDS else 0


def block(contents: list[int], lines: list[Value], outputs: list[Value]) -> Instance:
    """A block RAM that is only read, with the output registers on.

    Parameters
    ----------
    contents : list of int
        `WORDS` words of `WIDTH` bits.
    lines, outputs : list of Value
        Address and word of port A and, if it is used, of port B.
    """
    parameters = {"p_RESETMODE": "SYNC", "p_ASYNC_RESET_RELEASE": "SYNC", "p_GSR": "AUTO"}
    for number in range(WORDS // SLICE):
        words = contents[number * SLICE : (number + 1) * SLICE]
        value = sum(word << (PITCH * n) for n, word in enumerate(words))
        parameters[f"p_INITVAL_{number:02X}"] = Const(value, SLICE * PITCH)
    ports = {}
    for side, line, output in zip("AB", lines, outputs):
        parameters |= {
            f"p_DATA_WIDTH_{side}": WIDTH,
            f"p_REGMODE_{side}": "OUTREG",
            f"p_CSDECODE_{side}": "0b000",
            f"p_WRITEMODE_{side}": "NORMAL",
            f"p_CLK{side}MUX": f"CLK{side}",
        }
        ports |= {f"i_CLK{side}": ClockSignal(), f"i_CE{side}": Const(1), f"i_OCE{side}": Const(1)}
        ports |= {f"i_{name}{side}": Const(0) for name in ("WE", "RST")}
        ports |= {f"i_CS{side}{bit}": Const(0) for bit in range(3)}
        ports |= {f"i_DI{side}{bit}": Const(0) for bit in range(WIDTH)}
        # The lowest four address bits choose bits and bytes of a word.
        ports |= {f"i_AD{side}{bit}": Const(0) for bit in range(4)}
        ports |= {f"i_AD{side}{bit + 4}": line[bit] for bit in range(len(line))}
        ports |= {f"o_DO{side}{bit}": output[bit] for bit in range(WIDTH)}
    return Instance("DP16KD", **parameters, **ports)


ECP5 = Ecp5()
