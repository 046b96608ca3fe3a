"""Lattice ECP5: its multiplier with the registers that synthesis does not infer."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value, signed

from hdl.device import Device

WIDTH = 18
REGISTERS = ("INPUTA", "INPUTB", "OUTPUT")


@dataclass(frozen=True)
class Ecp5(Device):
    """``MULT18X18D`` with its input and output registers (Lattice FPGA-TN-02205, sysDSP usage guide).

    Without them the clock ends near 140 MHz, and every product costs fabric registers on three sides.
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


ECP5 = Ecp5()
