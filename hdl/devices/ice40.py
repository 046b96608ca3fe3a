"""Lattice iCE40: the UltraPlus's multiplier with its registers, and chips that have none."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, Value

from hdl.devices.device import Device

WIDTH, HALF = 16, 8
"""Bits of a factor where a multiplier makes one product, and where it makes two."""
SINGLE = {"TOPOUTPUT_SELECT": 3, "BOTOUTPUT_SELECT": 3, "PIPELINE_16x16_MULT_REG2": 1}
"""Parameters for one product, with a register behind it."""
DOUBLE = {
    "TOPOUTPUT_SELECT": 2,
    "BOTOUTPUT_SELECT": 2,
    "TOP_8x8_MULT_REG": 1,
    "BOT_8x8_MULT_REG": 1,
    "MODE_8x8": 1,
}
"""Parameters for two products, with a register behind each."""

ALONE, TOGETHER = 0.36, 0.95
"""Logic cells for each LUT and each flip-flop that is estimated."""
CONTROLS = (
    *(f"{port}HOLD" for port in "ABCD"),
    *(f"{what}{half}" for what in ("IRST", "ORST", "OLOAD", "ADDSUB", "OHOLD") for half in ("TOP", "BOT")),
    "CI",
    "ACCUMCI",
    "SIGNEXTIN",
)
"""Inputs that stay 0."""


@dataclass(frozen=True)
class Ice40(Device):
    """Block RAMs of 4 kbit, no LUT RAM, and no multiplier that synthesis would infer.

    Products of up to 16 x 16 bits are `SB_MAC16` cells of the UltraPlus with their input and output registers
    (Lattice FPGA-TN-02007, iCE40 DSP function usage guide); where both factors have at most 8 bits a cell
    makes two of them. The cells are never left to synthesis: yosys 0.70 merges two registered products
    that are added afterwards into one cell, which then computes something else.

    ``SB_SPRAM256KA`` is not used: it cannot be given contents, so no weights can be in it, and the FIFOs and
    line buffers of nets that fit these chips are small. With ``multiplier_width=0`` products are made of
    LUTs.
    """

    name: str = "ice40"
    bram_shapes: tuple[tuple[int, int], ...] = ((2048, 2), (1024, 4), (512, 8), (256, 16))
    lutram_words: int = 0
    multiplier_width: int = WIDTH
    infers: bool = False
    byte: int = 1
    bram_cost: int = 64

    def products(self, m: Module, pairs: list[tuple[Value, Value]], name: str) -> list[Value]:
        if not pairs:
            return []
        shapes = [value.shape() for value in pairs[0]]
        each = self.per_multiplier(*shapes)
        if not each:
            return super().products(m, pairs, name)
        shape = (Signal(shapes[0]) * Signal(shapes[1])).shape()
        made = []
        for number in range(0, len(pairs), each):
            together = pairs[number : number + each]
            product = multiplier(m, together, HALF if each > 1 else WIDTH, f"{name}_{number}")
            for half in range(len(together)):
                exact = product.word_select(half, len(product) // each)[: shape.width]
                made.append(exact.as_signed() if shape.signed else exact)
        return made

    def multiply(self, m: Module, a: Value, b: Value, name: str) -> Value:
        if not self.per_multiplier(a.shape(), b.shape()):
            return super().multiply(m, a, b, name)
        return self.products(m, [(a, b)], name)[0]

    def product_luts(self, width: int) -> int:
        # Nearly all of them take a cell alone.
        return round(super().product_luts(width) / ALONE)

    def places(self, lut: int, ff: int) -> int:
        # A cell is a LUT and a flip-flop behind it; many registers have no LUT of their own before them.
        return round(ALONE * lut + TOGETHER * ff)

    def per_multiplier(self, a: Shape, b: Shape) -> int:
        widest = max(a.width, b.width)
        return (widest <= self.multiplier_width) * (2 if widest <= HALF else 1)


def multiplier(m: Module, pairs: list[tuple[Value, Value]], width: int, name: str) -> Signal:
    """An ``SB_MAC16`` for one pair of factors, or two pairs of half as many bits; its 32 bits,
    two cycles later.

    Parameters
    ----------
    m : Module
    pairs : list of (Value, Value)
        The lower half's first.
    width : int
        Of a factor's place, `WIDTH` or `HALF`.
    name : str
    """
    parameters = {"A_REG": 1, "B_REG": 1, **(DOUBLE if width == HALF else SINGLE)}
    ports = {"i_CLK": ClockSignal(), "i_CE": Const(1), "i_C": Const(0, WIDTH), "i_D": Const(0, WIDTH)}
    for side, values in zip("AB", zip(*pairs)):
        parameters[f"{side}_SIGNED"] = int(values[0].shape().signed)
        place = Shape(width, values[0].shape().signed)
        factors = [Signal(place, name=f"{name}_{side.lower()}{half}") for half in range(len(values))]
        m.d.comb += [factor.eq(value) for factor, value in zip(factors, values)]
        ports[f"i_{side}"] = Cat(*factors, Const(0, WIDTH - width * len(values)))
    for port in CONTROLS:
        ports[f"i_{port}"] = Const(0)
    product = Signal(2 * WIDTH, name=name)
    m.submodules[name] = Instance(
        "SB_MAC16",
        **{f"p_{key}": Const(value, 2 if "SELECT" in key else 1) for key, value in parameters.items()},
        **ports,
        o_O=product,
    )
    return product


ULTRAPLUS = Ice40()
PLAIN = Ice40(name="ice40 without multipliers", multiplier_width=0)
