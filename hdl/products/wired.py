"""Hard-wired weights: a `Graph` of shifts and additions as a pipeline, in place of multipliers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.devices.device import Device
from hdl.folding.layer import Folding
from hdl.parts.memory import Rom
from hdl.parts.pipe import Pipe, delayed, lanes_of, shape_of
from hdl.products.graph import Graph, Node
from hdl.products.sharing import adder_graph
from model.arithmetic.qformat import QFormat


class Wired(wiring.Component):
    """All sums of a constant matrix at once, without a multiplier.

    Latency: the graph's, one cycle for each addition on the longest way. Throughput: all sums each cycle; it
    never stalls, and whoever wants to know which sums are valid delays a bit as long.

    Parameters
    ----------
    graph : Graph
    src : QFormat
        Of the inputs, for which the graph was made.

    Attributes
    ----------
    format : QFormat
        Of the sums, as wide as the widest.
    latency : int

    Members
    -------
    x : in, as many values as the graph has inputs
    sums : out, one for each column
    """

    def __init__(self, graph: Graph, src: QFormat):
        self.graph, self.src, self.latency = graph, src, graph.latency
        self.format = QFormat.spanning(graph.low, graph.high, 0)
        super().__init__(
            {
                "x": In(lanes_of(src, graph.inputs)),
                "sums": Out(data.ArrayLayout(signed(self.format.width), len(graph.outputs))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        graph = self.graph
        # A node's value in each cycle in which somebody wants it.
        values: list[list[Value]] = []
        for index, (node, until) in enumerate(zip(graph.nodes, graph.until)):
            if node.terms:
                value = Signal(shape_of(node.format), name=f"sum{index}", reset_less=True)
                operands = [
                    values[term.node][node.time - 1 - graph.nodes[term.node].time] for term in node.terms
                ]
                m.d.sync += value.eq(added(node, operands))
            else:
                value = self.x[index]
            values.append([value])
            for wait in range(until - node.time):
                values[-1].append(delayed(m, values[-1][wait], 1, f"node{index}_{wait}"))
        for total, term, constant in zip(self.sums, graph.outputs, graph.constants):
            m.d.comb += total.eq(constant if term is None else values[term.node][-1].shift_left(term.shift))
        return m


def added(node: Node, operands: list[Value]) -> Value:
    """The value of a node: its lowest bits are wired past the adder where they need none.

    Parameters
    ----------
    node : Node
    operands : list of Value
        The values of its terms' nodes.
    """
    addends = [value.shift_left(term.shift) for value, term in zip(operands, node.terms)]
    negative = [term.negative for term in node.terms]
    if len(addends) == 1:
        addends.append(Const(node.constant))
        negative.append(False)
    if negative[0]:
        addends.reverse()
    above = [addend.shift_right(node.free) for addend in addends]
    total = above[0] - above[1] if any(negative) else above[0] + above[1]
    # In the lowest bits one of the two is zero.
    below = (addends[0] | addends[1]) & ((1 << node.free) - 1)
    return Cat(below[: node.free], total)


class WiredPipe(Pipe):
    """All sums of a layer's position at once, or of several side by side, its weights hard-wired.

    Biases by channel are part of the graph. Those by pixel stand in a ROM, and are added behind it. Positions
    side by side have a graph each, with registers before it.

    Latency: the graph's, one cycle more for positions side by side, and with biases by pixel another and 3 at
    least. Throughput: one beat a cycle.

    Parameters
    ----------
    folding : Folding
        Of a plan whose weights are `WIRED`.
    device : Device
    """

    def __init__(self, folding: Folding, device: Device):
        self.folding, self.device = folding, device
        pixels = folding.plan.pixel_lanes
        self.by_pixel = folding.seeded_bias.ndim > 1
        graph = adder_graph(folding.matrix, folding.spec.src, None if self.by_pixel else folding.seeded_bias)
        self.dots = [Wired(graph, folding.spec.src) for _ in range(pixels)]
        self.held = int(pixels > 1)
        self.ready = self.held + graph.latency
        super().__init__(
            lanes_of(folding.spec.src, folding.inputs * pixels),
            lanes_of(folding.accumulator, folding.outputs * pixels),
            max(self.ready, Rom.latency) + 1 if self.by_pixel else self.ready,
        )

    def elaborate(self, platform):
        m = Module()
        folding = self.folding
        m.d.comb += self.o.valid.eq(delayed(m, self.i.valid, self.latency, "valid", reset_less=False))
        inputs = delayed(m, Value.cast(self.i.payload), self.held, "x")
        sums = []
        for pixel, dots in enumerate(self.dots):
            m.submodules[f"dots{pixel}"] = dots
            m.d.comb += Value.cast(dots.x).eq(inputs.word_select(pixel, len(Value.cast(dots.x))))
            sums += list(dots.sums)
        if self.by_pixel:
            ready = self.latency - 1
            pixel = Signal(range(folding.seeds))
            with m.If(self.i.valid):
                m.d.sync += pixel.eq(Mux(pixel == folding.seeds - 1, 0, pixel + 1))
            m.submodules.bias = bias = Rom(
                folding.accumulator.width * folding.seed_lanes, folding.bias_words(), self.device
            )
            m.d.comb += bias.addr.eq(pixel)
            words = delayed(m, bias.data, ready - Rom.latency, "bias")
            dots_late = [delayed(m, dot, ready - self.ready, f"dot{lane}") for lane, dot in enumerate(sums)]
            sums = Signal.like(self.o.payload, reset_less=True)
            for lane, dot in enumerate(dots_late):
                seed = words.word_select(lane, folding.accumulator.width).as_signed()
                m.d.sync += sums[lane].eq(dot + seed)
        for lane, total in enumerate(sums):
            m.d.comb += self.o.payload[lane].eq(total)
        return m
