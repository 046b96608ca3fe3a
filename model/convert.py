"""``python -m model.convert``: a quantised net of another framework as an artifact, integer for integer."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from model import cli, describe
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.files.whole import check_writable
from model.golden.qchain import walk
from model.golden.qnetwork import QNetwork
from model.interchange import tflite
from model.interchange.assemble import assembled
from model.interchange.description import Refused
from model.layers import RescaleSpec

READERS = {".tflite": tflite.read}
"""For each kind of file what makes a description of it, and the problems that it has."""
ANSWERS = ("class", "values")
SHOWN = 100
"""Problems of a file that are printed."""
EXAMPLES = """\
examples:
  python -m model.convert model.tflite -o build/my_net.npz
  python -m model.describe build/my_net.npz                 its layers and formats

A .tflite file is a full-integer net of 8 bits, as TensorFlow's converter writes it. What comes out equals
LiteRT's reference kernels in every value of every layer; a layer for which that cannot be is named, and
nothing is written then.
"""


def main(argv: list[str]) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    check_writable(options.out, options.json)
    name = options.name or name_of(options.file)
    net, notes = converted(options.file, name)
    if options.answer is not None:
        net = replace(net, classifies=options.answer == ANSWERS[0])
    artifact.save(options.out, net)
    result = described(net, notes)
    cli.write_json(options.json, result)
    describe.show(result)
    for line in told(result):
        cli.console().print(line, soft_wrap=True)


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m model.convert", description=__doc__, epilog=EXAMPLES)
    options.add_argument("file", metavar="FILE", type=Path, help="a net of 8-bit integers, .tflite")
    options.add_argument("-o", "--out", metavar="FILE", type=Path, required=True, help="the artifact (.npz)")
    options.add_argument("--name", type=net_name, help="of the net (the file's name)")
    options.add_argument(
        "--answer", choices=ANSWERS, help="a class, that of the largest output, or all values"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    return options


def net_name(text: str) -> str:
    """A net's name."""
    try:
        return artifact.check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def name_of(path: Path) -> str:
    """A net's name from a file's."""
    words = re.sub(r"[^A-Za-z0-9_]+", "_", path.stem).strip("_")[:31]
    return words if artifact.NAME.fullmatch(words) else f"net_{words}"[:32]


def converted(path: Path, name: str) -> tuple[QNetwork, list[str]]:
    """A net from a file of another framework, and what was folded away.

    Raises
    ------
    ValueError
        If it cannot be one; all its problems are printed first, where there are several.
    """
    if path.suffix not in READERS:
        raise ValueError(f"{path}: known are files that end in {', '.join(READERS)}")
    try:
        description, problems = READERS[path.suffix](path)
        return assembled(description, name, problems), description.notes
    except Refused as error:
        if len(error.problems) > 1:
            listed = [" ".join(one.split()) for one in error.problems[:SHOWN]]
            print(*(f"- {one}" for one in listed), sep="\n", file=sys.stderr)
        raise ValueError(f"cannot convert {path}: {error}") from None
    except ValueError as error:
        raise ValueError(f"cannot convert {path}: {error}") from None


def described(net: QNetwork, notes: list[str]) -> dict:
    """What was found: as `model.describe` says it, and what is special of a converted net."""
    specs = {spec.name: spec for spec in walk(net.specs)}
    converted = net.metadata["converted"]
    result = describe.of_artifact(net) | {"converted": converted, "folded": notes}
    for layer in result["layers"]:
        spec = specs[layer["name"]]
        layer["tensor"] = converted["tensors"].get(spec.name)
        if isinstance(spec, RescaleSpec):
            sums = QFormat.spanning(*spec.span, 0).width
            layer["weights"] = f"{sums} x {spec.rescale.width} bits"
    return result


def told(result: dict) -> list[str]:
    """What stands below the table."""
    converted = result["converted"]
    grids = [(key, converted[key]) for key in ("input", "output")]
    ends = [f"{key}: the integer q stands for (q - {g['zero']}) * {g['step']:g}" for key, g in grids]
    answer = "a class" if result["classifies"] else "values, and no class"
    return [
        f"from {converted['source']}",
        *ends,
        *(f"folded away: {note}" for note in result["folded"]),
        f"it gives {answer} (--answer {' or '.join(ANSWERS)})",
    ]


if __name__ == "__main__":
    sys.exit(cli.run(main))
