"""TFLite files that are damaged, unsupported or hostile: one report each, in little time and memory."""

import os
import resource
import subprocess
import sys
import time
from random import Random

import numpy as np
import pytest

from model import cli, convert
from model.files import artifact
from sim.damage import mutators, tflite_odd
from sim.damage.tflite_writer import Writer

CI, ALL = 40, 200
SECONDS, BYTES = 5, 1 << 30
MEASURED = """
import resource, sys
from model import cli, convert
status = cli.run(convert.main, sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(status)
"""


def is_report(text: str) -> bool:
    """Whether it is a line, or several problems and a line."""
    *problems, last = text.splitlines()
    return (
        last.startswith("error: cannot convert")
        and len(problems) != 1
        and all(line.startswith("- ") for line in problems)
        and max(map(len, text.splitlines())) < 2000
        and text.replace("\n", "").isprintable()  # nothing in it moves a cursor
    )


def file_of(seed: int) -> bytes:
    """An odd net, and every fourth time a damaged one."""
    random = Random(seed)
    if seed % 4:
        return tflite_odd.odd(random)
    return mutators.as_tflite(random, tflite_odd.sound(seed % 7 + 1))


@pytest.mark.parametrize("part", range(4))
def test_odd_files_are_one_report(part, tmp_path, capsys):
    path, out = tmp_path / "net.tflite", tmp_path / "net.npz"
    refused = 0
    for seed in range(part, CI, 4):
        path.write_bytes(file_of(seed))
        status = cli.run(convert.main, [str(path), "-o", str(out)])
        said = capsys.readouterr()
        assert status in (0, 2)
        if status == 2:
            refused += 1
            assert is_report(said.err) and not said.out, seed
            assert os.listdir(tmp_path) == ["net.tflite"]
        out.unlink(missing_ok=True)
    assert refused >= CI // 4 * 0.6


def measured(path, out) -> tuple[int, str, float, float, int]:
    """Status, standard error, seconds, those of the processor, and bytes of a conversion."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path), "-o", str(out)], capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )  # fmt: skip
    used, peak = done.stdout.split("\n")[-2].split()
    return done.returncode, done.stderr, time.monotonic() - begun, float(used), int(peak) << 10


@pytest.mark.slow
def test_200_odd_files_take_little(tmp_path):
    path, out = tmp_path / "net.tflite", tmp_path / "net.npz"
    worst, refused, seed = np.zeros(3), 0, 0
    while refused < ALL:
        path.write_bytes(file_of(seed))
        status, said, *costs = measured(path, out)
        worst = np.maximum(worst, costs)
        assert costs[1] < SECONDS and costs[2] < BYTES, (seed, costs)
        assert status == 0 or (status == 2 and is_report(said) and not out.exists()), (seed, status, said)
        refused += status == 2
        seed += 1
        out.unlink(missing_ok=True)
    print(f"{seed} files, {refused} refused, at most {worst[0]:.1f} s, {worst[1]:.1f} s of processor,"
          f" {worst[2] / 2**20:.0f} MiB")  # fmt: skip


def dense(writer: Writer, x: int, inputs: int, outputs: int) -> int:
    """A dense layer with a scale for each channel."""
    rng = np.random.default_rng(outputs)
    weights = rng.integers(-127, 128, (outputs, inputs))
    constant = writer.constant(weights, "INT8", scales=rng.uniform(0.01, 0.1, outputs))
    y = writer.tensor((1, outputs), scales=20.0)
    return writer.operator("FULLY_CONNECTED", [x, constant, -1], y, "FullyConnectedOptions")


@pytest.mark.slow
def test_the_largest_nets_take_little(tmp_path):
    """The largest that are accepted: all their bytes, channels and operators."""
    path, out = tmp_path / "net.tflite", tmp_path / "net.npz"
    writer = Writer()
    x = y = writer.tensor((1, 64), scales=1.0)
    for inputs, outputs in ((64, 4000), (4000, 2000)):
        y = dense(writer, y, inputs, outputs)
    for number in range(126):
        z = writer.tensor((1, 2000), scales=20.0 + number)
        y = writer.operator("ADD", [y, y], z, "AddOptions")
    writer.write(path, x, y)
    status, _, *costs = measured(path, out)
    print(costs)
    assert status == 0 and costs[1] < SECONDS and costs[2] < BYTES
    assert len(artifact.load(out).specs) == 4 + 2 * 126


def shared_name(writer: Writer, x: int) -> int:
    for _ in range(9):
        y = writer.tensor((1, 32), scales=0.1, name="n" * (1 << 20))
    return writer.operator("RELU", [x], y)


def shared_weights(writer: Writer, x: int) -> int:
    weights = writer.constant(np.ones((1 << 11, 1 << 11)), "INT8", scales=0.1)
    x = writer.operator("RELU", [x], writer.tensor((1, 1 << 11), scales=0.1))
    for _ in range(3):
        y = writer.tensor((1, 1 << 11), scales=9.0)
        x = writer.operator("FULLY_CONNECTED", [x, weights, -1], y, "FullyConnectedOptions")
    return x


def long_shape(writer: Writer, x: int) -> int:
    return writer.operator("RELU", [x], writer.tensor((1,) * 9, scales=0.1))


def many_inputs(writer: Writer, x: int) -> int:
    return writer.operator("CONCATENATION", [x] * 65, writer.tensor((1, 32), scales=0.1))


def missing_end(writer: Writer, x: int) -> int:
    writer.operator("RELU", [x], writer.tensor((1, 32), scales=0.1))
    return -1


def wide(writer: Writer, x: int) -> int:
    weights = writer.constant(np.ones((5000, 32)), "INT8", scales=0.1)
    y = writer.tensor((1, 5000), scales=9.0)
    return writer.operator("FULLY_CONNECTED", [x, weights, -1], y, "FullyConnectedOptions")


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (shared_name, "its tensors share what they hold, and are larger together than 8,388,608 bytes"),
        (shared_weights, "the sum of weights of all layers is 12,582,912; accepted: 8,388,608"),
        (long_shape, "tensor 1 't1' has 9 dimensions; up to 8 are accepted"),
        (many_inputs, "operator 0 has 65 inputs or outputs; up to 64 are accepted"),
        (missing_end, "the net has 0 outputs; accepted: one"),
        (wide, "the number of its output channels is 5,000; accepted: 1 to 4,096"),
    ],
)
def test_bounds_are_told_by_figure(build, problem, tmp_path, capsys):
    writer = Writer()
    x = writer.tensor((1, 32), scales=0.1)
    writer.write(tmp_path / "net.tflite", x, build(writer, x))
    assert cli.run(convert.main, [str(tmp_path / "net.tflite"), "-o", str(tmp_path / "net.npz")]) == 2
    assert problem in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["net.tflite"]
