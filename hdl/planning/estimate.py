"""What an accelerator will take of a chip, counted part by part before any tool runs.

Multipliers and block RAMs follow from the structure. LUTs count adders by their carry chains, selections
by the bits they choose, LUT RAMs by their words; flip-flops by the registers that the parts describe.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import singledispatch

import numpy as np
from amaranth.hdl import UnusedElaboratable, Value
from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.devices.ecp5 import ECP5
from hdl.loadable.loading import Loads
from hdl.loadable.loadrom import COLUMN, GROUP, Share
from hdl.network import Accelerator
from hdl.parts.buffer import Buffer
from hdl.parts.chain import Chain
from hdl.parts.gather import Gather
from hdl.parts.memory import Rom
from hdl.parts.pipe import Door, Elastic, shape_of
from hdl.parts.raster import Raster, SlidePipe
from hdl.parts.repack import Narrow, Widen
from hdl.parts.sweep import Sweep
from hdl.parts.window import Lines, Slide, Window, between
from hdl.planning.folding import SHIFT_WIDTH
from hdl.planning.netplan import Plan
from hdl.products.digits import DigitPipe, Digits
from hdl.products.dots import Dots
from hdl.products.graph import Graph, digits
from hdl.products.mac import AlignPipe, MacPipe, ScalePipe, Sequencer
from hdl.products.serial import TAPS, SerialDots, entries, signed_range, table_luts
from hdl.products.share import Array
from hdl.products.weigh import WeighPipe
from hdl.products.wired import WiredPipe
from hdl.stages.classify import Argmax
from hdl.stages.collect import Collect
from hdl.stages.grey import ExtremesPipe
from hdl.stages.pool import AveragePipe, ReducePipe
from hdl.stages.requant import RequantPipe
from hdl.stages.residual import AddPipe, Branches
from hdl.stages.table import TablePipe
from model.golden.qnetwork import QNetwork

UNITS = {"lut": "LUT", "ff": "flip-flops", "dsp": "multipliers", "bram": "block RAMs"}
"""Resources, and what they are called."""
CARRY = 2
"""LUT places that a carry chain takes beside its bits."""


@dataclass(frozen=True)
class Budget:
    """Resources of a chip, or what a design takes of them.

    Attributes
    ----------
    lut : int
        Lookup tables of four inputs, those of carry chains and LUT RAMs included.
    ff : int
        Flip-flops.
    dsp : int
        Multipliers.
    bram : int
        Block RAMs.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram: int = 0

    def __add__(self, other: Budget) -> Budget:
        return Budget(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def times(self, count: int) -> Budget:
        """That many of the same."""
        return Budget(*(getattr(self, f.name) * count for f in fields(self)))


def lacking(need: Budget, budget: Budget) -> list[str]:
    """Resources of which more is needed than there is."""
    return [name for name in UNITS if getattr(need, name) > getattr(budget, name)]


def estimate(net: QNetwork, plan: Plan, device: Device = ECP5) -> Budget:
    """Resources of the accelerator of a net under a plan.

    Raises
    ------
    ValueError
        If the plan does not fit the net.
    """
    with counting():
        return placed(counted(Accelerator(net, plan, device)), device)


@contextmanager
def counting() -> Iterator[None]:
    """For parts that are counted, never elaborated: they are gone before Amaranth may complain of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        yield
        gc.collect()


def placed(need: Budget, device: Device) -> Budget:
    """The same with the LUTs' places counted, some of which flip-flops take."""
    return replace(need, lut=device.places(need.lut, need.ff))


def counted(accelerator: Accelerator) -> Budget:
    """Resources of an accelerator."""
    total = surround(accelerator)
    parts, arrays = accelerator.parts()
    for part in [Chain(parts, accelerator.device), *arrays]:
        total += resources(part, accelerator.device)
    return total


def surround(accelerator: Accelerator) -> Budget:
    """Resources of what stands round the layers: the gate, the verdict, and the loader if there is one."""
    total = Budget(lut=90, ff=60)
    if accelerator.loads is not None:
        total += Budget(lut=150, ff=75) + counter(accelerator.loads.length)
    return total


@singledispatch
def resources(part: wiring.Component, device: Device) -> Budget:
    """Resources of one part."""
    raise TypeError(f"no estimate for {type(part).__name__}")


def bits(payload) -> int:
    """Bits of a payload."""
    return len(Value.cast(payload))


def counter(limit: int) -> Budget:
    """A counter of `limit` states with its comparison."""
    width = max(limit - 1, 0).bit_length()
    return Budget(lut=2 * width + CARRY, ff=width) if width else Budget()


def adder(width: int) -> Budget:
    """An adder and the register behind it."""
    return Budget(lut=width + CARRY, ff=width)


def wired(graph: Graph) -> Budget:
    """A `Wired`."""
    # A cell holds two bits; nextpnr puts another before each chain, and one behind it.
    luts = sum(2 * -(-width // 2) + 4 for width in graph.widths)
    return Budget(lut=luts, ff=graph.registers)


def rom(width: int, depth: int, device: Device) -> Budget:
    """A `Rom`."""
    if depth == 1:
        return Budget()
    if device.rom_style(width, depth) == "block":
        return Budget(ff=device.rom_registers(width, depth), bram=device.rom_brams(width, depth))
    return Budget(lut=device.rom_luts(width, depth), ff=2 * width)


def loadrom(share: Share, device: Device, copies: int = 1) -> Budget:
    """A `LoadRom`."""
    depth, data = len(share.words), 8 * share.column_bytes
    bus = data + (depth - 1).bit_length()
    total = Budget(lut=12, ff=10 + data + 2 * share.columns) + counter(depth).times(2)
    total += Budget(ff=bus).times(-(-share.columns // GROUP)) + Budget(ff=share.columns)
    for start in range(0, share.width, COLUMN):
        width = min(COLUMN, share.width - start)
        total += (Budget(ff=width) if depth == 1 else ram(width, depth, device) + Budget(ff=width)).times(
            copies
        )
    return total


def memory(name: str, width: int, depth: int, device: Device, loads: Loads | None) -> Budget:
    """A `Rom`, or the `LoadRom` of that name."""
    return rom(width, depth, device) if loads is None else loadrom(loads.shares[name], device)


def ram(width: int, depth: int, device: Device) -> Budget:
    """A `Ram`, or the memory of a FIFO."""
    style = device.ram_style(width, depth)
    if style == "block":
        return Budget(bram=device.brams(width, depth))
    if style == "registers":
        return Budget(lut=width * depth, ff=width * (depth + 1))
    cells = -(-width // 4) * -(-depth // device.lutram_words)
    select = width * (-(-depth // device.lutram_words) - 1)
    return Budget(lut=4 * cells + select, ff=width)


def tree(widths: int, count: int) -> Budget:
    """A tree of adders over `count` values of `widths` bits."""
    total = Budget()
    while count > 1:
        widths += 1
        total += adder(widths).times(count // 2)
        if count % 2:
            total += Budget(ff=widths - 1)
        count = -(-count // 2)
    return total


@resources.register
def _(part: Widen, device: Device) -> Budget:
    return Budget(lut=4, ff=bits(part.o.payload)) + counter(part.factor + 1)


@resources.register
def _(part: Narrow, device: Device) -> Budget:
    word = bits(part.i.payload)
    return Budget(lut=word, ff=word) + counter(part.factor + 1)


@resources.register
def _(part: Window, device: Device) -> Budget:
    queue = resources(part.queue, device) if part.queue else Budget()
    return resources(part.lines, device) + queue + resources(part.slide, device)


@resources.register
def _(part: Lines, device: Device) -> Budget:
    rows, padding = part.geometry.extent[0], between(part.geometry)[0]
    height, word, depth = part.shape[0], part.fmt.width * part.lanes, part.row
    total = Budget(lut=16 + word, ff=word + 4) + counter(height + padding) + counter(depth)
    total += Budget(lut=6, ff=depth.bit_length())
    if rows > 1:
        total += ram(word * (rows - 1), depth, device) if depth > 1 else Budget(ff=word * (rows - 1))
    return total


@resources.register
def _(part: Slide, device: Device) -> Budget:
    columns, padding = part.geometry.extent[1], between(part.geometry)[1]
    column = bits(part.i.payload)
    total = Budget(lut=10 + (column if padding else 0), ff=2 + (part.groups * (columns - 1) + 1) * column)
    return total + counter(part.shape[1] + padding) + counter(part.groups)


@resources.register
def _(part: Raster, device: Device) -> Budget:
    padding = between(part.geometry)[0]
    total = Budget(lut=14 + (bits(part.i.payload) if padding else 0), ff=2)
    total += counter(part.shape[0] + padding) + counter(part.row)
    return total + counter(part.shape[1]) + counter(part.groups)


@resources.register
def _(part: SlidePipe, device: Device) -> Budget:
    raster = part.raster
    (rows, columns), word, depth = raster.geometry.extent, raster.fmt.width * raster.lanes, raster.row
    column = raster.geometry.kernel[0] * word
    total = Budget(ff=word + column * (raster.groups * (columns - 1) + 2) + 2 * (depth - 1).bit_length() + 8)
    if rows > 1:
        total += ram(word * (rows - 1), depth, device) if depth > 1 else Budget(ff=word * (rows - 1))
    return total


@resources.register
def _(part: Sweep, device: Device) -> Budget:
    # A tap beside the image costs a gate each bit, and no pixel before or behind all windows is kept.
    (tall, wide), (left, _) = part.geometry.kernel, part.geometry.padding[1]
    beside = sum(
        not 0 <= window * part.geometry.stride[1] + tap * part.geometry.dilation[1] - left < part.pixels
        for window in range(part.windows)
        for tap in range(wide)
    )
    pixel = tall * part.shape[2] * part.fmt.width
    held = part.pixels * (1 + part.ahead) + left
    return Budget(lut=12 + beside * pixel, ff=6 + held * pixel) + counter(part.shape[1] // part.pixels).times(
        2
    )


@resources.register
def _(part: Door, device: Device) -> Budget:
    return Budget()


@resources.register
def _(part: Sequencer, device: Device) -> Budget:
    folding = part.folding
    total = Budget(lut=8, ff=4) + counter(folding.steps) + counter(folding.output_folds)
    if folding.groups > 1:
        total += counter(folding.vector_steps)
    if folding.seeds > folding.output_folds:
        total += counter(folding.seeds)
    if part.steps > 1:
        word = bits(part.i.payload)
        total += Budget(lut=word if part.slices > 1 else 0, ff=word) + counter(part.steps + 1)
    return total


@resources.register
def _(part: Gather, device: Device) -> Budget:
    folding, spec = part.folding, part.folding.spec
    word, places = bits(part.i.payload), (part.depth - 1).bit_length()
    total = ram(word, part.depth, device) + Budget(lut=word + 30, ff=8)
    for limit in (*spec.out_shape[:2], part.slices, *spec.geometry.kernel, folding.output_folds):
        total += counter(limit)
    for size, extent in zip(spec.in_shape, spec.geometry.extent):
        total += counter(size + extent)
    total += counter(folding.steps) + Budget(ff=(folding.steps - 1).bit_length())
    if folding.seeds > folding.output_folds:
        total += counter(folding.seeds)
    # Three addresses, two counts with what is added to them, and a comparison.
    return total + adder(places).times(9)


@resources.register
def _(part: Dots, device: Device) -> Budget:
    words, pixels = part.input_lanes * part.output_lanes, part.pixel_lanes
    lanes = words * pixels
    source, factor = part.src, part.weight_format
    product = source.width + factor.width
    total = Budget(ff=Rom.latency * part.input_lanes * pixels * source.width)
    total += memory(part.name, factor.width * words, len(part.words), device, part.loads)
    if part.selects:
        product = source.width + (not source.signed) + part.doubles
        exact = adder(product + 1).times(part.output_lanes * pixels)
        total += Budget(lut=product, ff=product + 1).times(lanes) + exact
    elif hard := device.multipliers(lanes, shape_of(source), shape_of(factor)):
        total += Budget(dsp=hard, ff=(device.product_latency - 2) * product * lanes)
    else:
        registers = device.product_latency * product
        total += Budget(lut=device.product_luts(product), ff=registers).times(lanes)
    return total + tree(product, part.input_lanes).times(part.output_lanes * pixels)


@resources.register
def _(part: SerialDots, device: Device) -> Budget:
    bits, inputs = part.src.width, len(part.weights)
    pairs = -(-bits // 2)
    # A bit of each input, and its copies for the channels of later steps.
    total = Budget(lut=pairs + -(-pairs // 4), ff=pairs + part.steps).times(inputs)
    for column in part.weights.T:
        sums = [entries(taps) for taps in np.split(column, range(TAPS, inputs, TAPS))]
        ranges = [(min(table), max(table)) for table in sums]
        total += Budget(lut=sum(map(table_luts, sums)))
        total += Budget(ff=sum(signed_range(*ends).width for ends in ranges))
        while len(ranges) > 1:
            pairs = [ranges[index : index + 2] for index in range(0, len(ranges), 2)]
            ranges = [tuple(map(sum, zip(*pair))) for pair in pairs]
            for pair, ends in zip(pairs, ranges):
                width = signed_range(*ends).width
                total += adder(width) if len(pair) == 2 else Budget(ff=width)
        width = signed_range(*ranges[0]).width
        total += adder(width + 1) + Budget(ff=width + 2 * bits)
    shown = part.steps - 1
    return total + Budget(lut=shown * part.width, ff=shown * part.width).times(part.output_lanes)


@resources.register
def _(part: Array, device: Device) -> Budget:
    word, others = bits(part.dots.x), len(part.clients) - 1
    chosen = Budget(lut=word * others, ff=word) + counter(len(part.dots.words)).times(others)
    return resources(part.dots, device) + chosen


@resources.register
def _(part: MacPipe, device: Device) -> Budget:
    folding, plan = part.folding, part.folding.plan
    width = folding.accumulator.width
    total = Budget(ff=4 * part.latency) + (resources(part.dots, device) if part.dots else Budget())
    total += memory(
        f"{folding.spec.name}.bias", width * folding.seed_lanes, folding.seeds, device, part.loads
    )
    total += adder(width).times(plan.lanes)
    total += Budget(ff=width).times((folding.sums - 1) * plan.lanes)
    if folding.input_folds > 1:
        total += Budget(lut=width).times(plan.lanes)
    return total


@resources.register
def _(part: WiredPipe, device: Device) -> Budget:
    folding = part.folding
    total = Budget(ff=part.latency)
    for dots in part.dots:
        total += wired(dots.graph)
    if part.held:
        # Windows overlap: a pixel's register serves all that see it.
        kernel, stride = folding.spec.geometry.kernel, folding.spec.geometry.stride
        wide = kernel[1] + stride[1] * (folding.plan.pixel_lanes - 1)
        total += Budget(ff=wide * kernel[0] * folding.spec.in_shape[2] * folding.spec.src.width)
    if part.by_pixel:
        lanes = folding.plan.lanes
        words = rom(folding.accumulator.width * folding.seed_lanes, folding.seeds, device)
        total += words + adder(folding.accumulator.width).times(lanes) + counter(folding.seeds)
    return total


@resources.register
def _(part: Digits, device: Device) -> Budget:
    word = bits(part.i.payload)
    return Budget(lut=word * (part.steps - 1) // part.steps + 4, ff=word + 1) + counter(part.steps + 1)


@resources.register
def _(part: DigitPipe, device: Device) -> Budget:
    folding, width = part.folding, part.partial.width
    done = folding.digit.width * (folding.plan.digits - 1)
    total = (adder(width) + Budget(ff=done)).times(folding.plan.lanes) + Budget(ff=3 * part.latency)
    for dots in part.dots:
        total += wired(dots.graph)
    return total


@resources.register
def _(part: AlignPipe, device: Device) -> Budget:
    if not part.selects:
        return Budget()
    total, lanes = counter(len(part.folding.shifts)) + Budget(ff=1), Budget()
    for shifts in part.folding.shifts.T:
        width = part.folding.accumulator.width + int(shifts.max() - shifts.min())
        lanes += Budget(lut=width * (len(set(shifts.tolist())) - 1), ff=width)
    return total + lanes.times(part.folding.plan.pixel_lanes)


@resources.register
def _(part: ScalePipe, device: Device) -> Budget:
    folding, lanes = part.folding, part.folding.plan.lanes
    total = loadrom(part.loads.shares[f"{folding.spec.name}.shifts"], device)
    total += counter(len(folding.shifts)) + Budget(ff=part.latency)
    width = folding.aligned.width
    return total + Budget(lut=SHIFT_WIDTH * width, ff=width + 2 * folding.accumulator.width).times(lanes)


@resources.register
def _(part: RequantPipe, device: Device) -> Budget:
    source, target = part.requant.src, part.requant.dst
    kept = max(source.width - max(part.requant.shift, 0), 1)
    lane = Budget(lut=kept + 2 * target.width, ff=kept + 2 + target.width)
    if part.half:
        lane += adder(source.width + 1)
    return lane.times(part.lanes)


@resources.register
def _(part: TablePipe, device: Device) -> Budget:
    if part.loads is not None:
        return loadrom(part.loads.shares[f"{part.spec.name}.table"], device, part.lanes)
    return rom(part.spec.dst.width, 1 << part.spec.src.width, device).times(part.lanes)


@resources.register
def _(part: ReducePipe, device: Device) -> Budget:
    width = part.spec.src.width
    if part.spec.mode == "max":
        lane = Budget(lut=2 * width + CARRY, ff=width).times(part.taps - 1)
    else:
        lane = tree(width, part.taps)
    return lane.times(part.lanes) + Budget(ff=part.latency)


@resources.register
def _(part: Collect, device: Device) -> Budget:
    word, value = bits(part.o.payload), bits(part.i.payload)
    places = (part.depth - 1).bit_length()
    total = (
        ram(word, part.depth, device) + Budget(lut=14, ff=5 + value + word + places) + adder(places).times(2)
    )
    for limit in (part.groups, *part.spec.in_shape[:2], *part.spec.kernel):
        total += counter(limit)
    return total + Budget(lut=3 * word if part.spec.mode == "max" else 2 * word)


@resources.register
def _(part: AveragePipe, device: Device) -> Budget:
    factor, _, _ = part.spec.reciprocal
    target = part.spec.dst.width
    source = part.spec.sum_format.width
    product = source + factor.bit_length()
    lane = adder(product) + Budget(lut=3 * target, ff=product + 2 * target + 2)
    if factor & (factor - 1) and not device.infers:
        lane += adder(source).times(len(digits(factor)) - 1)
    elif factor & (factor - 1):
        # A product wider than a multiplier takes several.
        parts = [-(-width // device.multiplier_width) for width in (source, factor.bit_length() + 1)]
        lane += Budget(dsp=parts[0] * parts[1])
    return lane.times(part.lanes) + Budget(ff=4)


@resources.register
def _(part: WeighPipe, device: Device) -> Budget:
    return wired(part.graph).times(part.lanes) + Budget(ff=part.latency)


@resources.register
def _(part: ExtremesPipe, device: Device) -> Budget:
    width = part.spec.src.width
    chosen = Budget(lut=2 * width + CARRY, ff=width).times(2 * (part.taps - 1))
    return chosen + adder(width + 1) + Budget(ff=2 * width + part.latency)


@resources.register
def _(part: Argmax, device: Device) -> Budget:
    word = bits(part.i.payload)
    value = part.fmt.width
    return Budget(lut=word + 2 * value + 12, ff=word + value + 4) + counter(part.count).times(2)


@resources.register
def _(part: Buffer, device: Device) -> Budget:
    memory = ram(bits(part.o.payload), part.depth, device)
    return memory + counter(part.depth).times(2) + counter(part.depth + 1)


@resources.register
def _(part: Chain, device: Device) -> Budget:
    return sum((resources(stage, device) for _, stage in part.stages), Budget())


@resources.register
def _(part: Branches, device: Device) -> Budget:
    return sum((resources(chain, device) for chain in part.chains), Budget(lut=8, ff=2))


@resources.register
def _(part: AddPipe, device: Device) -> Budget:
    return adder(part.spec.sum_format.width).times(part.lanes)


@resources.register
def _(part: Elastic, device: Device) -> Budget:
    total = resources(part.front, device) + counter(part.depth + 1)
    for pipe in part.pipes:
        total += resources(pipe, device)
    return total + resources(Buffer(part.o.payload.shape(), part.depth, device), device)
