"""PLLs of the chip families: dividers solved from a wanted frequency, checked against the chip's limits."""
