"""Every input that a command reads from a user: good files, how they are damaged, and the command."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
from PIL import Image

import hdl.plan
import model.classify
import model.convert
import model.describe
import model.report
import model.train
from hdl.folding.net import Plan
from hdl.planning.search import default
from model.files import artifact
from model.training.checkpoint import Checkpoint
from sim.damage import mutators, tflite_odd

NET = "tiny"
TEN = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ODD_NAME = "-größe 1 [b]{0}%s" + "x" * 150
SIMPLE = b'layers = [{dense = "classes"}]\n'
SIDES = 1, 1, 2, 7, 300
"""Pixels of odd images."""
TEXTS = {
    "conv": 'layers = [{conv = 2, kernel = 3}, "relu", {pool = "max", kernel = 2}, {dense = "classes"}]\n',
    "residual": """layers = [
    {conv = 4, kernel = 3, stride = 2, padding = "same", bias = "none"}, {batchnorm = 0.9}, "sigmoid",
    {residual = [{conv = 4, kernel = 3, padding = 1}], shortcut = [{conv = 4, kernel = 1}]},
    {dropout = 0.5}, {pool = "avg", kernel = 2}, {dense = 10}, "softmax",
]
[recipe]
epochs = 2
rate = 0.05
[quantise]
weights = "8,conv1=4"
activations = 8
""",
}
OPTIONS = {
    "convert": ("-o", "--out", "--name", "--answer", "class", "values", "--json", "lenet", "x.tflite"),
    "describe": ("--data", "--shape", "--classes", "--json", "lenet", "28x28x1", "1x1x1", "9999x9999x9999"),
    "classify": ("--invert", "--resize", "--data", "--json", "lenet"),
    "report": ("--json", "lenet"),
    "train": (
        "--data",
        "--epochs",
        "--seed",
        "--out",
        "--threads",
        "--rate",
        "--batch",
        "--weight-bits",
        "--activation-bits",
        "--json",
        "--resume",
        "lenet",
        "8,conv1=4",
        "0.1",
    ),
    "plan": (
        "--board",
        "--lut",
        "--dsp",
        "--multipliers",
        "--fps",
        "--latency",
        "--clock",
        "--plan",
        "--out",
        "--json",
        "ulx3s",
        "lenet",
    ),
    "verify": ("--net", "--data", "--frames", "--plan", "--level", "--seed", "--stalls", "--json", "lenet"),
}
ODD = (
    "",
    "-",
    "--",
    "-h7",
    "--no-such",
    "-1",
    "0",
    "1e400",
    "nan",
    "9" * 40,
    "é",
    "\t",
    "/dev/null/x",
    "/",
    "..",
    "$(x)",
    "a;b",
    "%s",
    "{0}",
    "[red]",
)
ENDS = ("--no-such-option", "--seed=x", "--json=/dev/null/x")
"""What no command takes."""


@dataclass(frozen=True)
class Target:
    """An input and the command that reads it.

    Parameters
    ----------
    seeds : dict of bytes
        Good files by their names.
    mutate : callable
        Damages one.
    command : callable
        Takes the folder with all files, and the name of the damaged one; gives a command and its arguments.
    share : int
        Weight among the targets: cheap ones are tried more often.
    """

    seeds: dict[str, bytes]
    mutate: Callable[[Random, bytes], bytes]
    command: Callable[[Path, str], tuple[Callable, list[str]]]
    share: int = 1


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def pictures() -> dict[str, bytes]:
    """Small pictures of every kind that is read."""
    random, made = np.random.default_rng(0), {}
    for name, mode, kind in (
        ("grey.png", "L", "PNG"), ("colour.png", "RGB", "PNG"), ("clear.png", "RGBA", "PNG"),
        ("palette.png", "P", "PNG"), ("bits.png", "1", "PNG"), ("grey.jpg", "L", "JPEG"),
        ("colour.jpg", "RGB", "JPEG"),
    ):  # fmt: skip
        file = io.BytesIO()
        pixels = random.integers(0, 256, (28, 28, 4), dtype=np.uint8)
        Image.fromarray(pixels, "RGBA").convert(mode).save(file, kind)
        made[name] = file.getvalue()
    return {**made, ODD_NAME + ".png": made["grey.png"]}


def data_set() -> dict[str, bytes]:
    """Four IDX files of a few small images, one of them gzipped."""
    random, made = np.random.default_rng(0), {}
    for part, count in (("train", 24), ("t10k", 6)):
        images = random.integers(0, 256, (count, 6, 6), dtype=np.uint8)
        made[f"{part}-images-idx3-ubyte"] = idx(images)
        made[f"{part}-labels-idx1-ubyte"] = idx((np.arange(count) % 3).astype(np.uint8))
    made["t10k-images-idx3-ubyte"] = gzip.compress(made["t10k-images-idx3-ubyte"], mtime=0)
    return made


def cifar() -> dict[str, bytes]:
    """A test set of CIFAR-10's of a few images, and the names of its classes."""
    random = np.random.default_rng(0)
    records = [bytes([label]) + random.bytes(3 * 32 * 32) for label in range(10)]
    return {"test_batch.bin": b"".join(records), "batches.meta.txt": "\n".join(TEN).encode()}


def features() -> dict[str, bytes]:
    """A test set of signed integers."""
    file, random = io.BytesIO(), np.random.default_rng(0)
    rows = random.integers(-128, 128, (10, 16, 16), dtype=np.int8)
    np.savez(file, features=rows, labels=np.arange(10, dtype=np.uint8))
    return {"features.npz": file.getvalue()}


def as_data_set(random: Random, content: bytes) -> bytes:
    """IDX damaged inside its gzip or outside of it, or as many images of another size, or other labels."""
    if content[:2] == b"\x1f\x8b" and random.random() < 0.5:
        return gzip.compress(as_data_set(random, gzip.decompress(content)), mtime=0)
    if content[:2] == bytes(2) and random.random() < 0.4:
        count = int.from_bytes(content[4:8], "big")
        sizes = (random.choice(SIDES), random.choice(SIDES)) if content[3] == 3 else ()
        values = np.random.default_rng(random.randrange(99)).integers(0, 256, (count, *sizes))
        return idx((values % random.choice((1, 2, 3, 256))).astype(np.uint8))
    return by_name(random, content)


def training(folder: Path) -> list[str]:
    """Arguments of the training of a moment."""
    return [
        str(folder / "small.toml"), "--data", str(folder), "--out", str(folder / "small.npz"),
        "--epochs", "1", "--threads", "1", "--no-pictures",
    ]  # fmt: skip


def checkpoint() -> dict[str, bytes]:
    """The checkpoint of a training, and the files that it needs."""
    files = {**data_set(), "small.toml": b'layers = [{conv = 2, kernel = 3}, {dense = "classes"}]\n'}
    with tempfile.TemporaryDirectory() as name, mock.patch.object(Checkpoint, "remove"), quiet():
        folder = Path(name)
        for path, content in files.items():
            (folder / path).write_bytes(content)
        model.train.main(training(folder))
        (path,) = folder.glob("*.checkpoint.npz")
        return {path.name: path.read_bytes(), **files}


def plan_files() -> dict[str, bytes]:
    """Plans of the net with everything in them that plans may have."""
    net = artifact.load(NET)
    plans = {"quick": default(net), "loadable": Plan.serial(net).made_loadable(net)}
    return {f"{name}.json": plan_text(plan) for name, plan in plans.items()}


def plan_text(plan: Plan) -> bytes:
    """A plan as a file."""
    stages = {name: stage.described() for name, stage in plan.stages.items()}
    parts = {"weights": plan.weights, "stages": stages, "fracs": plan.fracs}
    return json.dumps({key: part for key, part in parts.items() if part}).encode()


def read_plan(argv: list[str]) -> None:
    """What every command does with ``--plan``."""
    Plan.load(argv[0], artifact.load(NET))


def targets(commands: dict[str, Callable]) -> dict[str, Target]:
    """All inputs by their names.

    Parameters
    ----------
    commands : dict of callable
        What command lines are given to, by the names in `OPTIONS`.
    """
    one = pictures()["grey.png"]
    net = artifact.find(NET).read_bytes()
    return {
        "idx": Target(
            {**data_set(), "net.toml": SIMPLE}, as_data_set,
            lambda folder, name: (
                model.describe.main, [str(folder / "net.toml"), "--data", str(folder)]
            ), 6,
        ),
        "cifar": Target(
            {**cifar(), "net.toml": SIMPLE}, by_name,
            lambda folder, name: (
                model.describe.main, [str(folder / "net.toml"), "--data", str(folder)]
            ), 3,
        ),
        "features": Target(
            {**features(), "net.toml": SIMPLE}, by_name,
            lambda folder, name: (
                model.describe.main,
                [str(folder / "net.toml"), "--data", str(folder / "features.npz")],
            ), 3,
        ),
        "picture": Target(
            pictures(), mutators.as_picture,
            lambda folder, name: (model.classify.main, [NET, str(folder / name), "--resize"]), 6,
        ),
        "artifact, described": Target(
            {"net.npz": net}, mutators.as_archive,
            lambda folder, name: (model.describe.main, [str(folder / name)]), 4,
        ),
        "artifact, run": Target(
            {"net.npz": net, "one.png": one}, by_name,
            lambda folder, name: (model.classify.main, [str(folder / "net.npz"), str(folder / "one.png")]), 4,
        ),
        "artifact, reported": Target(
            {"net.npz": net}, mutators.as_archive,
            lambda folder, name: (model.report.main, [str(folder / name)]), 4,
        ),
        "artifact, planned": Target(
            {"net.npz": net, "plan.json": plan_text(Plan.serial(artifact.load(NET)))}, by_name,
            lambda folder, name: (
                hdl.plan.main, [str(folder / "net.npz"), "--plan", str(folder / "plan.json")]
            ), 1,
        ),
        "tflite": Target(
            {"net.tflite": tflite_odd.sound(1), f"{ODD_NAME}.tflite": tflite_odd.sound(4)},
            mutators.as_tflite,
            lambda folder, name: (
                model.convert.main, [str(folder / name), "-o", str(folder / "converted.npz")]
            ), 6,
        ),
        "plan": Target(
            plan_files(), mutators.as_json,
            lambda folder, name: (read_plan, [str(folder / name)]), 6,
        ),
        "description": Target(
            {f"{name}.toml": text.encode() for name, text in TEXTS.items()}, mutators.as_text,
            lambda folder, name: (model.describe.main, [str(folder / name), "--shape", "12x12x3"]), 6,
        ),
        "checkpoint": Target(
            checkpoint(), by_name,
            lambda folder, name: (model.train.main, [*training(folder), "--resume"]), 1,
        ),
        "command line": Target(
            {"words": b""}, lambda random, content: command_line(random),
            lambda folder, name: spoken((folder / name).read_bytes(), commands), 6,
        ),
    }  # fmt: skip


def by_name(random: Random, content: bytes) -> bytes:
    """Damage as the kind of the file wants it."""
    if content[:2] == b"PK":
        return mutators.as_archive(random, content)
    if content[:1] == b"{":
        return mutators.as_json(random, content)
    if content[:6] == b"layers":
        return mutators.as_text(random, content)
    return mutators.damaged(random, content)


def command_line(random: Random) -> bytes:
    """A command's name and odd arguments, one a line; what they say is never enough to begin any work."""
    options = OPTIONS[name := random.choice(list(OPTIONS))]
    words = [random.choice((*options, *ODD)) for _ in range(random.randrange(5))]
    return "\n".join([name, *words, random.choice(ENDS)]).encode()


def spoken(content: bytes, commands: dict[str, Callable]) -> tuple[Callable, list[str]]:
    """The command of such lines."""
    name, *words = content.decode().split("\n")
    return commands[name], words


@contextlib.contextmanager
def quiet():
    """Nothing is printed; gives what would have been, on standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err
