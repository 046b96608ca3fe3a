"""One entry of the catalogue of proofs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.proofs.bench import Bench
from sim.proofs.faults import Fault


@dataclass(frozen=True)
class Proof:
    """What is proved of a stage, and the mutants that must not pass.

    Parameters
    ----------
    stage : str
        The stage and its size.
    make : callable
        Builds the bench. It reaches the parts as ``hdl.module.Part`` when it is called, so that it can be
        given mutants.
    faults : tuple of (str, Fault)
        For each property a fault by which it fails.
    bound : int or None
        Cycles that are searched, or None for a proof for ever.
    fast : bool
        Whether it is one of those that CI runs.
    """

    stage: str
    make: Callable[[], Bench]
    faults: tuple[tuple[str, Fault], ...] = ()
    bound: int | None = None
    fast: bool = False
