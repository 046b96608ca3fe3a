"""TFLite files: random nets against LiteRT's reference kernels, refusals, and damaged files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import litert
import stream_sim
from hdl.network import Accelerator
from model import cli, convert
from model.files import artifact
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.interchange.assemble import classifies
from model.interchange.tflite_operators import OPERATORS
from model.interchange.tflite_shapes import OF_SHAPES
from random_nets import NetDrawer
from sim.damage.tflite_writer import Writer
from tflite_nets import FUNCTIONS, TFLiteDrawer

CI, ALL = 50, 200
RTL = 12
"""Nets of those in CI that are simulated too."""
IDLE = {"QUANTIZE", "RESHAPE", "SOFTMAX", "DEQUANTIZE"}


@pytest.mark.parametrize(
    "seed", [*range(CI), *(pytest.param(s, marks=pytest.mark.slow) for s in range(CI, ALL))]
)
def test_random_nets_equal_the_reference(seed, tmp_path):
    """Every value of every layer."""
    path = tmp_path / "net.tflite"
    drawer = TFLiteDrawer(seed)
    images = drawer.write(path, drawer.integer(1, 6))
    try:
        net, _ = convert.converted(path, "net")
    except ValueError as error:
        assert "the net has no layers" in str(error)
        assert {kind for kind, *_ in drawer.writer.operators} <= {
            "QUANTIZE",
            "RESHAPE",
            "SOFTMAX",
            "DEQUANTIZE",
        }
        return
    assert litert.compare(path, net, images) >= 1
    if seed < RTL or seed >= CI:
        check_rtl(net, seed)


def check_rtl(net: QNetwork, seed: int) -> None:
    """The hardware under a drawn plan, with stalls, on three frames."""
    drawer = NetDrawer(seed)
    images = drawer.images(net, 3)
    accelerator = Accelerator(net, drawer.plan(net))
    found = stream_sim.answers(accelerator, images, (0.0, 0.2)[seed % 2], seed)
    np.testing.assert_array_equal(found, net.logits(images))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RTL, CI))
def test_random_nets_in_hardware(seed, tmp_path):
    path, drawer = tmp_path / "net.tflite", TFLiteDrawer(seed)
    drawer.write(path, drawer.integer(1, 6))
    try:
        net, _ = convert.converted(path, "net")
    except ValueError:  # it has no layers, see above
        return
    check_rtl(net, seed)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions_at_every_value(kind, tmp_path):
    """All 256 inputs, at many scales and zero points."""
    path, every = tmp_path / "net.tflite", np.arange(-128, 128).astype(np.int8)[None]
    for seed in range(60):
        drawer = TFLiteDrawer(seed)
        x = drawer.value((256,))
        drawer.writer.write(path, x.index, drawer.function(x, kind).index)
        net, _ = convert.converted(path, "net")
        assert litert.compare(path, net, every) == 1


def test_means_of_values_around_the_zero_point(tmp_path):
    """Where the sign of the sum matters, and where a plain sum does not know it."""
    path, kinds = tmp_path / "net.tflite", set()
    for seed in range(80):
        drawer = TFLiteDrawer(seed)
        x = drawer.value((drawer.integer(1, 4), drawer.integer(1, 4), 2), 0.5, drawer.integer(-20, 20))
        y = drawer.value((2,), 0.5 / 2 ** drawer.integer(0, 3))
        axes = drawer.writer.constant([1, 2])
        drawer.writer.operator("MEAN", [x.index, axes], y.index, "ReducerOptions", KeepDims=False)
        drawer.writer.write(path, x.index, y.index)
        net, _ = convert.converted(path, "net")
        kinds.add(net.specs[0].kind)
        images = x.zero + drawer.rng.integers(-3, 4, (30, *x.dims))
        assert litert.compare(path, net, images.astype(np.int8)) == 1
    assert kinds == {"pool", "conv"}


def conv_fields(**changes) -> dict:
    fields = dict(Padding=1, StrideH=1, StrideW=1, DilationHFactor=1, DilationWFactor=1)
    return {**fields, **changes}


def small(path, *, kind="CONV_2D", options="Conv2DOptions", **changes) -> None:
    """A convolution of 4 x 4 x 2 values, and a dense layer; `changes` go to the convolution's attributes."""
    writer, rng = Writer(), np.random.default_rng(0)
    x = writer.tensor((1, 4, 4, 2), scales=0.05, zeros=3)
    weights = writer.constant(rng.integers(-9, 9, (3, 3, 3, 2)), "INT8", scales=[0.1, 0.2, 0.3])
    bias = writer.constant([1, 2, 3], scales=0.01)
    y = writer.tensor((1, 2, 2, 3), scales=0.1, zeros=-1)
    writer.operator(kind, [x, weights, bias], y, options, **conv_fields(**changes))
    rows = writer.constant(rng.integers(-9, 9, (4, 12)), "INT8", scales=0.1)
    z = writer.tensor((1, 4), scales=0.5, zeros=0)
    writer.operator("FULLY_CONNECTED", [y, rows, -1], z, "FullyConnectedOptions")
    writer.write(path, x, z)


def run(*words) -> int:
    return cli.run(convert.main, [str(word) for word in words])


def test_the_command_tells_what_it_found(tmp_path, capsys):
    small(tmp_path / "my net.tflite")
    assert (
        run(tmp_path / "my net.tflite", "-o", tmp_path / "a" / "net.npz", "--json", tmp_path / "j.json") == 0
    )
    net = artifact.load(tmp_path / "a" / "net.npz")
    assert net.name == "my_net"
    assert [spec.name for spec in walk(net.specs)] == ["conv1", "conv1_out", "dense1", "dense1_out"]
    assert net.specs[0].fill == 0 and net.specs[0].since <= 3
    said = capsys.readouterr().out
    assert "my_net: images of 4 x 4 x 2" in said and "input: the integer q stands for (q - 3) * 0.05" in said
    report = json.loads((tmp_path / "j.json").read_text())
    assert report["converted"]["output"] == {"step": 0.5, "zero": 0}
    assert report["converted"]["tensors"] == {"conv1_out": "3 t3", "dense1_out": "5 t5"}
    assert [layer["tensor"] for layer in report["layers"]] == [None, "3 t3", None, "5 t5"]


@pytest.mark.parametrize(
    ("before", "behind", "classes"),
    [((4, 4, 2), (1, 1, 10), True), ((4, 4, 2), (2, 2, 3), False), ((4, 4, 2), (1, 1, 1), False),
     ((1, 1, 6), (1, 1, 6), False), ((2, 3, 1), (1, 1, 6), False), ((1, 1, 6), (1, 1, 5), True),
     ((4, 4, 2), (1, 4, 2), False)],
)  # fmt: skip
def test_what_outputs_are_taken_for_logits(before, behind, classes):
    assert classifies(before, behind) == classes


def test_the_user_says_what_the_answer_is(tmp_path, capsys):
    small(tmp_path / "net.tflite")
    for words, classes, told in (
        ([], True, "it gives a class"),
        (["--answer", "values"], False, "it gives values, and no class"),
        (["--answer", "class"], True, "it gives a class"),
    ):
        assert run(tmp_path / "net.tflite", "-o", tmp_path / "net.npz", *words) == 0
        assert artifact.load(tmp_path / "net.npz").classifies == classes
        assert told in capsys.readouterr().out
    assert run(tmp_path / "net.tflite", "-o", tmp_path / "net.npz", "--answer", "map") == 2


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Padding": 7}, "padding is 7; accepted: SAME or VALID"),
        ({"StrideH": 0}, "a stride is at least 1 pixel"),
        ({"DilationWFactor": 9}, "does not fit"),
        ({"FusedActivationFunction": 4}, "fused activation is 4; accepted: NONE, RELU, RELU_N1_TO_1, RELU6"),
        ({"Padding": 0}, "its output's shape is (1, 2, 2, 3); accepted: (1, 4, 4) and channels"),
        ({"kind": "TRANSPOSE_CONV"}, "is unknown; accepted: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED"),
        (
            {"kind": "DEPTHWISE_CONV_2D", "options": "DepthwiseConv2DOptions"},
            "the weights' quantisation is 3 scales along dimension 0; accepted: one scale",
        ),
    ],
)
def test_refusals_name_operator_and_attribute(changes, problem, tmp_path, capsys):
    small(tmp_path / "net.tflite", **changes)
    assert run(tmp_path / "net.tflite", "-o", tmp_path / "net.npz") == 2
    said = capsys.readouterr()
    assert problem in said.err and "net.tflite" in said.err and not said.out
    assert f"operator 0 {changes.get('kind', 'CONV_2D')} 't3'" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.tflite"]


def test_all_problems_come_in_one_go(tmp_path, capsys):
    writer = Writer()
    x = writer.tensor((1, 4, 4, 1), scales=0.1)
    y, z = (writer.tensor((1, 4, 4, 1), scales=scale) for scale in (0.1, 0.2))
    pooling = dict(StrideH=1, StrideW=1, FilterHeight=3, FilterWidth=3, Padding=0)
    writer.operator("AVERAGE_POOL_2D", [x], y, "Pool2DOptions", **pooling, FusedActivationFunction=5)
    writer.operator("MAX_POOL_2D", [y], z, "Pool2DOptions", **pooling)
    end = writer.tensor((2, 4, 4, 1), "FLOAT32")
    writer.operator("COS", [z], end)
    writer.write(tmp_path / "net.tflite", x, end)
    assert run(tmp_path / "net.tflite", "-o", tmp_path / "net.npz") == 2
    *problems, last = capsys.readouterr().err.splitlines()
    expected = [
        "- type of tensor 3 't3' is FLOAT32; accepted: INT8",
        "- operator 0 AVERAGE_POOL_2D 't1': fused activation is 5",
        "- operator 0 AVERAGE_POOL_2D 't1': padding is SAME, ((1, 1), (1, 1)); accepted: none",
        "- operator 1 MAX_POOL_2D 't2': its output's scale and zero point is",
        "- operator 2 COS 't3': is unknown",
    ]
    assert len(problems) == len(expected)
    assert all(found.startswith(start) for found, start in zip(problems, expected))
    assert last.startswith("error: cannot convert") and last.endswith("net.tflite: 5 problems")


def map_net(path, build) -> None:
    """A net on 4 x 4 x 2 values with the operators that `build(writer, x)` adds."""
    writer = Writer()
    x = writer.tensor((1, 4, 4, 2), scales=0.1, zeros=5)
    writer.write(path, x, build(writer, x))


def unary(writer, kind, x, dims=(1, 4, 4, 2), scale=0.1, zero=5, options=None, extra=(), **fields):
    y = writer.tensor(dims, scales=scale, zeros=zero)
    return writer.operator(kind, [x, *extra], y, options, **fields)


def crossing(writer, x):
    """Two branches, one of which starts within the other."""
    a = unary(writer, "RELU", x)
    b = unary(writer, "RELU", a)
    c = writer.operator("ADD", [a, b], writer.tensor((1, 4, 4, 2), scales=0.2), "AddOptions")
    d = writer.operator("ADD", [x, c], writer.tensor((1, 4, 4, 2), scales=0.4), "AddOptions")
    return writer.operator("ADD", [b, d], writer.tensor((1, 4, 4, 2), scales=0.8), "AddOptions")


def pad_before_pool(writer, x):
    widths = writer.constant([(0, 0), (1, 1), (1, 1), (0, 0)])
    y = unary(writer, "PAD", x, (1, 6, 6, 2), options="PadOptions", extra=[widths])
    window = dict(StrideH=1, StrideW=1, FilterHeight=2, FilterWidth=2, Padding=1)
    return unary(writer, "MAX_POOL_2D", y, (1, 5, 5, 2), options="Pool2DOptions", **window)


def pad_at_the_end(writer, x):
    widths = writer.constant([(0, 0), (1, 1), (1, 1), (0, 0)])
    return unary(writer, "PAD", x, (1, 6, 6, 2), options="PadOptions", extra=[widths])


def pad_wider_than_the_kernel(writer, x):
    widths = writer.constant([(0, 0), (2, 2), (1, 1), (0, 0)])
    y = unary(writer, "PAD", x, (1, 8, 6, 2), options="PadOptions", extra=[widths])
    weights = [writer.constant(np.ones((3, 2, 2, 2)), "INT8", scales=0.1), writer.constant([1, 2, 3])]
    return unary(writer, "CONV_2D", y, (1, 7, 5, 3), extra=weights, options="Conv2DOptions", **conv_fields())


def pad_of_channels(writer, x):
    widths = writer.constant([(0, 0), (0, 0), (0, 0), (0, 1)])
    return unary(writer, "PAD", x, (1, 4, 4, 3), options="PadOptions", extra=[widths])


def pool_behind_a_reshape(writer, x):
    y = unary(writer, "RELU", x)
    z = unary(writer, "RESHAPE", y, (1, 2, 8, 2), extra=[writer.constant([1, 2, 8, 2])])
    window = dict(StrideH=1, StrideW=1, FilterHeight=2, FilterWidth=2, Padding=1)
    return unary(writer, "MAX_POOL_2D", z, (1, 1, 7, 2), options="Pool2DOptions", **window)


def mean_of_channels(writer, x):
    return unary(writer, "MEAN", x, (1, 4, 4), options="ReducerOptions", extra=[writer.constant([3])])


def idle_branch(writer, x):
    unary(writer, "TANH", x)
    return unary(writer, "RELU", x)


def addition_of_a_constant(writer, x):
    constant = writer.constant(np.ones((1, 4, 4, 2)), "INT8", scales=0.1)
    return unary(writer, "ADD", x, extra=[constant], options="AddOptions")


def bias_of_another_scale(writer, x):
    weights = writer.constant(np.ones((3, 32)), "INT8", scales=0.1)
    bias = writer.constant([1, 2, 3], scales=0.5)
    return unary(writer, "FULLY_CONNECTED", x, (1, 3), extra=[weights, bias], options="FullyConnectedOptions")


def logistic_grid(writer, x):
    return unary(writer, "LOGISTIC", x, scale=0.1)


def softmax_within(writer, x):
    y = unary(writer, "SOFTMAX", x, scale=1 / 256, zero=-128, options="SoftmaxOptions", Beta=1.0)
    return unary(writer, "RELU", y)


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (crossing, "branches cross; accepted: branches that part at one layer and meet in one addition"),
        (pad_before_pool, "has a border before it (operator 0 PAD 't2'); accepted: before a convolution, or"),
        (pad_at_the_end, "operator 0 PAD 't2': accepted: before a convolution"),
        (pad_wider_than_the_kernel, "'t2', is ((2, 2), (1, 1)); accepted: less than its window on each side"),
        (pad_of_channels, "accepted: of height and width only"),
        (pool_behind_a_reshape, "accepted: a reshape before a dense layer, at the net's ends"),
        (mean_of_channels, "axes is [3]; accepted: height and width, [1, 2]"),
        (idle_branch, "operator 0 TANH 't1': nothing uses its output"),
        (addition_of_a_constant, "second input is constant or missing; accepted: another layer's output"),
        (bias_of_another_scale, "the biases' scale is 0.5; accepted: 0.01"),
        (logistic_grid, "its output's scale is 0.1"),
        (softmax_within, "operator 0 SOFTMAX 't1': is unknown"),
        (lambda writer, x: x, "0 operators"),
    ],
)
def test_graphs_that_are_refused(build, problem, tmp_path, capsys):
    map_net(tmp_path / "net.tflite", build)
    assert run(tmp_path / "net.tflite", "-o", tmp_path / "net.npz") == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "net.npz").exists()


def flattened(writer, x, behind=None):
    """A dense layer behind a Flatten whose batch is open, as Keras writes it; `behind` gets the batch too."""
    shape = writer.operator("SHAPE", [x], writer.tensor((4,), "INT32"), "ShapeOptions", OutType=2)
    ends = [writer.constant([n]) for n in (0, 1, 1)]
    fields = dict(ShrinkAxisMask=1)
    batch = writer.tensor((), "INT32")
    writer.operator("STRIDED_SLICE", [shape, *ends], batch, "StridedSliceOptions", **fields)
    sizes = [batch, writer.tensor((), "INT32", data=np.array(32, np.int32))]
    packed = writer.operator("PACK", sizes, writer.tensor((2,), "INT32"), "PackOptions", ValuesCount=2)
    if behind:
        behind(writer, batch)
    y = unary(writer, "RESHAPE", x, (1, 32), extra=[packed])
    rows = writer.constant(np.arange(-48, 48).reshape(3, 32), "INT8", scales=0.1)
    return unary(
        writer, "FULLY_CONNECTED", y, (1, 3), scale=2.0, extra=[rows, -1], options="FullyConnectedOptions"
    )


def test_shapes_of_an_open_batch_are_folded_away(tmp_path):
    path = tmp_path / "net.tflite"
    map_net(path, flattened)
    net, notes = convert.converted(path, "net")
    assert [spec.kind for spec in net.specs] == ["dense", "rescale"]
    assert [note.split()[2] for note in notes] == ["SHAPE", "STRIDED_SLICE", "PACK"]
    images = np.random.default_rng(0).integers(-128, 128, (20, 4, 4, 2)).astype(np.int8)
    assert litert.compare(path, net, images) == 1


def test_a_view_that_is_only_asked_for_its_shape_is_folded_away(tmp_path):
    """As Keras writes a Flatten behind a Conv1D: the RESHAPE takes the values from before the view."""
    path = tmp_path / "net.tflite"

    def build(writer, x):
        view = unary(writer, "RESHAPE", x, (1, 16, 2), extra=[writer.constant([1, 16, 2])])
        shape = writer.operator("SHAPE", [view], writer.tensor((3,), "INT32"), "ShapeOptions", OutType=2)
        return unary(writer, "RELU", unary(writer, "RESHAPE", x, (1, 32), extra=[shape]), (1, 32))

    map_net(path, build)
    net, notes = convert.converted(path, "net")
    assert [spec.kind for spec in net.specs] == ["table"]
    assert [note.split()[2] for note in notes] == ["RESHAPE", "SHAPE"]


def test_a_shape_that_is_used_otherwise_is_refused(tmp_path, capsys):
    """Here the batch goes into a sum, which is no shape."""

    def added(writer, batch):
        writer.operator("ADD", [batch, batch], writer.tensor((), "INT32"), "AddOptions")

    map_net(tmp_path / "net.tflite", lambda writer, x: flattened(writer, x, added))
    assert run(tmp_path / "net.tflite", "-o", tmp_path / "net.npz") == 2
    said = capsys.readouterr().err
    assert "operator 0 SHAPE 't1': is unknown" in said and "STRIDED_SLICE" in said
    assert not (tmp_path / "net.npz").exists()


def test_the_documentation_lists_what_is_accepted():
    table = (Path(__file__).parents[1] / "docs" / "convert.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall("`([A-Z0-9_]+)`", row)}
    assert listed == {*OPERATORS, *OF_SHAPES, "DEQUANTIZE", "SOFTMAX"}


def test_several_ends_are_refused(tmp_path, capsys):
    writer = Writer()
    ends = [writer.tensor((1, 3), scales=0.1) for _ in range(2)]
    writer.operator("ADD", ends, writer.tensor((1, 3), scales=0.1), "AddOptions")
    writer.write(tmp_path / "net.tflite", ends, 2)
    assert run(tmp_path / "net.tflite", "-o", tmp_path / "net.npz") == 2
    assert "the net has 2 inputs; accepted: one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["net.onnx", "-o", "net.npz"], "known are files that end in .tflite"),
        (["nowhere.tflite", "-o", "net.npz"], "nowhere.tflite"),
        (["net.tflite"], "-o/--out"),
        (["net.tflite", "-o", "."], "is a folder"),
        (["net.tflite", "-o", "net.npz", "--name", "a b"], "the name 'a b' is not a letter"),
        (["text.tflite", "-o", "net.npz"], "it is no TFLite file"),
    ],
)
def test_wrong_words(words, problem, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "net.tflite")
    (tmp_path / "text.tflite").write_text("hello")
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert problem in said and said.count("\n") == 1
    assert not (tmp_path / "net.npz").exists()


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_one_report(tmp_path, data):
    """Changed and missing bytes: it converts, or is refused as other files are, and nothing is written."""
    path, out = tmp_path / "net.tflite", tmp_path / "net.npz"
    small(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content)] * 3 + [len(content) // 2, len(content) - 5]))
    path.write_bytes(content[:cut])
    out.unlink(missing_ok=True)
    status = run(path, "-o", out)
    assert status in (0, 2) and out.exists() == (status == 0)
