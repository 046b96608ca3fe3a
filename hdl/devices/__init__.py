"""Chip families: their primitives, and the chips."""
