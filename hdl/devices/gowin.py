"""Gowin GW1N and GW2A: multipliers with their registers."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Const, Instance, Module, Shape, Signal, Value

from hdl.devices.device import Device

WIDTH, HALF = 18, 9
"""Bits of a multiplier's factor, and of one of the two multipliers that stand in its place."""


@dataclass(frozen=True)
class Gowin(Device):
    """``MULT18X18``, or two ``MULT9X9`` in its place, with input and output registers (Gowin UG287, DSP user
    guide). Memories are the portable ones: block RAMs of 18 kbit, LUT RAM of 16 words.
    """

    name: str = "gowin"
    bram_shapes: tuple[tuple[int, int], ...] = (*Device.bram_shapes, (512, 36))

    def multiply(self, m: Module, a: Value, b: Value, name: str) -> Value:
        each = self.per_multiplier(a.shape(), b.shape())
        if not each:
            return super().multiply(m, a, b, name)
        width = HALF if each == 2 else WIDTH
        shape = (a * b).shape()
        product = Signal(2 * width, name=f"{name}_dsp")
        ports = {"i_CLK": ClockSignal(), "i_CE": Const(1), "i_RESET": Const(0)}
        parameters = {"p_OUT_REG": Const(1, 1), "p_PIPE_REG": Const(0, 1), "p_SOA_REG": Const(0, 1)}
        for side, value in (("A", a), ("B", b)):
            factor = Signal(Shape(width, value.shape().signed), name=f"{name}_{side.lower()}")
            m.d.comb += factor.eq(value)
            ports |= {
                f"i_{side}": factor,
                f"i_{side}SIGN": Const(int(value.shape().signed)),
                f"i_{side}SEL": Const(0),
                f"i_SI{side}": Const(0, width),
            }
            parameters |= {f"p_{side}REG": Const(1, 1), f"p_{side}SIGN_REG": Const(0, 1)}
        m.submodules[name] = Instance(f"MULT{width}X{width}", **parameters, **ports, o_DOUT=product)
        exact = product[: shape.width]
        return exact.as_signed() if shape.signed else exact

    def per_multiplier(self, a: Shape, b: Shape) -> int:
        widest = max(a.width, b.width)
        return (widest <= WIDTH) * (2 if widest <= HALF else 1)


GOWIN = Gowin()
