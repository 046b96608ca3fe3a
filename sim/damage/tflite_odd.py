"""TFLite files that no net can be made of: refused operators and attributes, and hostile graphs and sizes.

Each is the net of a few layers with some of its parts wrong. What is drawn is refused whole, or it is small.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import tflite

from sim.damage.tflite_writer import Writer

HUGE = (1 << 31) - 1
NUMBERS = 0, -1, 2, 3, 7, 255, 4097, 1 << 20, HUGE, -HUGE - 1
SCALES = 0.0, -0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-45, 1e-38, 3e38, 1e-6, 1e6
ZEROS = -129, 128, 1 << 31, -(1 << 62), HUGE
NAMES = (
    "",
    "a\nb\rc",
    "\x00\x1b[31m\x07",
    "[/red][bold]",
    "é" * 90,
    "x" * (1 << 20),
    "../../x",
    "\u202e{0} %s",
)
TYPES = "FLOAT32", "FLOAT16", "INT16", "UINT8", "INT32", "INT64", "BOOL", "STRING", "COMPLEX64"
KINDS = sorted(kind for kind in vars(tflite.BuiltinOperator) if kind.isupper())
WINDOW = {"Padding": 1, "StrideH": 1, "StrideW": 1}
CONV = WINDOW | {"DilationHFactor": 1, "DilationWFactor": 1}
POOL = WINDOW | {"FilterHeight": 2, "FilterWidth": 2}
KINDS_OF_OPTIONS = "Conv2DOptions", "Pool2DOptions", "AddOptions", "SoftmaxOptions", "ReducerOptions"


class OddNet(Writer):
    """A chain of layers, with what is wrong of it drawn from a generator.

    Attributes
    ----------
    at : int
        The tensor at the chain's end, of 4 x 4 x 2 values.
    """

    SHAPE = (1, 4, 4, 2)

    def __init__(self, random: Random):
        super().__init__()
        self.random = random
        self.source = self.at = self.values()

    def values(self, shape=SHAPE, **fields) -> int:
        """A tensor of values, right if nothing else is said."""
        return self.tensor(shape, **{"scales": 0.1, "zeros": 3} | fields)

    def small(self, shape) -> np.ndarray:
        """Small integers."""
        return np.resize([1, -2, 3, 5, -4], shape)

    def good(self) -> None:
        """A layer that is right."""
        kind = self.random.choice(("RELU", "TANH", "CONV_2D", "ADD"))
        if kind == "CONV_2D":
            self.conv()
        elif kind == "ADD":
            self.at = self.operator(kind, [self.at, self.at], self.values(), "AddOptions")
        else:
            self.at = self.operator(kind, [self.at], self.values())

    def conv(
        self, kind="CONV_2D", out=None, options="Conv2DOptions", weights=None, bias=None, **fields
    ) -> None:
        """A convolution of 1 x 1 pixels, with what is given in the place of what is right."""
        if weights is None:
            weights = self.constant(self.small((2, 1, 1, 2)), "INT8", scales=[0.1, 0.2])
        if bias is None:
            bias = self.constant([5, -6], scales=0.01)
        out = self.values() if out is None else out
        self.at = self.operator(kind, [self.at, weights, bias], out, options, **CONV | fields)

    def attribute(self) -> None:
        """A convolution or pooling with another attribute."""
        fields, kind, options = self.random.choice(
            (
                (CONV, "CONV_2D", "Conv2DOptions"),
                (CONV, "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"),
                (POOL, "MAX_POOL_2D", "Pool2DOptions"),
                (POOL, "AVERAGE_POOL_2D", "Pool2DOptions"),
            )
        )
        odd = self.random.sample([*fields, "FusedActivationFunction"], self.random.choice((1, 1, 2, 4)))
        # Bytes in the format.
        byte = {"Padding", "FusedActivationFunction"}
        changed = {key: self.random.choice((7, 4, 5, 99) if key in byte else NUMBERS) for key in odd}
        if fields is CONV:
            self.conv(kind, options=options, **changed)
        else:
            self.at = self.operator(kind, [self.at], self.values((1, 3, 3, 2)), options, **fields | changed)

    def weights(self) -> None:
        """A convolution whose weights or biases are others."""
        channels = self.random.choice((1, 2, 3, 2, 5000, 100_000))
        shape = self.random.choice(
            ((channels, 1, 1, 2), (2, 1, 1, self.random.choice(NUMBERS[2:6])), (2, 2), (0, 1, 1, 2))
        )
        scales = self.random.choice(([0.1, 0.2], [0.1] * 7, [], [self.random.choice(SCALES), 0.1]))
        self.conv(
            weights=self.constant(
                self.small(shape), self.random.choice(("INT8", "INT8", "INT32", "FLOAT32")), scales=scales,
                zeros=self.random.choice((None, [5], [0, 9])), axis=self.random.choice((0, 0, 3, -1, 99)),
            ),
            bias=self.random.choice((self.constant(self.small(channels), "INT32"), self.values((2,)), -1)),
        )  # fmt: skip

    def bias(self) -> None:
        """Biases at the ends of 32 bits."""
        self.conv(bias=self.constant([HUGE, -HUGE - 1]))

    def buffer(self) -> None:
        """Weights whose buffer is missing, or another tensor's."""
        number = self.random.choice((0, 1, 2, 99, 1 << 20))
        self.conv(weights=self.tensor((2, 1, 1, 2), "INT8", scales=0.1, buffer=number))

    def options(self) -> None:
        """An operator without its attributes, or with another's."""
        self.conv(options=self.random.choice((None, *KINDS_OF_OPTIONS[1:])), **dict.fromkeys(CONV))

    def operator_kind(self) -> None:
        """Any operator, or a known one with too few inputs."""
        self.at = self.operator(self.random.choice(KINDS), [self.at], self.values())

    def ends(self) -> None:
        """An operator with any inputs and outputs: of cycles, twice made, not there, or very many."""
        known = range(len(self.tensors))
        inputs = [
            self.random.choice((-1, self.at, *known)) for _ in range(self.random.choice((0, 1, 2, 3, 300)))
        ]
        if self.random.random() < 0.1:
            inputs.append(self.random.choice((99, HUGE, -2)))
        out = self.random.choice((self.values(), self.source, self.at))
        kind = self.random.choice(("RELU", "ADD", "CONV_2D", "CONCATENATION", "FULLY_CONNECTED"))
        options = {"ADD": "AddOptions", "CONV_2D": "Conv2DOptions"}.get(kind)
        self.at = self.operator(kind, inputs, out, options)

    def later(self) -> None:
        """Two operators, each of which takes the other's output."""
        first, second = self.values(), self.values()
        self.operator("RELU", [second], first)
        self.at = self.operator("RELU", [first], second)

    def quantisation(self) -> None:
        """Values at an odd scale or zero point, of an odd type, shape or name."""
        shape = self.random.choice(
            (
                self.SHAPE,
                (2, 4, 4, 2),
                (1, HUGE, HUGE, 2),
                (1, 1 << 16, 1 << 16),
                (),
                (0,),
                (1, -1, 4, 2),
                (1,) * 9,
                (1,) * 99_999,
            )
        )
        one = self.random.choice(SCALES)
        fields = {
            "scales": self.random.choice((one, one, [0.1, 0.2], [], [0.1] * 1000)),
            "zeros": self.random.choice((0, self.random.choice(ZEROS), [1, 2], [])),
            "type": self.random.choice(TYPES),
            "name": self.random.choice(NAMES),
            "buffer": self.random.choice((1, 99)),
        }
        some = self.random.sample([*fields, "shape"], self.random.choice((1, 1, 2, 5)))
        fields = {key: fields[key] for key in some if key != "shape"}
        out = self.values(shape if "shape" in some else self.SHAPE, **fields)
        if self.random.random() < 0.5:
            self.conv(out=out)
        else:
            self.at = self.operator("RELU", [self.at], out)

    def dense(self) -> None:
        """A dense layer that does not fit, or is of another form of weights."""
        inputs, outputs = self.random.choice((32, 32, 31, 64)), self.random.choice((2, 3, 3))
        weights = self.constant(self.small((outputs, inputs)), "INT8", scales=0.1)
        bias = self.constant([1] * outputs, scales=self.random.choice((0.01, *SCALES)))
        self.at = self.operator(
            "FULLY_CONNECTED", [self.at, weights, bias], self.values((1, 3)), "FullyConnectedOptions",
            WeightsFormat=self.random.choice((0, 1)), FusedActivationFunction=self.random.choice((0, 4)),
        )  # fmt: skip

    def mean(self) -> None:
        """A mean over other axes."""
        axes = self.constant(self.random.choice(([], [0], [3], [1, 2, 3], [HUGE], [1] * 500, [[1, 2]])))
        axes = self.random.choice((axes, axes, self.at, -1))
        self.at = self.operator("MEAN", [self.at, axes], self.values((1, 2)), "ReducerOptions")

    def pad(self) -> None:
        """A border that is negative, huge or of channels."""
        n = self.random.choice(NUMBERS)
        sides = self.random.choice(
            ([(0, 0), (n, 0), (0, 0), (0, 0)], [(0, 0), (0, 0), (0, 0), (0, n)], [(n, n)], [(0, 1)] * 4)
        )
        sides = self.random.choice((self.constant(sides), self.constant(sides), -1))
        self.at = self.operator("PAD", [self.at, sides], self.values((1, 5, 4, 2)), "PadOptions")

    def reshape(self) -> None:
        """A reshape that makes or loses values, before a layer of pixels."""
        shape = self.random.choice(((1, 8, 2, 2), (1, 5), (1, 1, 1, 32), (1, 32)))
        self.at = self.operator("RESHAPE", [self.at], self.values(shape), "ReshapeOptions")

    def inner(self) -> None:
        """What belongs at the net's ends."""
        kind = self.random.choice(("SOFTMAX", "DEQUANTIZE", "LOGISTIC", "HARD_SWISH", "QUANTIZE"))
        out = self.values(scales=self.random.choice((0.1, 1 / 256, *SCALES)))
        self.at = self.operator(kind, [self.at], out, "SoftmaxOptions" if kind == "SOFTMAX" else None)

    def addition(self) -> None:
        """An addition of a constant, of other shapes, of three, or at a scale out of reach."""
        others = (
            self.constant(self.small(self.SHAPE), "INT8", scales=0.1),
            self.values(),
            self.operator("RELU", [self.at], self.values((1, 2, 2, 2))),
            self.source,
        )
        chosen = self.random.sample(others, self.random.choice((1, 1, 2)))
        out = self.values(scales=self.random.choice((0.1, *SCALES)))
        self.at = self.operator("ADD", [self.at, *chosen], out, "AddOptions")

    def nested(self) -> None:
        """Additions within branches of additions, or crossing branches."""
        start, step = self.at, self.random.choice((0, 1))
        for _ in range(self.random.choice((3, 20, 200))):
            other = self.random.choice((start, start, max(self.at - step, start)))
            self.at = self.operator("ADD", [self.at, other], self.values(), "AddOptions")

    def many(self) -> None:
        """Very many layers, or very many that share their weights."""
        kind = self.random.randrange(3)
        if kind == 0:
            for _ in range(self.random.choice((255, 256, 1000))):
                self.at = self.operator("RELU", [self.at], self.values())
            self.attribute()
        else:
            shape = (1000, 1000) if kind == 1 else (1 << 17, 1)
            weights = self.constant(np.resize(np.arange(-9, 10), shape), "INT8", scales=0.1)
            self.at = self.operator("RELU", [self.at], self.values((1, shape[1])))
            for _ in range(self.random.choice((20, 200))):
                inputs, out = [self.at, weights, -1], self.values((1, shape[0]))
                self.at = self.operator("FULLY_CONNECTED", inputs, out, "FullyConnectedOptions")

    def shared(self) -> None:
        """Thousands of tensors that share a long name, or scales."""
        fields = self.random.choice(({"name": "n" * (1 << 21)}, {"scales": np.ones(1 << 14)}))
        for _ in range(self.random.choice((4000, 5000))):
            self.values(**fields)
        self.attribute()


ODDITIES: tuple[Callable[[OddNet], None], ...] = (
    *(OddNet.attribute, OddNet.weights, OddNet.quantisation, OddNet.ends, OddNet.operator_kind) * 3,
    *(OddNet.options, OddNet.buffer, OddNet.dense, OddNet.mean, OddNet.pad, OddNet.inner) * 2,
    *(OddNet.addition, OddNet.addition),
    OddNet.reshape, OddNet.bias, OddNet.later, OddNet.nested, OddNet.many, OddNet.shared,
)  # fmt: skip


def sound(layers: int = 3) -> bytes:
    """A net with nothing wrong."""
    net = OddNet(Random(layers))
    for _ in range(layers):
        net.good()
    return net.content(net.source, net.at)


def damaged(random: Random, content: bytes) -> bytes:
    """A file in which words are others: offsets exchanged or moved, vectors longer, sizes enormous."""
    words = np.frombuffer(content[: len(content) & ~3], "<u4").copy()
    for _ in range(random.choice((1, 1, 2, 5))):
        a, b = (random.randrange(len(words)) for _ in range(2))
        kind = random.randrange(4)
        if kind == 0:
            words[[a, b]] = words[[b, a]]
        elif kind == 1:
            words[a] = random.choice(NUMBERS) & 0xFFFFFFFF
        elif kind == 2:
            words[a] = (int(words[a]) + random.choice((4, 8, 1, 1 << 16, -4))) & 0xFFFFFFFF
        else:
            words[a] ^= np.uint32(1 << random.randrange(32))
    return words.tobytes() + content[len(content) & ~3 :]


def odd(random: Random) -> bytes:
    """A net with one thing wrong, or several."""
    net = OddNet(random)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        if random.random() < 0.3:
            net.good()
        random.choice(ODDITIES)(net)
    ends, graphs = [net.source, net.at], 1
    if random.random() < 0.1:
        at = random.randrange(2)
        ends[at] = random.choice(([], [ends[at]] * 2, [-1], [99_999], [0] * 500, [len(net.tensors) - 1]))
        graphs = random.choice((1, 1, 0, 2))
    return net.content(*ends, graphs)
