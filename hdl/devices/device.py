"""What differs between chip families: multipliers, and where memories go."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import memory


@dataclass(frozen=True)
class Device:
    """A chip family; this base is the portable form, which leaves every primitive to synthesis.

    The style of memories is decided here all the same, so that the estimate and the netlist agree.

    Parameters
    ----------
    name : str
    bram_shapes : tuple of (int, int)
        (words, bits) that one block RAM can take with one read and one write port.
    lutram_words : int
        Depth of the smallest LUT RAM; 0 where LUTs cannot be written.
    lut_inputs : int
    multiplier_width : int
        Widest factor of a hard multiplier, bits, as a signed number; 0 where products are made of LUTs.
    infers : bool
        Whether synthesis may make hard multipliers of a product that is written as one.
    byte : int
        Bits of a block RAM's word that are written or not together.
    bram_cost : int
        Bits chosen of two that synthesis holds a block RAM to be worth, twice.
    product_latency : int
        Cycles from factors to their product.
    """

    name: str = "portable"
    bram_shapes: tuple[tuple[int, int], ...] = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18))
    lutram_words: int = 16
    lut_inputs: int = 4
    multiplier_width: int = 18
    infers: bool = True
    byte: int = 9
    bram_cost: int = 128
    product_latency: int = 2

    def products(self, m: Module, pairs: list[tuple[Value, Value]], name: str) -> list[Value]:
        """The products of pairs of values, `product_latency` cycles later.

        Parameters
        ----------
        m : Module
        pairs : list of (Value, Value)
            First factors of one shape, and second factors of one shape.
        name : str
            Unique in the module.
        """
        return [self.multiply(m, a, b, f"{name}_{index}") for index, (a, b) in enumerate(pairs)]

    def per_multiplier(self, a: Shape, b: Shape) -> int:
        """Products of `products` that one hard multiplier makes; 0 where they are made of LUTs."""
        widest = max(shape.width + (not shape.signed) for shape in (a, b))
        return int(widest <= self.multiplier_width)

    def multipliers(self, count: int, a: Shape, b: Shape) -> int:
        """Hard multipliers of `count` `products`."""
        each = self.per_multiplier(a, b)
        return -(-count // each) if each else count * self.inferred(a, b)

    def inferred(self, a: Shape, b: Shape) -> int:
        """Hard multipliers that synthesis makes of a product that is written as one.

        yosys (``mul2dsp``) cuts factors that are too wide into parts from their low ends, and takes a
        multiplier for each pair of parts; a part of a single bit is left to LUTs.
        """
        if not self.infers:
            return 0
        mixed = a.signed != b.signed
        count = 1
        for shape in (a, b):
            whole, rest = divmod(shape.width + (mixed and not shape.signed), self.multiplier_width)
            count *= whole + (rest > 1)
        return count

    def multiply(self, m: Module, a: Value, b: Value, name: str) -> Value:
        """The product of two values, `product_latency` cycles later; registers stand before and behind the
        multiplier.

        Parameters
        ----------
        m : Module
        a, b : Value
            Signed or unsigned.
        name : str
            Unique in the module.
        """
        factors = []
        for factor, side in ((a, "a"), (b, "b")):
            register = Signal(factor.shape(), name=f"{name}_{side}", reset_less=True)
            m.d.sync += register.eq(factor)
            factors.append(register)
        product = Signal((factors[0] * factors[1]).shape(), name=name, reset_less=True)
        m.d.sync += product.eq(factors[0] * factors[1])
        return product

    def block_rom(self, m: Module, addr: Value, words: list[int], width: int) -> Value:
        """A table in block RAM: the word at an address, two cycles later.

        Parameters
        ----------
        m : Module
        addr : Value
        words : list of int
            Contents, each 0 .. 2**width - 1.
        width : int
            Bits of a word.
        """
        m.submodules.memory = storage = memory.Memory(
            shape=width, depth=len(words), init=words, attrs={"rom_style": "block"}
        )
        port = storage.read_port()
        word = Signal(width, reset_less=True)
        m.d.comb += port.addr.eq(addr)
        m.d.sync += word.eq(port.data)
        return word

    def block_ram(
        self,
        m: Module,
        depth: int,
        write: tuple[Value, Value, Value],
        read: tuple[Value, Value],
        out_en: Value,
    ) -> Value:
        """A block RAM that is read in two cycles: the word that `out_en` lets out of the memory's register.

        Parameters
        ----------
        m : Module
        depth : int
            Words.
        write : (Value, Value, Value)
            Address, word and enable.
        read : (Value, Value)
            Address and enable; must not meet a write to its address.
        out_en : Value
        """
        m.submodules.memory = storage = memory.Memory(
            shape=len(write[1]), depth=depth, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
        )
        port, asynchronous = storage.write_port(), storage.read_port(domain="comb")
        held, out = Signal(len(write[1]), reset_less=True), Signal(len(write[1]), reset_less=True)
        m.d.comb += [port.addr.eq(write[0]), port.data.eq(write[1]), port.en.eq(write[2])]
        m.d.comb += asynchronous.addr.eq(read[0])
        with m.If(read[1]):
            m.d.sync += held.eq(asynchronous.data)
        with m.If(out_en):
            m.d.sync += out.eq(held)
        return out

    def rom_brams(self, width: int, depth: int, constant: int = 0) -> int:
        """Block RAMs of a `block_rom` in which so many columns of bits are `constant`: they are left out."""
        return self.brams(width - constant, depth, written=False)

    def ram_brams(self, width: int, depth: int) -> int:
        """Block RAMs of a `block_ram`."""
        return self.brams(width, depth)

    def rom_registers(self, width: int, depth: int) -> int:
        """Flip-flops of a `block_rom`."""
        return width

    def brams(self, width: int, depth: int, *, written: bool = True) -> int:
        """Block RAMs of a memory that synthesis maps.

        As yosys (``memory_libmap``) counts: where a memory is deeper than a block RAM, all of its parts are
        read and one is chosen. So they lie side by side, bit by bit, or byte by byte if they are `written`,
        and a block RAM may hold the end of one and the start of the next. Of the shapes it takes the one
        that costs least with the multiplexers behind and before it.
        """

        def blocks(words: int, bits: int) -> int:
            byte = min(self.byte, bits) if written else 1
            return -(-(-(-depth // words) * -(-width // byte) * byte) // bits)

        def cost(words: int, bits: int) -> int:
            parts = -(-depth // words)
            chosen = (parts - 1) * width + (parts if written and parts > 1 else 0)
            return 2 * self.bram_cost * blocks(words, bits) + chosen

        return blocks(*min(self.bram_shapes, key=lambda shape: cost(*shape)))

    def product_luts(self, width: int) -> int:
        """LUTs of a product of `width` bits that is made of them."""
        return width * width // 2

    def places(self, lut: int, ff: int) -> int:
        """LUT places that LUTs and flip-flops take; flip-flops none where they have places of their own."""
        return lut

    def rom_luts(self, width: int, depth: int) -> int:
        """LUTs of a ROM: a tree of LUTs and multiplexers for each bit."""
        return width * -(-depth // (1 << self.lut_inputs))

    def rom_style(self, width: int, depth: int) -> str:
        """``block`` where a block RAM takes the place of at least 64 LUTs, else ``logic``."""
        worth = self.rom_luts(width, depth) >= 64 * self.rom_brams(width, depth)
        return "block" if worth else "logic"

    def ram_style(self, width: int, depth: int) -> str:
        """``distributed`` up to 128 words, where LUTs can be written; else ``block``.

        Where they cannot, what is too small for a block RAM goes into ``registers``.
        """
        if self.lutram_words and depth <= 128:
            return "distributed"
        small = not self.lutram_words and width * depth < 64 * self.brams(width, depth)
        return "registers" if small else "block"


PORTABLE = Device()
