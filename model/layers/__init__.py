"""One file a layer: its float form, its quantisation to a frozen spec, and the spec's integer model."""

from model.layers.conv import ConvSpec
from model.layers.dense import DenseSpec
from model.layers.pool import PoolSpec
from model.layers.requant import RequantSpec
from model.layers.table import TableSpec

SPECS = {spec.kind: spec for spec in (ConvSpec, PoolSpec, TableSpec, RequantSpec, DenseSpec)}
"""Every kind of quantised layer, by the name that artifacts store."""
