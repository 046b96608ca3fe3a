"""One entry of the catalogue of proofs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sim.proofs.bench import Bench
from sim.proofs.faults import Fault, faults


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
    group : str
        Of its faults, which `faults` reads; empty for none, where another size of the stage has them.
    bounds : dict of int
        By property: cycles that are searched, where a proof for ever takes too long.
    fast : bool
        Whether it is one of those that CI runs.
    """

    stage: str
    make: Callable[[], Bench]
    group: str = ""
    bounds: dict[str, int] = field(default_factory=dict)
    fast: bool = False

    @property
    def faults(self) -> list[tuple[str, Fault]]:
        """Properties, and for each a fault by which it fails."""
        return faults(self.group)
