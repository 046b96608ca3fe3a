"""A net on a board: clock, serial link, accelerator and shell put together, and what the tools are given."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass

import numpy as np
from amaranth.build import DiffPairs

from boards.catalogue.board import Pin, Target
from boards.link.protocol import CLASSIFIER, VERSION, Identity
from boards.pll.base import Pll
from boards.shell.shell import Link, Shell
from boards.shell.top import Top
from boards.shell.uart import Baud
from hdl.folding.net import Plan
from hdl.loadable.loading import layout, sized, weight_set
from hdl.network import Accelerator
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec
from sim.simulators import tools
from sim.simulators.verilog import amaranths

BENCH_LUTS = 6000
"""From so many LUTs on a chip has room for the command bench, which takes about 70."""


@dataclass(frozen=True, eq=False)
class Design:
    """What a bitstream is made from.

    Parameters
    ----------
    target : Target
    net : QNetwork
    plan : Plan
    pll : Pll
    link : Link
    bench : bool
        Whether the shell has the command bench.
    """

    target: Target
    net: QNetwork
    plan: Plan
    pll: Pll
    link: Link
    bench: bool = True

    @classmethod
    def of(
        cls,
        target: Target,
        net: QNetwork,
        plan: Plan,
        *,
        clock_mhz: float | None = None,
        baud: int | None = None,
        timeout: float = Link.timeout,
        bench: bool | None = None,
    ) -> Design:
        """A design with the plan's clock, or the target's, and its baud rate where no others are given; with
        benches on a chip of `BENCH_LUTS` or more, if nothing is said of them.

        Raises
        ------
        ValueError
            For an impossible clock or baud rate, or a plan that does not fit the net.
        """
        plan.check(net)
        net = sized(net, plan)
        pll = target.tools.solve(
            target.base,
            target.oscillator_mhz,
            next(mhz for mhz in (clock_mhz, plan.clock_mhz, target.clock_mhz) if mhz is not None),
            target.pll_pin,
        )
        rate = target.baud if baud is None else baud
        bench = target.budget.lut >= BENCH_LUTS if bench is None else bench
        return cls(target, net, plan, pll, Link(Baud(pll.output_hz, rate), timeout), bench)

    @property
    def identity(self) -> Identity:
        """What the board answers when it is asked."""
        return Identity(
            net=self.net.name,
            board=self.target.name,
            shape=self.net.in_shape,
            classes=self.net.outputs if self.net.classifies else 0,
            pixel=self.net.input_format,
            logit=self.net.output_format,
            clock_hz=self.pll.output_hz,
            build=self.build_hash,
            bench=self.bench,
            version=CLASSIFIER if self.net.classifies else VERSION,
            values=(0, 0, 0) if self.net.classifies else self.net.out_shape,
            **self.loading,
        )

    @property
    def loading(self) -> dict:
        """What the identity tells of sets of weights."""
        if not self.plan.loadable:
            return {}
        size = len(weight_set(self.net, self.plan))
        return {"set_bytes": size, "layout": layout(self.net, self.plan)}

    @functools.cached_property
    def build_hash(self) -> bytes:
        """8 bytes that depend on the net's integers, the plan, the board, its clock and its serial link."""
        layers = plain(self.net.specs)
        stages = {name: dataclasses.asdict(stage) for name, stage in self.plan.stages.items()}
        parts = [
            self.net.name,
            layers,
            *([self.plan.weights, self.plan.fracs] if self.plan.loadable else []),
            *([] if self.net.classifies else ["values"]),
            stages,
            self.target.name,
            self.pll.output_hz,
            self.link.baud.rate,
            self.link.timeout,
            self.bench,
        ]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).digest()[:8]

    def accelerator(self) -> Accelerator:
        """The core, as this board's chip has it."""
        return Accelerator(self.net, self.plan, self.target.family)

    def core(self):
        """What the shell is put round."""
        return self.accelerator()

    def prepare(self, **options):
        """The build plan of Amaranth: the files for the tools and the commands that run them.

        Parameters
        ----------
        **options
            Of the platform's tool flow, such as ``nextpnr_opts``.
        """
        shell = Shell(self.core(), self.identity, self.link, self.target.leds, self.target.family)
        platform = self.target.platform()
        with amaranths():
            return platform.prepare(Top(self.target, self.pll, shell), "top", emit_src=False, **options)

    def verilog(self) -> str:
        """The whole top as Verilog, with the chip's own cells as instances."""
        tools.use_yosys()
        return self.prepare(debug_verilog=True).files["top.debug.v"]

    def port(self, pin: Pin) -> str:
        """Name of the top's port for a pin of the platform; of a pair the one that is not inverted."""
        end = "p" if isinstance(self.target.ends(pin), DiffPairs) else "io"
        return "__".join([f"{pin.resource}_{pin.number}", *([pin.part] if pin.part else []), end])

    def active_low(self, pin: Pin) -> bool:
        """Whether a pin is inverted."""
        return self.target.ends(pin).invert


def plain(value):
    """A field of a spec as JSON has it."""
    if isinstance(value, np.ndarray):
        return [list(value.shape), value.ravel().tolist()]
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    if isinstance(value, Spec):
        return [value.kind, {name: plain(part) for name, part in value.fields.items()}]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
