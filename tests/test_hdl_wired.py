"""Hard-wired weights: the pipeline against its graph, layers and nets against the golden model."""

from dataclasses import replace

import numpy as np
import pytest

import stream_sim
from hdl.chain import Chain
from hdl.conv import conv_parts
from hdl.dense import dense_parts
from hdl.device import PORTABLE
from hdl.folding import WIRED, StagePlan
from model.layers import ConvSpec, DenseSpec
from model.qformat import QFormat


def all_lanes(spec) -> StagePlan:
    """The plan of a hard-wired layer."""
    groups, inputs, outputs = spec.matrices.shape
    return StagePlan(inputs, groups * outputs, weights=WIRED)


def check(spec, *, stalls=0.2, frames=3, seed=0, lanes=None, parts=None):
    """Frames back to back; gives the cycle in which each frame's last beat came out."""
    parts = parts or (conv_parts if isinstance(spec, ConvSpec) else dense_parts)
    lanes = lanes or spec.in_shape[2]
    images = np.random.default_rng(seed).integers(spec.src.min, spec.src.max + 1, (frames, *spec.in_shape))
    images[0], images[-1] = spec.src.min, spec.src.max
    expected = spec.run(images).reshape(-1, spec.out_shape[2]).tolist()
    chain = Chain([("d", part) for part in parts(spec, all_lanes(spec), lanes, PORTABLE)], PORTABLE)
    beats = images.reshape(-1, lanes).tolist()
    got, cycles = stream_sim.run(chain, beats, len(expected), stalls, seed, longest=8)
    assert stream_sim.values(got) == expected
    return cycles[len(expected) // frames - 1 :: len(expected) // frames]


def layer(make, shape, weights_shape, weight_format, src, seed=0, narrow=True, by_pixel=False, **fields):
    """A layer of random integers; `narrow` rounds its sums to eight bits."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(weight_format.min, weight_format.max + 1, weights_shape)
    fields.update(name="d", in_shape=shape, src=src, dst=src, weights=weights, weight_format=weight_format)
    spec = make(**fields, bias=np.zeros(weights_shape[-1], int))
    spec = replace(spec, bias=rng.integers(-99, 100, spec.out_shape if by_pixel else weights_shape[-1]))
    return replace(spec, dst=QFormat(8, -2, False) if narrow else spec.accumulator)


SRC, WEIGHT = QFormat(4, 0, False), QFormat(4, 0)
LAYERS = {
    "conv": layer(ConvSpec, (5, 6, 2), (3, 3, 2, 4), WEIGHT, SRC),
    "padded, strided, exact sums": layer(
        ConvSpec, (5, 6, 2), (3, 2, 2, 3), WEIGHT, SRC, narrow=False, stride=(2, 1), padding=((1, 1), (0, 1))
    ),
    "scales by channel": layer(
        ConvSpec, (4, 4, 1), (3, 3, 1, 4), WEIGHT, QFormat(5, 0), shifts=np.array([0, 3, 1, 2])
    ),
    "groups": layer(ConvSpec, (4, 5, 4), (2, 2, 2, 6), WEIGHT, SRC, groups=2),
    "depthwise, biases by pixel": layer(
        ConvSpec, (4, 5, 3), (3, 3, 1, 6), WEIGHT, QFormat(3, 0), groups=3, by_pixel=True
    ),
    "biases by pixel, weights without an adder": layer(
        ConvSpec, (3, 3, 1), (1, 1, 1, 2), QFormat(1, 0), SRC, by_pixel=True
    ),
    "ternary": layer(ConvSpec, (4, 4, 3), (3, 3, 3, 4), QFormat(2, 0), SRC),
    "1 x 1 of one weight": layer(ConvSpec, (3, 3, 1), (1, 1, 1, 1), QFormat(3, 0), SRC),
    "dense": layer(DenseSpec, (2, 3, 2), (12, 5), WEIGHT, SRC, narrow=False),
    "no weight but zero": replace(
        layer(DenseSpec, (1, 1, 2), (2, 2), WEIGHT, SRC, narrow=False), weights=np.zeros((2, 2), int)
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers(case):
    spec = LAYERS[case]
    for seed, (stalls, lanes) in enumerate([(0.2, 1), ((0.0, 0.4), spec.in_shape[2])]):
        check(spec, stalls=stalls, lanes=lanes, seed=seed)
