"""``python -m model.describe``: the figures that it prints, and what it refuses."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import idx
from model import cli, describe, train
from model.arithmetic.qformat import PIXELS, QFormat
from model.files import artifact
from model.golden.qnetwork import QNetwork
from model.layers import LAYERS, DenseSpec
from model.training import nets

ROOT = Path(__file__).parent.parent
MINE = """
layers = [{conv = 3, kernel = 3}, "relu", {dropout = 0.1}, {dense = "classes"}]
recipe = {epochs = 1, batch = 16}
quantise = {weights = "6,conv1=4", activations = "8,relu1=5", epochs = 1, scales = "tensor"}
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    return tmp_path / "mine.toml"


def described(tmp_path, *arguments) -> dict:
    out = tmp_path / "described.json"
    assert cli.run(describe.main, [*map(str, arguments), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def counted(net: nets.Net, in_shape, classes) -> list[tuple]:
    """Name, output shape, parameters and MACs of each layer, from what the layers compute and hold."""
    network = net.network(in_shape, classes, np.random.default_rng(0))
    images = np.random.default_rng(1).integers(0, 256, (1, *in_shape)).astype(np.uint8)
    rows = []
    for layer, y in zip(network.layers, network.trace(images)):
        weights = layer.params.get("weights", np.empty((0, 1)))
        # Each output of a frame is a sum of as many products as there are weights for one output channel.
        products = y.size * weights[..., 0].size
        rows.append([layer.name, list(y.shape[1:]), sum(p.size for p in layer.params.values()), products])
    return rows


@pytest.mark.parametrize("name", nets.NETS)
@pytest.mark.parametrize("in_shape, classes", [((28, 28, 1), 10), ((20, 24, 3), 7)])
def test_figures_of_shipped_nets(name, in_shape, classes, tmp_path, capsys):
    shape = "x".join(map(str, in_shape))
    result = described(tmp_path, name, "--shape", shape, "--classes", classes)
    expected = counted(nets.NETS[name], in_shape, classes)
    assert [
        [row["name"], row["out_shape"], row["params"], row["macs"]] for row in result["layers"]
    ] == expected
    assert (result["net"], result["in_shape"], result["classes"]) == (name, list(in_shape), classes)
    assert result["params"] == sum(row[2] for row in expected)
    assert result["macs"] == sum(row[3] for row in expected)
    printed = capsys.readouterr().out
    for _, _, params, macs in expected:
        assert f" {params:,} " in printed and f" {macs:,} " in printed
    assert f" {result['params']:,} " in printed and f" {result['macs']:,} " in printed
    assert "recipe: epochs" in printed and "quantised: weights " in printed
    assert ("values" in printed) == ("trained" in printed) == ("accuracy" in result)


RESIDUAL = """
layers = [
  {conv = 3, kernel = 3, padding = "same"}, "batchnorm", "relu",
  {residual = [
    {conv = 5, kernel = 3, stride = 2, padding = 1}, "batchnorm", "relu",
  ], shortcut = [
    {conv = 5, kernel = 1, stride = 2},
  ]},
  {dense = "classes"},
]
"""


def test_branches(tmp_path, capsys):
    """Their layers stand before the addition, and all figures add up."""
    (tmp_path / "res.toml").write_text(RESIDUAL)
    result = described(tmp_path, tmp_path / "res.toml", "--shape", "8x6")
    rows = [
        (row["name"], row["branch"], row["out_shape"], row["params"], row["macs"]) for row in result["layers"]
    ]
    assert rows == [
        ("conv1", "", [8, 6, 3], 30, 8 * 6 * 27),
        ("batchnorm1", "", [8, 6, 3], 6, 0),
        ("relu1", "", [8, 6, 3], 0, 0),
        ("residual1_conv1", "body", [4, 3, 5], 27 * 5 + 5, 4 * 3 * 27 * 5),
        ("residual1_batchnorm1", "body", [4, 3, 5], 10, 0),
        ("residual1_relu1", "body", [4, 3, 5], 0, 0),
        ("residual1_conv2", "shortcut", [4, 3, 5], 20, 4 * 3 * 15),
        ("residual1", "", [4, 3, 5], 0, 0),
        ("dense1", "", [1, 1, 10], 610, 600),
    ]
    assert result["params"] == sum(row[3] for row in rows) and result["macs"] == sum(row[4] for row in rows)
    assert "conv (shortcut)" in capsys.readouterr().out


@pytest.mark.parametrize("name", artifact.names())
def test_formats_of_shipped_nets(name, tmp_path):
    """Beside the description stand the integers that it was trained to, of MNIST alone."""
    net = artifact.load(name)
    result = described(tmp_path, name)
    assert result == described(tmp_path, name, "--shape", "28x28", "--classes", 10)
    assert result["accuracy"] == net.metadata["accuracy"]
    rows = {row["name"]: row for row in result["layers"]}
    for spec in net.specs:
        if spec.name in rows:
            assert rows[spec.name]["values"] == str(spec.dst)
            if hasattr(spec, "weight_format"):
                finest, *coarsest = rows[spec.name]["weights"].split(" to ")
                assert finest == str(spec.weight_format) and bool(coarsest) == spec.shifts.any()
    other = described(tmp_path, name, "--classes", 11)
    assert "accuracy" not in other and not any("values" in row for row in other["layers"])


def test_a_net_and_its_artifact(mine, tmp_path, capsys):
    """A user's net: described for a data set, trained to the widths that it gives, and described again."""
    data = idx.write_dataset(tmp_path / "data", (10, 12, 3), classes=4, count=100)
    result = described(tmp_path, mine, "--data", data)
    assert (result["in_shape"], result["classes"]) == ([10, 12, 3], 4)
    assert [row["kind"] for row in result["layers"]] == ["conv", "relu", "dropout", "dense"]
    assert result["recipe"]["batch"] == 16
    assert (
        "quantised: weights 6,conv1=4, activations 8,relu1=5, epochs 1, optimiser adam, scales tensor"
        in capsys.readouterr().out
    )
    out = tmp_path / "mine.npz"
    assert cli.run(train.main, [str(mine), "--data", str(data), "--out", str(out)]) == 0
    trained = described(tmp_path, out)
    assert (trained["params"], trained["macs"]) == (result["params"], result["macs"])
    assert [row["name"] for row in trained["layers"]] == ["conv1", "dense1"]
    assert [row["weights"].partition(".")[0] for row in trained["layers"]] == ["s4", "s6"]
    assert trained["layers"][0]["values"].startswith("u5.")
    assert trained["accuracy"] == artifact.load(out).metadata["accuracy"]
    assert "mine: images of 10 x 12 x 3 to 4 classes" in capsys.readouterr().out
    # Options of the command go before.
    assert cli.run(train.main, [str(mine), "--data", str(data), "--weight-bits", "7", "--out", str(out)]) == 0
    assert [row["weights"].partition(".")[0] for row in described(tmp_path, out)["layers"]] == ["s7", "s7"]


@pytest.mark.parametrize(
    "layers, layer, told",
    [
        ("{dense = 5}", "dense1", "5 values"),
        ("{dense = 1}", "dense1", "1 value,"),
        ("{dense = 47}", "dense1", "47 values"),
        ('{dense = 4}, "relu", {dense = 3}, "tanh", {dropout = 0.1}, "softmax"', "dense2", "3 values"),
        ("{conv = 4, kernel = 3, padding = 1}", "conv1", "10 x 12 x 4 = 480 values"),
        ('{dense = 16}, {pool = "max", kernel = 1}, "batchnorm"', "dense1", "16 values"),
        ('{conv = 2, kernel = 3}, {pool = "avg", kernel = 5}', "pool1", "1 x 2 x 2 = 4 values"),
        ('"relu"', "relu1", "10 x 12 x 3 = 360 values"),
    ],
)
def test_outputs_that_are_no_classes(layers, layer, told, tmp_path, capsys):
    """Said by `model.describe`, and refused by `model.train` before it trains, by the layer's name."""
    (tmp_path / "net.toml").write_text(f"layers = [{layers}]\nrecipe = {{epochs = 9999}}")
    data = idx.write_dataset(tmp_path / "data", (10, 12, 3), classes=6, count=60)
    result = described(tmp_path, tmp_path / "net.toml", "--data", data)
    assert result["classes"] == 6 != result["outputs"]
    printed = " ".join(capsys.readouterr().out.split())
    assert f"10 x 12 x 3 to {told.strip(',')} ┏" in printed and "it tells no 6 classes apart" in printed
    out = tmp_path / "out" / "net.npz"
    assert cli.run(train.main, [str(tmp_path / "net.toml"), "--data", str(data), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"layer {layer!r}: the net ends in {told}" in error and "6 classes" in error
    assert error.count("\n") == 1 and not out.parent.exists()


def test_an_artifact_of_other_outputs_than_classes(tmp_path, capsys):
    dense = DenseSpec(
        name="dense1", in_shape=(1, 1, 2), src=PIXELS, dst=QFormat(20, 11), weight_format=QFormat(4, 3),
        weights=np.array([[1, 2, 7], [3, -4, 5]]), bias=np.zeros(3, int),
    )  # fmt: skip
    for names, told in ((["a", "b", "c"], "3 classes"), (["a", "b"], "3 values")):
        artifact.save(tmp_path / "net.npz", QNetwork("net", PIXELS, (dense,), {"classes": names}))
        assert described(tmp_path, tmp_path / "net.npz")["outputs"] == 3
        assert f"net: images of 1 x 1 x 2 to {told}" in " ".join(capsys.readouterr().out.split())


def test_scales_by_channel(tmp_path):
    """The finest and the coarsest of a layer's channels."""
    dense = DenseSpec(
        name="dense1", in_shape=(1, 1, 2), src=PIXELS, dst=QFormat(20, 11), weight_format=QFormat(4, 3),
        weights=np.array([[1, 2, 7], [3, -4, 5]]), bias=np.zeros(3, int), shifts=np.array([0, 3, 1]),
    )  # fmt: skip
    artifact.save(tmp_path / "net.npz", QNetwork("net", PIXELS, (dense,)))
    (row,) = described(tmp_path, tmp_path / "net.npz")["layers"]
    assert row["weights"] == "s4.3 to s4.0" and row["values"] == "s20.11"


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ([], "NET"),
        (["resnet"], "no net 'resnet': neither a file nor"),
        (["resnet.toml"], "no net 'resnet.toml'"),
        ([__file__[:-3] + ".npz"], "no net"),
        (["BAD"], "bad.toml: layer 1 (conv): 'kernel' is missing"),
        (["MINE", "--shape", "2x2"], "net 'mine' does not fit the images: layer 'conv1'"),
        (["MINE", "--shape", "2"], "'2' is no shape like 28x28x1"),
        (["MINE", "--shape", "9999x1"], "from 1 to 4096"),
        (["MINE", "--classes", "0"], "--classes"),
        (["MINE", "--data", "nowhere"], "nowhere"),
        (["MINE", "--data", "nowhere", "--shape", "2x2"], "not allowed with"),
        (["MINE", "--data", "nowhere", "--classes", "3"], "--classes"),
        (["ARTIFACT", "--shape", "28x28"], "a trained net has a shape and classes"),
        (["MINE", "--json", "."], "name a file to write"),
    ],
)
def test_refusals(arguments, problem, mine, capsys):
    bad = mine.parent / "bad.toml"
    bad.write_text("layers = [{conv = 3}]")
    names = {"MINE": mine, "BAD": bad, "ARTIFACT": artifact.ZOO / "lenet.npz"}
    status = cli.run(describe.main, [str(names.get(argument, argument)) for argument in arguments])
    printed = capsys.readouterr()
    assert status == 2 and problem in printed.err and printed.err.count("\n") == 1 and not printed.out


@pytest.mark.parametrize("module, says", [("describe", "model.train"), ("train", "model.describe")])
def test_help_says_how_to_go_on(module, says):
    result = subprocess.run(
        [sys.executable, "-m", f"model.{module}", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0 and "examples:" in result.stdout and not result.stderr
    assert f"python -m {says} my_net.toml" in result.stdout


GUIDE = (ROOT / "docs" / "nets.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The examples of the guide to nets."""
    return [part.partition("```")[0] for part in GUIDE.split(f"```{language}\n")[1:]]


def test_the_guides_examples(tmp_path, capsys):
    """They can be read and built, and the table in it is the one that is printed."""
    files = {f"a{index}.toml": text for index, text in enumerate(blocks("toml"))}
    files |= {f"a{index}.py": text for index, text in enumerate(blocks("python"))}
    assert len(files) >= 4
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        described(tmp_path, tmp_path / name)
    (tmp_path / "my_net.toml").write_text(files["a0.toml"])
    capsys.readouterr()
    described(tmp_path, tmp_path / "my_net.toml")
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    table = blocks("text")[0].splitlines()
    assert len(table) > 10 and [line.rstrip() for line in table] == printed[: len(table)]


def test_the_guide_has_all_layers_and_arguments():
    for kind, layer in LAYERS.items():
        assert f'"{kind}"' in GUIDE or f"{{{kind} = " in GUIDE, kind
        for name in list(inspect.signature(layer).parameters)[1:]:
            assert f"`{name}`" in GUIDE or f"{name} = " in GUIDE, (kind, name)
    for name, net in nets.NETS.items():
        network = net.network((28, 28, 1), 10, np.random.default_rng(0))
        row = next(line for line in GUIDE.splitlines() if line.startswith(f"| `{name}` "))
        assert row.endswith(f" | {network.params:,} | {network.macs:,} |")
