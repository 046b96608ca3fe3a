"""Convolution: whole pixels through a window, handed out in slices to the multiply-accumulate array."""

from __future__ import annotations

from amaranth.lib import wiring

from hdl.device import Device
from hdl.folding import StagePlan
from hdl.loading import Loads
from hdl.mac import mac_parts
from hdl.repack import repack
from hdl.window import Window
from model.layers.conv import ConvSpec


def conv_parts(
    spec: ConvSpec, plan: StagePlan, lanes: int, device: Device, loads: Loads | None = None
) -> list[wiring.Component]:
    """Stage of a `ConvSpec`: beats of `lanes` channels in, of `plan.output_lanes` kernels out.

    ``input_lanes = r_h * r_w * C_in`` takes the whole window in a cycle, ``output_lanes = C_out`` works on
    all kernels at once; with both a pixel enters and a pixel leaves every cycle. The groups of a grouped
    convolution take turns, each with its own channels of the window.
    """
    channels = spec.in_shape[2]
    return [
        *repack(spec.src, lanes, channels),
        Window(spec.in_shape, spec.geometry, spec.src, channels, 0, device, spec.groups),
        *mac_parts(spec, plan, device, loads, whole=True),
    ]
