"""Convolution: whole pixels through a window, handed out in slices to the multiply-accumulate array."""

from __future__ import annotations

from math import ceil

from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.folding.layer import Folding
from hdl.folding.stage import StagePlan, pixels_in
from hdl.loadable.loading import Loads
from hdl.parts.buffer import Buffer
from hdl.parts.pipe import lanes_of
from hdl.parts.raster import window_parts
from hdl.parts.repack import repack
from hdl.parts.window import Window, pace
from hdl.products.gather import Gather
from hdl.products.mac import mac_parts
from hdl.products.share import Client
from model.layers.conv import ConvSpec


def conv_parts(
    spec: ConvSpec,
    plan: StagePlan,
    lanes: int,
    device: Device,
    client: Client | None = None,
    loads: Loads | None = None,
) -> list[wiring.Component]:
    """Stage of a `ConvSpec`: beats of `lanes` values in, of `plan.lanes` out.

    ``input_lanes = r_h * r_w * C_in`` takes the whole window in a cycle, ``output_lanes = C_out`` works on
    all kernels at once; with both a pixel enters and a pixel leaves every cycle, and ``pixel_lanes`` of them
    with that. The groups of a grouped convolution take turns, each with its own channels of the window.
    Where the lanes are a pixel or part of one, and a window takes a few cycles, it is read from memory.
    """
    folding = Folding(spec, plan) if loads is None else loads.foldings[spec.name]
    if folding.gathered:
        macs = mac_parts(
            spec, plan, device, client, loads, whole=False, front=Gather(folding, device, client)
        )
        return [*repack(spec.src, lanes, plan.input_lanes), *macs]
    pixels, steps = pixels_in(spec, plan), folding.steps
    # Turns of other layers make a window wait longer, yet they come in bursts: enough columns for both.
    paces = {steps, client.load // (spec.out_shape[0] * spec.out_shape[1]) if client else steps}
    ahead = max(columns_ahead(spec, taken, lanes, plan) for taken in paces)
    taken = pixels * spec.in_shape[2]
    given = spec.in_shape, spec.geometry, spec.src, taken, spec.fill, device, spec.groups
    parts = [*repack(spec.src, lanes, taken)]
    if plan.wired and steps == 1 and not ahead and not windows_ahead(spec, steps, plan):
        return [*parts, *window_parts(*given), *mac_parts(spec, plan, device, whole=True)]
    if pixels > 1:
        # Repacking, lines and windows of several pixels are wide, so no handshake goes through two of them.
        ahead = max(ahead, 2)
        parts += [Buffer(lanes_of(spec.src, taken), 2, device)] if parts else []
    # A window's cycles must be enough to look for it, to slide to it in two, and to take it.
    patient = not windows_ahead(spec, steps, plan) and row_shifts(spec, plan) + 3 <= steps
    window = Window(*given, ahead, patient=patient)
    parts.append(window)
    if count := windows_ahead(spec, steps, plan):
        parts.append(Buffer(window.o.payload.shape(), count, device))
    return [*parts, *mac_parts(spec, plan, device, client, loads, whole=True)]


def columns_ahead(spec: ConvSpec, steps: int, lanes: int, plan: StagePlan) -> int:
    """Columns that must wait for the multipliers to stay busy while rows come in in which no window ends.

    These are the first rows of a frame, rows of padding, and those that a stride passes over. No more need
    wait than come faster than they are used.

    Parameters
    ----------
    spec : ConvSpec
    steps : int
        Cycles that a window occupies the multipliers.
    lanes : int
        Values of an input beat.
    plan : StagePlan
        With pixel lanes a column is one of all the pixels of a beat.
    """
    (height, width, channels), (down, right) = spec.in_shape, spec.out_shape[:2]
    stride, first = spec.geometry.stride[0], spec.geometry.extent[0] - 1 - spec.geometry.padding[0][0]
    taken = pixels_in(spec, plan)
    width, right = width // taken, right // plan.pixel_lanes
    lines, slide = pace(spec.in_shape, spec.geometry, taken)
    rows, last = lines // width, first + stride * (down - 1)
    pixel = ceil(taken * channels / lanes)  # cycles
    row = max(slide // down, right * steps)  # cycles of a row of windows
    empty = pixel * (min(first, height) + max(height - 1 - last, 0)) + (rows - max(last + 1, height))
    empty += max(first - height, 0)
    silent = width * max(empty, pixel * (stride - 1))
    coming = pixel * width * (stride * (down - 1) + 1)
    surplus = down * width - coming * width / row
    # The FIFO itself takes its time, and the first window of a row takes several columns.
    late = Buffer.latency + 2
    wanted = (silent + late + ceil(spec.geometry.extent[1] / taken)) * width / row
    return max(ceil(min(wanted, surplus + late)), 2) if surplus > 0 and silent else 0


def windows_ahead(spec: ConvSpec, steps: int, plan: StagePlan) -> int:
    """Windows that must wait for the multipliers to stay busy while the next row's first slides in.

    Windows side by side count as one.
    """
    right, shifts = spec.out_shape[1] // plan.pixel_lanes, row_shifts(spec, plan)
    columns = pace(spec.in_shape, spec.geometry, pixels_in(spec, plan))[1] // spec.out_shape[0]
    # Where windows take several cycles the next one is looked for before the last of them.
    if right * steps < columns or shifts < steps or shifts == steps == 1:
        return 0
    # One more waits in the window's own registers.
    return max(ceil((shifts + Buffer.latency) / steps) - 1, 2)


def row_shifts(spec: ConvSpec, plan: StagePlan) -> int:
    """Columns from a row's last window to the next one's first: the most from one window to the next."""
    right = spec.out_shape[1] // plan.pixel_lanes
    stride = 1 if plan.pixel_lanes > 1 else spec.geometry.stride[1]
    columns = pace(spec.in_shape, spec.geometry, pixels_in(spec, plan))[1] // spec.out_shape[0]
    return columns - (right - 1) * stride
