"""``python -m model.describe``: a net's layers with their shapes, parameters, multiplications and formats."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
from rich.table import Table

from model import cli
from model.arithmetic.geometry import Shape
from model.files import artifact, dataset
from model.files.whole import check_writable
from model.golden.qnetwork import QNetwork
from model.golden.spec import Spec, WeightedSpec
from model.layers import TableSpec
from model.net.chain import flow
from model.net.layer import Layer
from model.net.network import Network
from model.quantisation.scheme import left_out
from model.report import coarse_tables, gone, without
from model.training import nets

SHAPE, CLASSES = (28, 28, 1), 10
"""Of MNIST."""
MAX_SIDE, MAX_CLASSES = 4096, 65536
EXAMPLES = """\
examples:
  python -m model.describe lenet                          a shipped net, its formats included
  python -m model.describe my_net.toml                    one of your own, for images like MNIST's
  python -m model.describe my_net.toml --shape 20x24x3 --classes 7
  python -m model.describe my_net.toml --data my_images/  for the images in a folder
  python -m model.describe build/my_net.npz               what training made of it

python -m model.train my_net.toml trains it; docs/nets.md says how such a file is written.
"""


def main(argv: list[str]) -> None:
    """Run the command."""
    options = parse(argv)
    if options.net in nets.NETS or Path(options.net).suffix in nets.READERS:
        result = of_net(nets.load(options.net), *asked(options))
    elif options.data or options.shape or options.classes:
        raise ValueError(
            f"{options.net}: a trained net has a shape and classes; leave out what asks for others"
        )
    else:
        result = of_artifact(artifact.load(options.net))
    cli.write_json(options.json, result)
    show(result)


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m model.describe", description=__doc__, epilog=EXAMPLES)
    options.add_argument(
        "net",
        metavar="NET",
        help=f"{', '.join(nets.NETS)}, a description's .toml or .py file, or an artifact",
    )
    images = options.add_mutually_exclusive_group()
    images.add_argument("--data", metavar="DIR", help=f"for the images in {dataset.TAKEN}")
    images.add_argument("--shape", type=shape, metavar="HxWxC", help="for images of this size (28x28x1)")
    options.add_argument("--classes", type=count, metavar="N", help="of such images (10)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    return options


def parse(argv: list[str]) -> argparse.Namespace:
    """The command's options."""
    known = parser()
    options = known.parse_args(argv)
    if options.data and options.classes:
        known.error("argument --classes: the folder of --data says how many there are")
    check_writable(options.json)
    return options


def shape(text: str) -> Shape:
    """Height, width and channels."""
    numbers = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})(?:x([1-9][0-9]{0,3}))?", text)
    if not numbers or max(map(int, numbers.groups("1"))) > MAX_SIDE:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no shape like 28x28x1, of numbers from 1 to {MAX_SIDE}"
        )
    return tuple(map(int, numbers.groups("1")))


def count(text: str) -> int:
    """A number of classes."""
    if not re.fullmatch("[1-9][0-9]{0,4}", text) or int(text) > MAX_CLASSES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MAX_CLASSES}")
    return int(text)


def asked(options: argparse.Namespace) -> tuple[Shape, int]:
    """Shape and classes of the images that a net is described for."""
    if options.data:
        with cli.counted("reading pictures") as tell:
            return dataset.described(options.data, tell)
    return options.shape or SHAPE, options.classes or CLASSES


def of_net(net: nets.Net, in_shape: Shape, classes: int) -> dict:
    """What is to be said of a net's description, and of its integers if it ships trained for such images."""
    network = net.network(in_shape, classes, np.random.default_rng(0))
    result = {
        **summary(net.name, network, classes),
        "left_out": left_out(network, net.activations),
        "layers": rows(network),
        "recipe": dataclasses.asdict(net.recipe),
        "quantise": {
            "weights": dataclasses.asdict(net.weights),
            "activations": dataclasses.asdict(net.activations),
            **dataclasses.asdict(net.tuning),
        },
    }
    if net is nets.NETS.get(net.name) and net.name in artifact.names():
        trained = of_artifact(artifact.load(net.name))
        if (trained["in_shape"], trained["classes"]) == (result["in_shape"], result["classes"]):
            formats = {layer["name"]: layer for layer in trained["layers"]}
            result["layers"] = [{**formats.get(layer["name"], {}), **layer} for layer in result["layers"]]
            result["accuracy"] = trained["accuracy"]
    return result


def of_artifact(net: QNetwork) -> dict:
    """What is to be said of a trained net in integers."""
    layers = rows(net)
    for layer, (spec, _) in zip(layers, flow(net.specs)):
        layer["values"] = str(spec.dst)
        if isinstance(spec, WeightedSpec):
            layer["weights"] = weights_of(spec)
        if isinstance(spec, TableSpec):
            layer["index"] = str(spec.src)
    named = net.metadata.get("classes")
    classes = len(named) if isinstance(named, list) else net.outputs
    return {
        **summary(net.name, net, classes if net.classifies else None),
        "classifies": net.classifies,
        "left_out": gone(net.metadata),
        "layers": layers,
        "accuracy": accuracy_of(net.metadata),
    }


def accuracy_of(metadata: dict) -> dict | None:
    """What an artifact says of its accuracy, if that is a share of so many images."""
    stated = metadata.get("accuracy")
    if not isinstance(stated, dict):
        return None
    share, images = stated.get("quantised"), stated.get("images")
    return stated if type(share) in (int, float) and type(images) is int else None


def weights_of(spec: WeightedSpec) -> str:
    """The format of a layer's weights; the finest and the coarsest, where each channel has its own."""
    finest = spec.weight_format
    coarsest = dataclasses.replace(finest, frac=finest.frac - int(spec.shifts.max()))
    return str(finest) if coarsest == finest else f"{finest} to {coarsest}"


def rows(net: Network | QNetwork) -> list[dict]:
    """Each layer's figures, in the order of the data; an addition's are without its branches'."""
    layers = net.layers if isinstance(net, Network) else net.specs
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "branch": branch,
            "out_shape": list(layer.out_shape),
            "params": 0 if layer.branches else params_of(layer),
            "macs": 0 if layer.branches else layer.macs,
        }
        for layer, branch in flow(layers)
    ]


def params_of(layer: Layer | Spec) -> int:
    """Trained numbers of a layer in floats or integers."""
    return layer.params if isinstance(layer, Spec) else sum(array.size for array in layer.params.values())


def summary(name: str, net: Network | QNetwork, classes: int | None) -> dict:
    """The figures of a whole net, of images of so many classes; None if it does not classify."""
    return {
        "net": name,
        "in_shape": list(net.in_shape),
        "classes": classes,
        "outputs": int(np.prod(net.out_shape)),
        "params": net.params,
        "macs": net.macs,
    }


def show(result: dict) -> None:
    """Print a net's layers as a table, and what else there is to know."""
    layers = result["layers"]
    columns = [
        ("layer", "left", lambda layer: layer["name"]),
        (
            "kind",
            "left",
            lambda layer: f"{layer['kind']} ({layer['branch']})" if layer["branch"] else layer["kind"],
        ),
        ("output", "left", lambda layer: dataset.by(layer["out_shape"])),
        ("parameters", "right", lambda layer: f"{layer['params']:,}"),
        ("MACs", "right", lambda layer: f"{layer['macs']:,}"),
        ("weights", "left", lambda layer: layer.get("weights", "")),
        ("values", "left", lambda layer: layer.get("values", "")),
    ]
    if not any("values" in layer for layer in layers):
        del columns[5:]
    title = f"{result['net']}: images of {dataset.by(result['in_shape'])} to {answer(result)}"
    table = Table(title=title, show_footer=True)
    footers = {"layer": "all", "parameters": f"{result['params']:,}", "MACs": f"{result['macs']:,}"}
    for name, justify, _ in columns:
        table.add_column(name, justify=justify, footer=footers.get(name, ""), no_wrap=name == "layer")
    for layer in layers:
        table.add_row(*(text(layer) for _, _, text in columns))
    console = cli.console()
    console.print(table)
    for line in notes(result):
        console.print(line, soft_wrap=True)


def answer(result: dict) -> str:
    """What a net gives: as many classes as there are, or values that are none."""
    if result["outputs"] == result["classes"]:
        return f"{result['classes']} classes"
    return nets.counted(result["layers"][-1]["out_shape"], "value")


def notes(result: dict) -> list[str]:
    """What stands below the table."""
    lines = []
    if result["classes"] not in (result["outputs"], None):
        lines.append(f"it tells no {result['classes']} classes apart: that takes as many values as classes")
    lines += coarse_tables({layer["name"]: layer for layer in result["layers"]})
    if result["left_out"]:
        lines.append(without(result["left_out"]))
    if "recipe" in result:
        lines.append(f"recipe: {words(result['recipe'])}")
        quantised = {
            key: bits_of(value) if isinstance(value, dict) else value
            for key, value in result["quantise"].items()
        }
        lines.append(f"quantised: {words(quantised)}")
    if accuracy := result.get("accuracy"):
        lines.append(
            f"trained: {accuracy['quantised']:.2%} of {accuracy['images']:,} test images right in integers"
        )
    return lines


def words(table: dict) -> str:
    """A table's items in one line, but for those that are None."""
    texts = {key: f"({words(value)})" if isinstance(value, dict) else value for key, value in table.items()}
    return ", ".join(f"{key} {text}" for key, text in texts.items() if text is not None)


def bits_of(widths: dict) -> str:
    """Widths as they are written."""
    return ",".join([str(widths["default"]), *(f"{name}={bits}" for name, bits in widths["layers"].items())])


if __name__ == "__main__":
    sys.exit(cli.run(main))
