"""One file a layer: its float form, its quantisation to a frozen spec, and the spec's integer model."""

from model.layers.batchnorm import BatchNorm
from model.layers.conv import Conv, ConvSpec, Depthwise
from model.layers.dense import Dense, DenseSpec
from model.layers.dropout import Dropout
from model.layers.functions import Function, LeakyReLU, Sigmoid, Tanh
from model.layers.grey import Grey, GreySpec
from model.layers.identity import Identity
from model.layers.pool import Pool, PoolSpec
from model.layers.reduce import Reduce, ReduceSpec
from model.layers.requant import ReLU, RequantSpec
from model.layers.rescale import RescaleSpec
from model.layers.residual import Residual, ResidualSpec
from model.layers.softmax import Softmax
from model.layers.table import TableSpec

__all__ = [
    "LAYERS",
    "SPECS",
    "BatchNorm",
    "Conv",
    "ConvSpec",
    "Dense",
    "DenseSpec",
    "Depthwise",
    "Dropout",
    "Function",
    "Grey",
    "GreySpec",
    "Identity",
    "LeakyReLU",
    "Pool",
    "PoolSpec",
    "ReLU",
    "Reduce",
    "ReduceSpec",
    "RequantSpec",
    "RescaleSpec",
    "Residual",
    "ResidualSpec",
    "Sigmoid",
    "Softmax",
    "TableSpec",
    "Tanh",
]

LAYERS = {
    "grey": Grey,
    "reduce": Reduce,
    "conv": Conv,
    "depthwise": Depthwise,
    "pool": Pool,
    "dense": Dense,
    "batchnorm": BatchNorm,
    "residual": Residual,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "identity": Identity,
    "dropout": Dropout,
    "softmax": Softmax,
}
"""Every kind of float layer, by the name that descriptions of nets use; but for `Function`, whose code is the
user's and is given in Python."""

SPECS = {
    spec.kind: spec
    for spec in (
        GreySpec,
        ReduceSpec,
        ConvSpec,
        PoolSpec,
        TableSpec,
        RequantSpec,
        RescaleSpec,
        DenseSpec,
        ResidualSpec,
    )
}
"""Every kind of quantised layer, by the name that artifacts store."""
