"""How many bits a user grants weights and activations."""

from __future__ import annotations

from dataclasses import dataclass, field

MIN_WIDTH, MAX_WIDTH = 1, 16


@dataclass(frozen=True)
class Widths:
    """Bits of weights or activations: for all layers, and for some by name.

    Parameters
    ----------
    default : int
        1 to 16. Weights of 1 bit are -1 or 1, of 2 bits -1, 0 or 1, each times a power of two.
    layers : dict of str to int
    """

    default: int = 8
    layers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        for name, bits in {"": self.default, **self.layers}.items():
            if not MIN_WIDTH <= bits <= MAX_WIDTH:
                where = f"layer {name!r}: " if name else ""
                raise ValueError(f"{where}widths lie between {MIN_WIDTH} and {MAX_WIDTH} bits, not {bits}")

    @classmethod
    def parse(cls, text: str) -> Widths:
        """From what a user writes: ``8``, ``conv1=4``, or ``8,conv1=4,dense1=6``."""
        default, layers = cls.default, {}
        for part in text.split(","):
            name, _, bits = part.rpartition("=")
            if not bits.strip().isascii() or not bits.strip().isdigit():
                raise ValueError(f"widths are written like 8 or 8,conv1=4; {part!r} is none")
            if name:
                layers[name.strip()] = int(bits)
            else:
                default = int(bits)
        return cls(default, layers)

    def of(self, name: str) -> int:
        """Bits of one layer."""
        return self.layers.get(name, self.default)

    def check(self, names: list[str], what: str) -> None:
        """Raise a ValueError if a layer is named that does not exist."""
        if unknown := self.layers.keys() - set(names):
            raise ValueError(f"no layer {min(unknown)!r} has {what}; there are {', '.join(names)}")
