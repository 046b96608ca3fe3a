"""Sums at any scale to narrow integers: the hardware of `model.arithmetic.rescale.Rescale`."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed, unsigned

from hdl.devices.device import Device
from hdl.parts.comparing import larger
from hdl.parts.counting import counter
from hdl.parts.memory import Rom
from hdl.parts.pipe import Pipe, delayed, lanes_of, shape_of, tree, tree_latency
from hdl.parts.rounding import clamped
from hdl.products.wide import pairs, wide_product
from model.layers.rescale import RescaleSpec


class RescalePipe(Pipe):
    """Multiplies every lane, adds the offset of its sign, shifts and clips, with its channel's constants.

    Where a beat holds only some of the channels, the constants of each beat of a position stand in a ROM.

    Latency: `Rom.latency` if there is a ROM, the product's, ceil(log2(parts of the product + 1)) for the sum,
    1 for the shift, 1 for the larger of two where odd results have offsets of their own, and 2 for the
    clipping. Throughput: one beat a cycle.

    Parameters
    ----------
    spec : RescaleSpec
    lanes : int
        Values of a beat: of part of a pixel's channels, of a pixel, or of several.
    device : Device

    Attributes
    ----------
    beats : int
        Of a pixel.
    sum_width : int
        Bits of products and offsets added up, signed.
    """

    def __init__(self, spec: RescaleSpec, lanes: int, device: Device):
        self.spec, self.lanes, self.device = spec, lanes, device
        self.channels = min(lanes, spec.in_shape[2])
        self.beats = spec.in_shape[2] // self.channels
        rescale = spec.rescale
        self.sum_width = 1 + rescale.bound(spec.src.min, spec.src.max).bit_length()
        self.choices = sorted(set(rescale.shifts.tolist()))
        offsets = [rescale.offsets] if rescale.odd is None else [rescale.offsets, rescale.odd]
        low, high = (int(end(list(map(end, offsets)))) for end in (np.min, np.max))
        self.offset = signed(1 + max(high, -low - 1, 0).bit_length())
        self.factor = unsigned(max(rescale.width, 1))
        self.multiplies = bool((rescale.multipliers != 1).any())
        self.parts = len(pairs(device, shape_of(spec.src), self.factor)) if self.multiplies else 1
        self.product_latency = device.product_latency if self.multiplies else 0
        latency = (Rom.latency if self.beats > 1 else 0) + self.product_latency
        latency += tree_latency(self.parts + 1) + 1 + (rescale.odd is not None) + 2
        super().__init__(lanes_of(spec.src, lanes), lanes_of(spec.dst, lanes), latency)

    @cached_property
    def fields(self) -> list[tuple[str, Shape, np.ndarray]]:
        """The constants of a channel: name, shape, and value of each channel."""
        rescale = self.spec.rescale
        found = []
        for name, offsets in (("even", rescale.offsets), ("odd", rescale.odd)):
            if offsets is not None:
                found.append((name, self.offset, offsets[1]))
                if self.by_sign:
                    found.append((f"{name}_negative", self.offset, offsets[0]))
        if self.multiplies:
            found.append(("factor", self.factor, rescale.multipliers))
        if len(self.choices) > 1:
            chosen = np.searchsorted(self.choices, rescale.shifts)
            found.append(("choice", unsigned((len(self.choices) - 1).bit_length()), chosen))
        return found

    @property
    def by_sign(self) -> bool:
        """Whether there is an offset for negative sums."""
        return self.spec.src.signed and self.spec.rescale.signed

    @property
    def words(self) -> list[int]:
        """The ROM: a word for each beat of a pixel, lane by lane, the first constant in the lowest bits."""
        words = []
        for beat in range(self.beats):
            word, at = 0, 0
            for channel in range(beat * self.channels, (beat + 1) * self.channels):
                for _, shape, values in self.fields:
                    word |= (int(values[channel]) & (1 << shape.width) - 1) << at
                    at += shape.width
            words.append(word)
        return words

    @property
    def word_width(self) -> int:
        """Bits of a word of the ROM."""
        return self.channels * sum(shape.width for _, shape, _ in self.fields)

    def elaborate(self, platform):
        m = Module()
        ahead = Rom.latency if self.beats > 1 else 0
        constants = self.constants(m)
        summed = self.product_latency + tree_latency(self.parts + 1)
        for lane in range(self.lanes):
            own = constants[lane % self.channels]
            value = delayed(m, self.i.payload[lane], ahead, f"value{lane}")
            if self.multiplies:
                parts = wide_product(m, value, own["factor"], self.device, f"product{lane}")
            else:
                parts = [value]
            choice = None
            if len(self.choices) > 1:
                choice = delayed(m, own["choice"], summed, f"choice{lane}")
            moved = self.moved(m, value, parts, own, choice, "even", lane)
            if self.spec.odd is not None:
                # the largest even result that the one reaches, or odd one that the other does
                other = self.moved(m, value, parts, own, choice, "odd", lane)
                rounded = Signal(moved.shape(), name=f"rounded{lane}", reset_less=True)
                m.d.sync += rounded.eq(larger(moved & ~1, (other - 1) | 1))
                moved = rounded
            result = clamped(m, moved, self.spec.low, self.spec.high, f"lane{lane}")
            m.d.sync += self.o.payload[lane].eq(result)
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        return m

    def moved(
        self, m: Module, value: Value, parts: list[Value], own: dict[str, Value], choice, name: str, lane: int
    ) -> Signal:
        """The parts of a lane's product with an offset, shifted."""
        offset = own[name]
        if self.by_sign:
            offset = Mux(value[-1], own[f"{name}_negative"], offset)
        offset = Value.cast(offset).as_signed()
        parts = [*parts, delayed(m, offset, self.product_latency, f"{name}_offset{lane}")]
        total, _ = tree(m, parts, lambda a, b: a + b, f"{name}_sum{lane}")
        # no sum is wider than the largest: what a tree of sums has above it are copies of the sign
        total = total[: self.sum_width].as_signed()
        moved = Signal(signed(self.sum_width), name=f"{name}{lane}", reset_less=True)
        if choice is None:
            m.d.sync += moved.eq(total >> self.choices[0])
        else:
            with m.Switch(choice):
                for index, shift in enumerate(self.choices):
                    with m.Case(index):
                        m.d.sync += moved.eq(total >> shift)
        return moved

    def constants(self, m: Module) -> list[dict[str, Value]]:
        """The constants of each lane of a pixel's beat, by name."""
        if self.beats == 1:
            return [
                {name: Const(int(values[channel]), shape) for name, shape, values in self.fields}
                for channel in range(self.channels)
            ]
        m.submodules.rom = rom = Rom(self.word_width, self.words, self.device)
        beat, _ = counter(m, "beat", self.beats, self.i.valid)
        m.d.comb += rom.addr.eq(beat)
        found, at = [], 0
        for _ in range(self.channels):
            own = {}
            for name, shape, _ in self.fields:
                bits = rom.data[at : at + shape.width]
                own[name] = bits.as_signed() if shape.signed else bits
                at += shape.width
            found.append(own)
        return found


def rescale_parts(spec: RescaleSpec, lanes: int, device: Device) -> list[Pipe]:
    """Stage of a `RescaleSpec`."""
    return [RescalePipe(spec, lanes, device)]
