"""What each part takes that multiplies and sums."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Shape, unsigned

from hdl.devices.device import Device
from hdl.folding.layer import SHIFT_WIDTH
from hdl.parts.memory import Rom
from hdl.parts.pipe import shape_of, shares
from hdl.parts.rounding import AveragePipe
from hdl.planning.parts import resources
from hdl.planning.pieces import adder, bits, counter, larger, loadrom, memory, rom, tree, wired
from hdl.planning.tally import Tally
from hdl.products import wide
from hdl.products.digits import DigitPipe, Digits
from hdl.products.dots import Dots
from hdl.products.mac import AlignPipe, MacPipe, ScalePipe, Sequencer
from hdl.products.serial import TAPS, SerialDots, entries, signed_range, table_luts
from hdl.products.share import Array
from hdl.products.sharing import signed_digits
from hdl.products.weigh import WeighPipe
from hdl.products.wired import WiredPipe
from hdl.stages.rescale import RescalePipe


@resources.register
def _(part: Sequencer, device: Device) -> Tally:
    folding = part.folding
    total = Tally(control=8, ff=4) + counter(folding.steps) + counter(folding.output_folds)
    if folding.groups > 1:
        total += counter(folding.vector_steps)
    if folding.seeds > folding.output_folds:
        total += counter(folding.seeds)
    if part.steps > 1:
        word = bits(part.i.payload)
        # Each share of the word has an enable of its own.
        copies = 1 if part.client else len(shares(word))
        total += Tally(choice=word if part.slices > 1 else 0, control=copies, ff=word + copies)
        total += counter(part.steps + 1)
    return total


@resources.register
def _(part: Dots, device: Device) -> Tally:
    words, pixels = part.input_lanes * part.output_lanes, part.pixel_lanes
    lanes = words * pixels
    source, factor = part.src, part.weight_format
    product, shapes = source.width + factor.width, (shape_of(source), shape_of(factor))
    total = Tally(ff=Rom.latency * part.input_lanes * pixels * source.width)
    total += memory(part.name, factor.width * words, part.words, device, part.loads)
    if part.selects:
        product = source.width + (not source.signed) + part.doubles
        exact = adder(product + 1).times(part.output_lanes * pixels)
        total += Tally(select=product, ff=product + 1).times(lanes) + exact
    elif device.per_multiplier(*shapes):
        hard = device.multipliers(lanes, *shapes)
        total += Tally(dsp=hard, ff=(device.product_latency - 2) * product * lanes)
    else:
        soft = Tally(soft=device.product_luts(product))
        made = inferred(*shapes, device) if device.inferred(*shapes) else soft
        total += (made + Tally(ff=device.product_latency * product)).times(lanes)
    return total + tree(product, part.input_lanes).times(part.output_lanes * pixels)


def inferred(a: Shape, b: Shape, device: Device) -> Tally:
    """A product that synthesis makes of multipliers: where they are several, what they make is added."""
    hard = device.inferred(a, b)
    return Tally(dsp=hard) + Tally(adder=a.width + b.width, chain=1).times(hard - 1)


@resources.register
def _(part: SerialDots, device: Device) -> Tally:
    bits, inputs = part.src.width, len(part.weights)
    pairs = -(-bits // 2)
    # A bit of each input, and its copies for the channels of later steps.
    total = Tally(choice=pairs + -(-pairs // 4), ff=pairs + part.steps).times(inputs)
    for column in part.weights.T:
        sums = [entries(taps) for taps in np.split(column, range(TAPS, inputs, TAPS))]
        ranges = [(min(table), max(table)) for table in sums]
        total += Tally(serial=sum(map(table_luts, sums)))
        total += Tally(ff=sum(signed_range(*ends).width for ends in ranges))
        while len(ranges) > 1:
            pairs = [ranges[index : index + 2] for index in range(0, len(ranges), 2)]
            ranges = [tuple(map(sum, zip(*pair))) for pair in pairs]
            for pair, ends in zip(pairs, ranges):
                width = signed_range(*ends).width
                total += adder(width) if len(pair) == 2 else Tally(ff=width)
        width = signed_range(*ranges[0]).width
        total += adder(width + 1) + Tally(ff=width + 2 * bits)
    shown = part.steps - 1
    return total + Tally(choice=shown * part.width, ff=shown * part.width).times(part.output_lanes)


@resources.register
def _(part: Array, device: Device) -> Tally:
    word, others = bits(part.dots.x), len(part.clients) - 1
    chosen = Tally(choice=word * others, ff=word) + counter(len(part.dots.words)).times(others)
    return resources(part.dots, device) + chosen


@resources.register
def _(part: MacPipe, device: Device) -> Tally:
    folding, plan = part.folding, part.folding.plan
    width = folding.accumulator.width
    total = Tally(ff=4 * part.latency) + (resources(part.dots, device) if part.dots else Tally())
    total += memory(
        f"{folding.spec.name}.bias", width * folding.seed_lanes, folding.bias_words(), device, part.loads
    )
    total += adder(width).times(plan.lanes)
    total += Tally(ff=width).times((folding.sums - 1) * plan.lanes)
    if folding.input_folds > 1:
        total += Tally(choice=width).times(plan.lanes)
    return total


@resources.register
def _(part: WiredPipe, device: Device) -> Tally:
    folding = part.folding
    total = Tally(ff=part.latency)
    for dots in part.dots:
        total += wired(dots.graph)
    if part.held:
        # Windows overlap: a pixel's register serves all that see it.
        kernel, stride = folding.spec.geometry.kernel, folding.spec.geometry.stride
        wide = kernel[1] + stride[1] * (folding.plan.pixel_lanes - 1)
        total += Tally(ff=wide * kernel[0] * folding.spec.in_shape[2] * folding.spec.src.width)
    if part.by_pixel:
        lanes = folding.plan.lanes
        words = rom(folding.accumulator.width * folding.seed_lanes, folding.bias_words(), device)
        total += words + adder(folding.accumulator.width).times(lanes) + counter(folding.seeds)
    return total


@resources.register
def _(part: Digits, device: Device) -> Tally:
    digit = bits(part.o.payload.x)
    moved = digit * (part.steps - 1)
    copies = len(shares(moved))
    total = Tally(choice=moved, control=3 + copies, ff=moved + digit + copies + 1)
    return total + counter(part.steps + 1)


@resources.register
def _(part: DigitPipe, device: Device) -> Tally:
    folding, width = part.folding, part.partial.width
    done = folding.digit.width * (folding.plan.digits - 1)
    total = (adder(width) + Tally(ff=done)).times(folding.plan.lanes) + Tally(ff=3 * part.latency)
    for dots in part.dots:
        total += wired(dots.graph)
    return total


@resources.register
def _(part: AlignPipe, device: Device) -> Tally:
    if not part.selects:
        return Tally()
    total, lanes = counter(len(part.folding.shifts)) + Tally(ff=1), Tally()
    for shifts in part.folding.shifts.T:
        width = part.folding.accumulator.width + int(shifts.max() - shifts.min())
        lanes += Tally(choice=width * (len(set(shifts.tolist())) - 1), ff=width)
    return total + lanes.times(part.folding.plan.pixel_lanes)


@resources.register
def _(part: ScalePipe, device: Device) -> Tally:
    folding, lanes = part.folding, part.folding.plan.lanes
    total = loadrom(part.loads.shares[f"{folding.spec.name}.shifts"], device)
    total += counter(len(folding.shifts)) + Tally(ff=part.latency)
    width = folding.aligned.width
    return total + Tally(choice=SHIFT_WIDTH * width, ff=width + 2 * folding.accumulator.width).times(lanes)


@resources.register
def _(part: AveragePipe, device: Device) -> Tally:
    factor, _, _ = part.spec.reciprocal
    target = part.spec.dst.width
    source = part.spec.sum_format.width
    product = source + factor.bit_length()
    lane = adder(product) + Tally(clamp=3 * target, ff=product + 2 * target + 2)
    # The lowest zeros of a factor are but a shift.
    odd = factor // (factor & -factor)
    shapes = shape_of(part.spec.sum_format), unsigned(odd.bit_length())
    if odd > 1 and device.inferred(*shapes):
        lane += inferred(*shapes, device)
    elif odd > 1:
        lane += adder(source).times(len(signed_digits(factor)) - 1)
    return lane.times(part.lanes) + Tally(ff=4)


@resources.register
def _(part: RescalePipe, device: Device) -> Tally:
    spec, width, target = part.spec, part.sum_width, part.spec.dst.width
    source, late = shape_of(spec.src), part.product_latency
    shift = Tally(shift=width * (len(part.choices) - 1))
    lane = shift + Tally(scale=width + 2 * target, ff=2 * width + target + 2)
    if part.multiplies:
        lane += Tally(dsp=wide.multipliers(device, source, part.factor))
        for a, b in wide.pairs(device, source, part.factor):
            if not device.per_multiplier(a, b):
                lane += Tally(soft=device.product_luts(a.width + b.width), ff=late * (a.width + b.width))
            else:
                lane += Tally(ff=(late - 2) * (a.width + b.width))
    # offsets, which of two the LUTs of the adder choose, and what is delayed beside the products
    added = Tally(scale=width, ff=width).times(part.parts) + Tally(ff=late * part.offset.width)
    lane += added
    if spec.odd is not None:
        lane += added + larger(width) + shift + Tally(ff=width)
    total = lane.times(part.lanes) + Tally(ff=part.latency)
    if part.beats > 1:
        table = rom(part.word_width, part.words, device) + counter(part.beats)
        total += table + Tally(ff=2 * source.width).times(part.lanes)
    return total


@resources.register
def _(part: WeighPipe, device: Device) -> Tally:
    return wired(part.graph).times(part.lanes) + Tally(ff=part.latency)
