"""Proofs of the hardware's stages at small sizes: the benches, the checker, and the catalogue."""
