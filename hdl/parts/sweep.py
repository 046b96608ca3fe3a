"""Windows side by side: several neighbouring pixels of a row come in a beat, and the windows of as many go
out."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.folding.lanes import divides, windows_of
from hdl.parts.pipe import lanes_of
from model.arithmetic.geometry import Geometry, Shape
from model.arithmetic.qformat import QFormat


class Sweep(wiring.Component):
    """Columns of `pixels` pixels to the windows that belong to them: ``pixels / stride``, or all of a row's.

    Output beat ``k`` of a row holds the windows ``k * pixels / stride`` and following. They reach to the
    left and to the right of the pixels of input beat ``k``, so some beats before and after it stand in
    registers too. What lies beside the image is masked: a row takes not a cycle for its padding. Behind a
    row's last beat the next row's first ones follow, or nothing at all if none wait: then the row's last
    windows leave without them.

    Throughput: one beat a cycle. Latency: one cycle from the last beat that a window reaches to.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of the images.
    geometry : Geometry
    fmt : QFormat
    pixels : int
        Pixels of an input beat, see `divides`.
    fill : int
        Value of the padding.
    parts : int
        Parts, of as many channels each, in which a window is laid out.
    together : bool
        Whether the windows' values for the same tap stand side by side, as pooling wants it.

    Attributes
    ----------
    windows : int
        Of a beat.
    behind, ahead : int
        Beats before and after its own that a beat's windows reach to.

    Members
    -------
    i : stream of r_h * pixels * C values, row by row, pixel by pixel, channels last
    o : stream of windows * r_h * r_w * C values
        Window by window, each as of a `Window`; or `together`: row by row, tap by tap, then window by
        window, channels last.
    """

    def __init__(
        self,
        shape: Shape,
        geometry: Geometry,
        fmt: QFormat,
        pixels: int,
        fill: int,
        parts: int = 1,
        together: bool = False,
    ):
        if not divides(shape, geometry, pixels):
            raise ValueError(
                f"beats of {pixels} pixels do not divide a row of {shape[1]}, or their windows the"
                f" {geometry.positions(shape)[1]} in it"
            )
        self.shape, self.geometry, self.fmt, self.pixels = shape, geometry, fmt, pixels
        self.fill, self.parts, self.together = fill, parts, together
        (tall, wide), channels = geometry.kernel, shape[2]
        self.windows = windows_of(shape, geometry, pixels)
        self.behind = self.ahead = 0
        if pixels < shape[1]:
            left, right = geometry.padding[1][0], (self.windows - 1) * geometry.stride[1] + geometry.extent[1]
            self.behind, self.ahead = -(-left // pixels), (right - 1 - left) // pixels
        super().__init__(
            {
                "i": In(stream.Signature(lanes_of(fmt, tall * pixels * channels))),
                "o": Out(stream.Signature(lanes_of(fmt, self.windows * tall * wide * channels))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        across = self.geometry.positions(self.shape)[1] // self.windows
        row = self.shape[1] // self.pixels

        # The last slot holds the newest beat, that at `behind` the one whose windows go out.
        word = len(Value.cast(self.i.payload))
        slots = [Signal(word, name=f"slot{n}", reset_less=True) for n in range(self.behind + 1 + self.ahead)]
        waiting = Signal(self.ahead + 1)  # beats from `behind` on whose windows were not yet out, newest last
        room, shift, full, place = Signal(), Signal(), Signal(), Signal(range(row))
        at_end = place == 0
        m.d.comb += [
            room.eq(~full | self.o.ready),
            shift.eq(room & (self.i.valid | (at_end & waiting[1:].any()))),
            self.i.ready.eq(room),
            self.o.valid.eq(full),
        ]
        accepted = self.i.valid & room
        with m.If(accepted):
            m.d.sync += place.eq(Mux(place == row - 1, 0, place + 1))
        coming = Signal(self.ahead + 2)
        m.d.comb += coming.eq(Cat(waiting, accepted))
        number = Signal(range(row))  # of the beat that takes its turn next
        turn = coming[1]
        with m.If(shift):
            m.d.sync += [waiting.eq(coming[1:]), full.eq(turn & (number < across))]
            for older, newer in zip(slots, [*slots[1:], Value.cast(self.i.payload)]):
                m.d.sync += older.eq(newer)
            with m.If(turn):
                m.d.sync += number.eq(Mux(number == row - 1, 0, number + 1))
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)

        m.d.comb += Value.cast(self.o.payload).eq(Cat(self.taps(m, slots, shift, number, across)))
        return m

    def taps(self, m: Module, slots: list[Signal], shift: Signal, number: Signal, across: int) -> list[Value]:
        """The values of a beat's windows, in their order."""
        channels, (tall, wide) = self.shape[2], self.geometry.kernel
        share = channels // self.parts
        flags = {}

        def outside(low: int, high: int) -> Signal | None:
            """Whether the beat's number is below or above what a column allows; None if it never is."""
            if low <= 0 and high >= across - 1:
                return None
            if (low, high) not in flags:
                flags[low, high] = flag = Signal(name=f"outside_{low}_{high}".replace("-", "m"))
                with m.If(shift):
                    m.d.sync += flag.eq((number < max(low, 0)) | (number > high))
            return flags[low, high]

        def value(window: int, part: int, row: int, tap: int) -> Value:
            """Some channels of what a window sees at a tap."""
            beside, stride = self.geometry.dilation[1], self.geometry.stride[1]
            offset = window * stride + tap * beside - self.geometry.padding[1][0]
            beat, pixel = divmod(offset, self.pixels)
            if not 0 <= self.behind + beat < len(slots):
                return filled(self.fmt, share, self.fill)
            at = (row * self.pixels + pixel) * self.parts + part
            seen = slots[self.behind + beat].word_select(at, share * self.fmt.width)
            masked = outside(-beat, (self.shape[1] - 1 - offset) // self.pixels)
            return seen if masked is None else Mux(masked, filled(self.fmt, share, self.fill), seen)

        if self.together:
            order = [
                (window, 0, row, tap)
                for row in range(tall)
                for tap in range(wide)
                for window in range(self.windows)
            ]
        else:
            order = [
                (window, part, row, tap)
                for window in range(self.windows)
                for part in range(self.parts)
                for row in range(tall)
                for tap in range(wide)
            ]
        return [value(*place) for place in order]


def filled(fmt: QFormat, count: int, fill: int) -> Value:
    """So many values of padding."""
    return Const.cast(Cat(Const(fill, fmt.width) for _ in range(count)))
