"""Dense layers: the values of a frame stream through the multiply-accumulate array as they come."""

from __future__ import annotations

from amaranth.lib import wiring

from hdl.device import Device
from hdl.folding import StagePlan
from hdl.loading import Loads
from hdl.mac import mac_parts
from hdl.repack import repack
from hdl.share import Client
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
