"""All proofs: a stage joins by an entry in one of these lists."""

from __future__ import annotations

from sim.proofs import arithmetic, control, streams, windows

PROOFS = [*streams.PROOFS, *windows.PROOFS, *arithmetic.PROOFS, *control.PROOFS]
