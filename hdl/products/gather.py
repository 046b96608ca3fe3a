"""Windows read from memory, a slice a cycle, where a convolution's window takes a few cycles."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value

from hdl.devices.device import Device
from hdl.folding.layer import Folding
from hdl.folding.reach import ahead_rows
from hdl.parts.counting import counter, within
from hdl.parts.memory import Ram
from hdl.parts.pipe import Front, lanes_of
from hdl.parts.sweep import filled
from hdl.products.mac import step_layout
from hdl.products.share import Client


class Gather(Front):
    """Keeps the rows that windows span in one memory, and reads a window slice by slice, as steps want it.

    It takes the place of a `Window` and its `Sequencer`. Those hold a window in registers, twice; here a
    slice is a word of a ring of pixels, and an address walks over the window: `input_lanes` values of a
    pixel, the pixel's other slices, the row's other pixels, the other rows. It does so once for each output
    beat, so a sum is finished before the next one begins. The ring has room for as many rows again as a
    window has, so that the layers before work ahead, and no FIFO stands before it.

    What a window needs that is not there yet, and the rows that nothing needs after it, are counted in words:
    a window begins when the words between the first row that is kept and its own last pixel have come.

    Latency: four cycles from a window's last pixel to its first step. Throughput: one step a cycle.

    Parameters
    ----------
    folding : Folding
        Of a convolution that is `gathered`.
    device : Device
    client : Client, optional
        If the multipliers are shared: then steps wait for their turns.
    """

    def __init__(self, folding: Folding, device: Device, client: Client | None = None):
        self.folding, self.device, self.client = folding, device, client
        spec, lanes = folding.spec, folding.plan.input_lanes
        self.slices = spec.in_shape[2] // lanes
        self.needed, self.freed = self.words()
        spans = [
            before + int(self.needed[row].max(initial=0))
            for row, before in enumerate([self.freed[-1], *self.freed[:-1]])
        ]
        rows = spec.geometry.extent[0] + max(ahead_rows(spec), spec.geometry.stride[0])
        self.depth = 1 << (max(rows * spec.in_shape[1] * self.slices, *spans) - 1).bit_length()
        super().__init__(
            lanes_of(spec.src, lanes),
            step_layout(folding, client),
            burst=folding.output_folds,
            steps=folding.steps,
        )

    def words(self) -> tuple[np.ndarray, list[int]]:
        """Words from the first kept row to the end of each window, and words that each row of windows frees.

        Returns
        -------
        ndarray of int, (H_out, W_out)
            Rows of windows that lie in the padding above an image need none: at most 0.
        list of int, (H_out,)
        """
        spec = self.folding.spec
        height, width, _ = spec.in_shape
        (top, _), (left, _) = spec.geometry.padding
        (tall, wide), (down, right) = spec.geometry.extent, spec.geometry.positions(spec.in_shape)
        first = np.arange(down) * spec.geometry.stride[0] - top
        kept = np.clip(first, 0, height)
        last = np.minimum(first + tall - 1, height - 1)
        rows = np.where(last < 0, -1, last - kept) * width
        columns = np.clip(np.arange(right) * spec.geometry.stride[1] - left + wide, 0, width)
        freed = np.diff([*kept, height]) * width * self.slices
        return (rows[:, None] + columns) * self.slices, freed.tolist()

    def elaborate(self, platform):
        m = Module()
        spec, folding, slices = self.folding.spec, self.folding, self.slices
        (height, width, _), (tall, wide) = spec.in_shape, spec.geometry.kernel
        (top, _), (left, _) = spec.geometry.padding
        (down, right), (step_down, step_right) = spec.geometry.positions(spec.in_shape), spec.geometry.stride
        below, beside = spec.geometry.dilation
        begin, steps = Signal(), Signal()
        m.submodules.ring = ring = Ram(len(Value.cast(self.i.payload)), self.depth, self.device)

        # The next window: its place, and where in the ring its corner stands, or would without padding.
        column, last_column = counter(m, "column", right, begin)
        row, last_row = counter(m, "row", down, begin & last_column)
        along = step_right * slices
        down_a_row = (step_down * width - (right - 1) * step_right) * slices
        to_next_frame = ((height - (down - 1) * step_down) * width - (right - 1) * step_right) * slices
        corner = Signal(range(self.depth), init=-(top * width + left) * slices % self.depth)
        moved = Mux(last_column, Mux(last_row, *self.wrapped(to_next_frame, down_a_row)), along % self.depth)
        with m.If(begin):
            m.d.sync += corner.eq(corner + moved)
        able = self.counted(m, ring, begin, (row, column), last_column)

        # The step under way: which slice of which pixel of which row of the window, and for which outputs.
        part, last_part = counter(m, "part", slices, steps)
        across, last_across = counter(m, "across", wide, steps & last_part)
        deep, last_deep = counter(m, "deep", tall, steps & last_part & last_across)
        starts, ends = (part == 0) & (across == 0) & (deep == 0), last_part & last_across & last_deep
        output, last_output = counter(m, "output", folding.output_folds, steps & ends)
        address = Signal(range(self.depth))
        to_pixel = (beside - 1) * slices + 1
        to_line = (below * width - (wide - 1) * beside - 1) * slices + 1
        to_corner = -((tall - 1) * below * width + (wide - 1) * beside) * slices - (slices - 1)
        moved = Mux(last_deep, *self.wrapped(to_corner, to_line))
        moved = Mux(last_part, Mux(last_across, moved, to_pixel % self.depth), 1)
        with m.If(begin):
            m.d.sync += address.eq(corner)
        with m.Elif(steps):
            m.d.sync += address.eq(address + moved)
        y, x = (
            Signal(range((down - 1) * step_down + (tall - 1) * below + 1)),
            Signal(range((right - 1) * step_right + (wide - 1) * beside + 1)),
        )
        with m.If(begin):
            m.d.sync += [y.eq(times(row, step_down)), x.eq(times(column, step_right))]
        with m.Elif(steps & last_part):
            m.d.sync += x.eq(x + Mux(last_across, -(wide - 1) * beside, beside))
            with m.If(last_across):
                m.d.sync += y.eq(y + Mux(last_deep, -(tall - 1) * below, below))
        outside = ~within(y, top, height) | ~within(x, left, width)

        first = self.client.first if self.client else 0
        index, _ = counter(m, "index", folding.steps, steps, first)
        seed = output
        if folding.seeds > folding.output_folds:
            seed, _ = counter(m, "seed", folding.seeds, steps & ends)

        # Behind the memory a step waits until it is taken.
        active, waits, advance, taken = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(self.client.turn if self.client else waits),
            advance.eq(~waits | taken),
            steps.eq(active & advance),
            begin.eq(able & self.room & (~active | (steps & ends & last_output))),
            self.spend.eq(begin),
            ring.read_addr.eq(address),
            ring.read_en.eq(advance),
        ]
        with m.If(begin | (steps & ends & last_output)):
            m.d.sync += active.eq(begin)
        if self.client:
            m.d.comb += self.client.asks.eq(waits)
        m.d.comb += self.o.valid.eq(taken)
        zero, step = Signal(reset_less=True), self.o.payload
        with m.If(advance):
            m.d.sync += [waits.eq(active), zero.eq(outside)]
        padding = filled(spec.src, self.folding.plan.input_lanes, spec.fill)
        m.d.comb += Value.cast(step.x).eq(Mux(zero, padding, ring.read_data))
        for name, value in (("index", index), ("seed", seed), ("starts", starts), ("ends", ends)):
            later = Signal.like(Value.cast(step[name]), name=name, reset_less=True)
            with m.If(advance):
                m.d.sync += later.eq(value)
            m.d.comb += step[name].eq(later)
        return m

    def wrapped(self, *distances: int) -> list[int]:
        """Distances in the ring, forwards."""
        return [distance % self.depth for distance in distances]

    def counted(self, m: Module, ring: Ram, begin, place: tuple[Signal, Signal], last_column) -> Signal:
        """Writes what comes into the ring, and tells whether the next window's pixels are all there."""
        row, column = place
        writes, open_, address = Signal(), Signal(), Signal(range(self.depth))
        m.d.comb += [
            self.i.ready.eq(open_),
            writes.eq(self.i.valid & open_),
            ring.write_addr.eq(address),
            ring.write_data.eq(self.i.payload),
            ring.write_en.eq(writes),
        ]
        m.d.sync += address.eq(address + writes)

        # Rows may be passed over before they have come: both counts are signed.
        count = Shape(self.depth.bit_length() + 1, signed=True)
        have, have_then, held, held_then = Signal(count), Signal(count), Signal(count), Signal(count)
        freed, released = looked_up(m, row, self.freed, "freed"), Signal(range(max(self.freed) + 1))
        m.d.comb += [
            have_then.eq(have + writes - Mux(begin & last_column, freed, 0)),
            held_then.eq(held + writes - Mux(begin, released, 0)),
        ]
        with m.If(begin):
            # The rows that the last window of a row frees are its own until the next one begins.
            m.d.sync += released.eq(Mux(last_column, freed, 0))
        m.d.sync += [have.eq(have_then), held.eq(held_then), open_.eq(held_then < self.depth)]

        needed, able = Signal(count), Signal()
        rows = looked_up(m, row, (self.needed[:, -1] - self.needed[0, -1]).tolist(), "rows")
        columns = looked_up(m, column, self.needed[0].tolist(), "columns")
        m.d.sync += [needed.eq(rows + columns), able.eq(have >= needed)]
        # After a window has begun, or a reset, it takes two cycles until this holds for the next.
        settling = Signal(2, init=3)
        m.d.sync += settling.eq(Cat(begin, settling[0]))
        return able & (settling == 0)


def looked_up(m: Module, index: Signal, values: list[int], name: str) -> Signal:
    """An entry of a short table, most of whose entries are equal."""
    usual = max(set(values), key=values.count)
    value = Signal(Shape.cast(range(min(values), max(values) + 1)), name=name, init=usual)
    with m.Switch(index):
        for other in sorted(set(values) - {usual}):
            with m.Case(*(place for place, entry in enumerate(values) if entry == other)):
                m.d.comb += value.eq(other)
    return value


def times(value: Value, number: int) -> Value:
    """A multiple of a counter, by additions: of ``value * number`` synthesis makes a multiplier."""
    return sum(value << bit for bit in range(number.bit_length()) if number >> bit & 1)
