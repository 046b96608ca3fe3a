"""Layers that use the same multipliers in turns."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.folding.layer import Folding
from hdl.parts.pipe import Lanes, lanes_of
from hdl.products.dots import Dots
from model.arithmetic.qformat import QFormat


class Client:
    """A layer's end of an `Array`: its `Sequencer` asks for turns, and its `MacPipe` gets the sums.

    Attributes
    ----------
    first : int
        Where the layer's weights stand among the array's.
    latency : int
        Cycles from a step to its sums.
    load : int
        Cycles a frame in which the array is busy with all of its layers.
    asks, turn : Signal
        The layer has a step to do; it does it in this cycle.
    x, index : Signal
        The inputs and the number of the step.
    dots : Signal
        The sums, `latency` cycles later.
    """

    def __init__(self, folding: Folding, first: int, latency: int, width: int, load: int):
        self.folding, self.first, self.latency, self.load = folding, first, latency, load
        self.asks, self.turn = Signal(name="asks"), Signal(name="turn")
        self.x = Signal(lanes_of(folding.spec.src, folding.plan.input_lanes))
        self.index = Signal(range(first + folding.steps))
        self.dots = Signal(Lanes(signed(width), folding.plan.output_lanes))


class Array(wiring.Component):
    """The multipliers and adder trees of several layers.

    A layer keeps its sums to itself, so any cycle may go to any layer. It goes to the last one that has a
    step to do: a frame that is nearly done does not wait for the next one. No multiplier rests while any of
    the layers has work. A layer that uses fewer lanes than the array has meets weights of zero in the
    others.

    The array has no ports: the layers' parts, wherever they stand, drive and read the signals of their
    `Client`.

    Latency: one cycle more than that of `Dots`. Throughput: one step a cycle.

    Parameters
    ----------
    foldings : dict of Folding
        By the layers' names, in the order in which they stand in the net.
    device : Device
    """

    def __init__(self, foldings: dict[str, Folding], device: Device):
        plans = [folding.plan for folding in foldings.values()]
        specs = [folding.spec for folding in foldings.values()]
        weight_format = union(spec.weight_format for spec in specs)
        lanes = max(plan.input_lanes for plan in plans), max(plan.output_lanes for plan in plans)
        words = [folding.weight_words(weight_format.width, lanes) for folding in foldings.values()]
        self.dots = Dots(
            union(spec.src for spec in specs), weight_format, *lanes, list(chain(*words)), device
        )
        self.clients = {}
        first, load = 0, sum(folding.cycles for folding in foldings.values())
        for (name, folding), own in zip(foldings.items(), words):
            self.clients[name] = Client(folding, first, 1 + self.dots.latency, self.dots.width, load)
            first += len(own)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dots = dots = self.dots
        clients = list(self.clients.values())
        taken = Const(0, 1)
        for client in reversed(clients):
            m.d.comb += client.turn.eq(client.asks & ~taken)
            taken = taken | client.asks
        # A register before the multipliers: choosing takes its time.
        x, index = Signal(dots.x.shape(), reset_less=True), Signal(dots.index.shape(), reset_less=True)
        m.d.comb += [dots.x.eq(x), dots.index.eq(index)]
        choose(m, index, [(client.turn, client.index) for client in clients])
        for lane in range(dots.input_lanes):
            users = [client for client in clients if lane < client.folding.plan.input_lanes]
            choose(m, x[lane], [(client.turn, client.x[lane]) for client in users])
        for client in clients:
            m.d.comb += [client.dots[lane].eq(dots.dots[lane]) for lane in range(len(client.dots))]
        return m


def choose(m: Module, target: Signal, options: list) -> None:
    """Register the value whose flag is set; any value if none is."""
    chosen = options[-1][1]
    for flag, value in reversed(options[:-1]):
        chosen = Mux(flag, value, chosen)
    m.d.sync += target.eq(chosen)


def union(formats: Iterable[QFormat]) -> QFormat:
    """The narrowest integers that hold those of all formats."""
    formats = list(formats)
    signed = any(fmt.signed for fmt in formats)
    return QFormat(max(fmt.width + (signed and not fmt.signed) for fmt in formats), 0, signed)
