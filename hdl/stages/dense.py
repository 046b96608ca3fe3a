"""Dense layers: the values of a frame stream through the multiply-accumulate array as they come."""

from __future__ import annotations

from amaranth.lib import wiring

from hdl.devices.device import Device
from hdl.folding.stage import StagePlan
from hdl.loadable.loading import Loads
from hdl.parts.repack import repack
from hdl.products.mac import mac_parts
from hdl.products.share import Client
from model.layers.dense import DenseSpec


def dense_parts(
    spec: DenseSpec,
    plan: StagePlan,
    lanes: int,
    device: Device,
    client: Client | None = None,
    loads: Loads | None = None,
) -> list[wiring.Component]:
    """Stage of a `DenseSpec`: beats of `lanes` values in, of `plan.output_lanes` outputs out."""
    return [
        *repack(spec.src, lanes, plan.input_lanes),
        *mac_parts(spec, plan, device, client, loads, whole=False),
    ]
