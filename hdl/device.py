"""What differs between chip families: where memories go, and what a block RAM or a LUT holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """A chip family.

    The portable form leaves every choice to synthesis, apart from the style of memories: those are
    decided here, so that the estimate and the netlist agree.

    Parameters
    ----------
    name : str
    bram_shapes : tuple of (int, int)
        (words, bits) that one block RAM can take with one read and one write port, narrowest word first.
    lutram_words : int
        Depth of the smallest LUT RAM; 0 where LUTs cannot be written.
    lut_inputs : int
    """

    name: str = "portable"
    bram_shapes: tuple[tuple[int, int], ...] = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18))
    lutram_words: int = 16
    lut_inputs: int = 4

    def brams(self, width: int, depth: int) -> int:
        """Block RAMs of a memory, in the best of the shapes."""
        return min(-(-depth // words) * -(-width // bits) for words, bits in self.bram_shapes)

    def rom_luts(self, width: int, depth: int) -> int:
        """LUTs of a ROM: a tree of LUTs and multiplexers for each bit."""
        return width * -(-depth // (1 << self.lut_inputs))

    def rom_style(self, width: int, depth: int) -> str:
        """``block`` where a block RAM takes the place of at least 64 LUTs, else ``logic``."""
        worth = self.rom_luts(width, depth) >= 64 * self.brams(width, depth)
        return "block" if worth else "logic"

    def ram_style(self, width: int, depth: int) -> str:
        """``distributed`` up to 128 words, where LUTs can be written, else ``block``."""
        return "distributed" if self.lutram_words and depth <= 128 else "block"


PORTABLE = Device()
ECP5 = Device("ecp5", ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36)))
