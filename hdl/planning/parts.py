"""What each part takes that moves, keeps or chooses values."""

from __future__ import annotations

from functools import singledispatch

from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.parts.buffer import Buffer
from hdl.parts.chain import Chain
from hdl.parts.counting import between
from hdl.parts.gate import FrameVerdict
from hdl.parts.pipe import Door, Elastic, shares
from hdl.parts.raster import Raster, SlidePipe, SweepPipe
from hdl.parts.repack import Narrow, Widen
from hdl.parts.rounding import RequantPipe
from hdl.parts.sweep import Sweep
from hdl.parts.window import Lines, Slide, Window
from hdl.planning.pieces import adder, bits, counter, larger, loadrom, ram, rom, tree
from hdl.planning.tally import Tally
from hdl.products.gather import Gather
from hdl.stages.classify import Argmax
from hdl.stages.collect import CollectPipe, Tiles
from hdl.stages.grey import ExtremesPipe
from hdl.stages.pool import ReducePipe
from hdl.stages.residual import AddPipe, Branches
from hdl.stages.table import TablePipe


@singledispatch
def resources(part: wiring.Component, device: Device) -> Tally:
    """Resources of one part."""
    raise TypeError(f"no estimate for {type(part).__name__}")


@resources.register
def _(part: Widen, device: Device) -> Tally:
    return Tally(control=4, ff=bits(part.o.payload)) + counter(part.factor + 1)


@resources.register
def _(part: Narrow, device: Device) -> Tally:
    word = bits(part.i.payload)
    return Tally(choice=word, ff=word + 1) + counter(part.factor)


@resources.register
def _(part: Window, device: Device) -> Tally:
    queue = resources(part.queue, device) if part.queue else Tally()
    return resources(part.lines, device) + queue + resources(part.slide, device)


@resources.register
def _(part: Lines, device: Device) -> Tally:
    rows, padding = part.geometry.extent[0], between(part.geometry)[0]
    height, word, depth = part.shape[0], part.fmt.width * part.lanes, part.row
    total = Tally(control=16, choice=word, ff=word + 4) + counter(height + padding) + counter(depth)
    total += Tally(control=6, ff=depth.bit_length())
    if rows > 1:
        total += ram(word * (rows - 1), depth, device) if depth > 1 else Tally(ff=word * (rows - 1))
    return total


@resources.register
def _(part: Slide, device: Device) -> Tally:
    columns, padding = part.geometry.extent[1], between(part.geometry)[1]
    column, held = bits(part.i.payload), part.groups * (columns - 1) + 1
    total = Tally(control=10, choice=column if padding else 0, ff=2 + held * column)
    if part.patient:
        copies = len(shares(column, held))
        total += Tally(control=3 * copies, ff=column + 2 * copies)
    return total + counter(part.shape[1] + padding) + counter(part.groups)


@resources.register
def _(part: Raster, device: Device) -> Tally:
    padding = between(part.geometry)[0]
    places = (part.row - 1).bit_length()
    total = Tally(control=14, choice=bits(part.i.payload) if padding else 0, ff=6 + places)
    total += counter(part.shape[0] + padding) + counter(part.row)
    return total if part.pixels > 1 else total + counter(part.shape[1]) + counter(part.groups)


@resources.register
def _(part: SlidePipe, device: Device) -> Tally:
    raster = part.raster
    word, held = raster.fmt.width * raster.lanes, raster.groups * (raster.geometry.extent[1] - 1) + 1
    return column(raster, device) + Tally(ff=raster.geometry.kernel[0] * word * held)


@resources.register
def _(part: SweepPipe, device: Device) -> Tally:
    return column(part.raster, device) + resources(part.sweep, device)


def column(raster: Raster, device: Device) -> Tally:
    """A pixel with its place twice, the line buffer, and its column."""
    rows, word, depth = raster.geometry.extent[0], raster.fmt.width * raster.lanes, raster.row
    total = Tally(ff=2 * (bits(raster.o.payload) + 1) + raster.geometry.kernel[0] * word + 4)
    if rows > 1:
        total += ram(word * (rows - 1), depth, device) if depth > 1 else Tally(ff=word * (rows - 1))
    return total


@resources.register
def _(part: Sweep, device: Device) -> Tally:
    # A tap beside the image costs a gate each bit, and no pixel before or behind all windows is kept.
    (tall, wide), (left, _) = part.geometry.kernel, part.geometry.padding[1]
    beside = sum(
        not 0 <= window * part.geometry.stride[1] + tap * part.geometry.dilation[1] - left < part.pixels
        for window in range(part.windows)
        for tap in range(wide)
    )
    pixel = tall * part.shape[2] * part.fmt.width
    held = part.pixels * (1 + part.ahead) + left
    total = Tally(control=12, choice=beside * pixel, ff=6 + held * pixel)
    return total + counter(part.shape[1] // part.pixels).times(2)


@resources.register
def _(part: Door, device: Device) -> Tally:
    return Tally()


@resources.register
def _(part: Gather, device: Device) -> Tally:
    folding, spec = part.folding, part.folding.spec
    word, places = bits(part.i.payload), (part.depth - 1).bit_length()
    total = ram(word, part.depth, device) + Tally(choice=word, control=30, ff=8)
    for limit in (*spec.out_shape[:2], part.slices, *spec.geometry.kernel, folding.output_folds):
        total += counter(limit)
    for size, extent in zip(spec.in_shape, spec.geometry.extent):
        total += counter(size + extent)
    total += counter(folding.steps) + Tally(ff=(folding.steps - 1).bit_length())
    if folding.seeds > folding.output_folds:
        total += counter(folding.seeds)
    # Three addresses, two counts with what is added to them, and a comparison.
    return total + adder(places).times(9)


@resources.register
def _(part: RequantPipe, device: Device) -> Tally:
    source, target = part.requant.src, part.requant.dst
    kept = max(source.width - max(part.requant.shift, 0), 1)
    lane = Tally(clamp=kept + 2 * target.width, ff=kept + 2 + target.width)
    if part.half:
        lane += adder(source.width + 1)
    return lane.times(part.lanes)


@resources.register
def _(part: TablePipe, device: Device) -> Tally:
    if part.loads is not None:
        return loadrom(part.loads.shares[f"{part.spec.name}.table"], device, part.lanes)
    return rom(part.spec.dst.width, part.spec.table.tolist(), device).times(part.lanes)


@resources.register
def _(part: ReducePipe, device: Device) -> Tally:
    width = part.spec.src.width
    largest = part.spec.mode == "max"
    lane = larger(width).times(part.taps - 1) if largest else tree(width, part.taps)
    return lane.times(part.lanes) + Tally(ff=part.latency)


@resources.register
def _(part: Tiles, device: Device) -> Tally:
    places = (part.depth - 1).bit_length()
    total = Tally(control=12, ff=9 + places) + adder(places).times(2)
    for limit in (part.groups, *part.spec.in_shape[:2], *part.spec.kernel):
        total += counter(limit)
    return total


@resources.register
def _(part: CollectPipe, device: Device) -> Tally:
    word, place = bits(part.o.payload), bits(part.i.payload)
    total = ram(word, part.tiles.depth, device) + Tally(ff=2 * place + word + 3)
    return total + Tally(choice=3 * word if part.tiles.spec.mode == "max" else 2 * word)


@resources.register
def _(part: ExtremesPipe, device: Device) -> Tally:
    width = part.spec.src.width
    chosen = larger(width).times(2 * (part.taps - 1))
    return chosen + adder(width + 1) + Tally(ff=2 * width + part.latency)


@resources.register
def _(part: Argmax, device: Device) -> Tally:
    word = bits(part.i.payload)
    value = part.fmt.width
    total = Tally(choice=word + value, adder=value, control=12, ff=word + value + 4)
    return total + counter(part.count).times(2)


@resources.register
def _(part: Buffer, device: Device) -> Tally:
    memory = ram(bits(part.o.payload), part.depth, device)
    return memory + counter(part.depth).times(2) + counter(part.depth + 1)


@resources.register
def _(part: FrameVerdict, device: Device) -> Tally:
    frame = Buffer(part.i.payload.shape(), part.depth, device)
    return resources(frame, device) + counter(part.beats) + Tally(control=4, ff=2)


@resources.register
def _(part: Chain, device: Device) -> Tally:
    return sum((resources(stage, device) for _, stage in part.stages), Tally())


@resources.register
def _(part: Branches, device: Device) -> Tally:
    return sum((resources(chain, device) for chain in part.chains), Tally(control=8, ff=2))


@resources.register
def _(part: AddPipe, device: Device) -> Tally:
    return adder(part.spec.sum_format.width).times(part.lanes)


@resources.register
def _(part: Elastic, device: Device) -> Tally:
    burst = part.front.burst
    total = resources(part.front, device) + counter(part.depth // burst + 1) + counter(burst) + Tally(ff=2)
    for pipe in part.pipes:
        total += resources(pipe, device)
    return total + resources(Buffer(part.o.payload.shape(), part.depth, device), device)
