"""``python -m model.report``: what quantisation did to a trained net, layer by layer."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from rich import box
from rich.table import Table

from model import cli
from model.arithmetic.chunks import CHUNK
from model.files import artifact
from model.layers import Residual
from model.net.chain import flow
from model.net.layer import Layer
from model.net.network import Network
from model.quantisation.fake import fake, latent
from model.quantisation.rounded import FakeTable, FakeWeighted, Passing, Rounded
from model.quantisation.scheme import Scheme

DESCRIPTION = "What quantisation did to a trained net, layer by layer."
EXAMPLES = """\
examples:
  python -m model.report build/lenet.npz
  python -m model.report lenet --json report.json

Range and saturation are those of the layer's outputs for calibration images, noise is the difference between
the integers and the floats that they stand for, and counts against their power.
"""


def parser() -> cli.Parser:
    """The command's options."""
    options = cli.Parser(prog="python -m model.report", description=DESCRIPTION, epilog=EXAMPLES)
    options.add_argument("net", metavar="NET", help="a shipped net's name, or the file that training wrote")
    options.add_argument("--json", metavar="FILE", help="write the report as JSON")
    return options


def main(argv: list[str]) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    net = artifact.load(options.net)
    if "quantisation" not in net.metadata:
        raise ValueError(f"{options.net}: its training wrote no report of its quantisation; train it again")
    layers = net.metadata["quantisation"]
    try:
        shown, coarse = table(layers), coarse_tables({row["layer"]: row for row in layers})
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ValueError(f"{options.net}: its report of its quantisation is damaged") from None
    cli.write_json(options.json, {"net": net.name, "layers": layers})
    console = cli.console()
    console.print(shown)
    for line in coarse:
        console.print(line, soft_wrap=True)
    if names := gone(net.metadata):
        console.print(without(names), soft_wrap=True)


def table(layers: list[dict]) -> Table:
    """The report as a table."""
    result = Table(title="what rounding did", box=box.SIMPLE, padding=(0, 0, 0, 1))
    for column in ("layer", "bits", "log2 step", "SNR, dB", "values", "least", "most", "cut off", "SNR, dB"):
        result.add_column(column, no_wrap=True)
    for row in layers:
        result.add_row(
            row["layer"],
            str(row.get("bits", "")),
            " .. ".join(map(str, dict.fromkeys(row.get("steps", ())))),
            decibels(row.get("weights_snr")),
            row["values"],
            *(f"{end:.3g}" for end in row["range"]),
            f"{row['saturated']:.2%}",
            decibels(row["values_snr"]),
        )
    return result


def coarse_tables(rows: dict[str, dict]) -> list[str]:
    """What is to be said of tables that fewer bits index than their outputs have; rows by layers' names."""
    lines = []
    for name, row in rows.items():
        if "index" in row and (missing := bits_in(row["values"]) - bits_in(row["index"])) > 0:
            lines.append(
                f"{name}: its table takes values of {bits_in(row['index'])} bits and gives such of"
                f" {bits_in(row['values'])}: steps 2**{missing} times coarser than the widths say"
            )
    return lines


def bits_in(fmt: str) -> int:
    """The width in the text of a `QFormat`."""
    return int(fmt[1:].partition(".")[0])


def gone(metadata: dict) -> list[str]:
    """Layers that the integers of an artifact do without, by its metadata; none if these do not say it."""
    names = metadata.get("left_out")
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def without(names: list[str]) -> str:
    """What is to be said of layers that integers leave out."""
    return (
        f"left out of the integers: {', '.join(names)} (at the end they change no class; a layer that"
        " --activation-bits names stays)"
    )


def decibels(ratio: float | None) -> str:
    """A ratio as it is printed."""
    return "" if ratio is None else f"{ratio:.1f}"


def report(network: Network, rounded: Network, scheme: Scheme, images: np.ndarray) -> list[dict]:
    """What quantisation did to each layer that rounds.

    Parameters
    ----------
    network : Network
        Of floats.
    rounded : Network
        The same layers with the parameters that rounding makes the integers of: those of `network`, or others
        that were chosen to stand for them.
    scheme : Scheme
    images : ndarray of uint8, (N, H, W, C)
        Of the training set.

    Returns
    -------
    list of dict
        As JSON can hold it: ``layer``, ``values`` (format of the output, "exact" for sums as they are),
        ``range`` (smallest and largest value of the floats), ``saturated`` (share of the values that a
        format cuts off: of a table those at its index; what an unsigned one does below zero is a ReLU's
        work), ``values_snr`` (dB; None without noise); of layers with weights also ``bits``, ``steps``
        (binary logarithms of the finest and coarsest channel's) and ``weights_snr``; of tables ``index``, the
        format that they take their input in.
    """
    fakes, floats = fake(rounded, scheme), latent(fake(network, scheme))
    weights = {layer.name: layer.params.get("weights") for layer, _ in flow(floats.layers)}
    meters = {layer.name: Meter(layer, weights[layer.name]) for layer in rounding(fakes.layers)}
    for start in range(0, len(images), CHUNK):
        x, y = (net.engine(images[start : start + CHUNK], {}) for net in (floats, fakes))
        compare(floats.layers, fakes.layers, x, y, meters)
    return [meter.row() for meter in meters.values()]


def rounding(layers: Sequence[Layer]) -> Iterator[Rounded]:
    """The layers that round, each followed by those within it."""
    for layer in layers:
        if isinstance(layer, Rounded) and not isinstance(layer, Passing):
            yield layer
            if isinstance(layer.inner, Residual):
                for branch in layer.inner.layers:
                    yield from rounding(branch)


def compare(floats: Sequence[Layer], fakes: Sequence[Layer], x, y, meters: dict[str, Meter]):
    """Layers and their fakes, fed with `x` and `y`, engine layout; gives both outputs."""
    for exact, layer in zip(floats, fakes):
        cache: dict = {}
        if isinstance(exact, Residual):
            branches = zip(exact.layers, layer.inner.layers)
            sides = [compare(*both, x, y, meters) for both in branches]
            x = sides[0][0] + sides[1][0]
            y = layer.rounded(sides[0][1] + sides[1][1], cache)
        else:
            x, y = exact.forward(x, {}), layer.forward(y, cache)
        if layer.name in meters:
            meters[layer.name].add(x, y, cache)
    return x, y


class Meter:
    """Adds up what a layer's row of the report says.

    Parameters
    ----------
    layer : Rounded
    weights : ndarray, optional
        Those of the float layer.
    """

    def __init__(self, layer: Rounded, weights: np.ndarray | None = None):
        self.layer, self.weights = layer, weights
        self.low, self.high = math.inf, -math.inf
        self.count = self.saturated = 0
        self.signal = self.noise = 0.0

    def add(self, x: np.ndarray, y: np.ndarray, cache: dict) -> None:
        """Take in outputs of floats, of the fake layer for the same images, and what that one left behind."""
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        self.count += x.size
        dst, bounds = self.layer.formats.dst, self.layer.bounds
        if bounds:
            over, under = cache["codes"] > bounds.max, cache["codes"] < bounds.min
            self.saturated += int(np.count_nonzero(over | under if bounds.signed else over))
        if dst and not dst.signed:
            x = np.maximum(x, 0)
        self.signal += float(np.square(x, dtype=np.float64).sum())
        self.noise += float(np.square(x - y, dtype=np.float64).sum())

    def row(self) -> dict:
        """The layer's row."""
        formats = self.layer.formats
        row = {
            "layer": self.layer.name,
            "values": str(formats.dst or "exact"),
            "range": [round(self.low, 4), round(self.high, 4)],
            "saturated": self.saturated / max(self.count, 1),
            "values_snr": snr(self.signal, self.noise),
        }
        if isinstance(self.layer, FakeTable):
            row["index"] = str(formats.index)
        if isinstance(self.layer, FakeWeighted):
            weights = self.weights.astype(np.float64)
            noise = weights - self.layer.quantised()["weights"]
            steps = [shift - formats.grid.frac for shift in formats.grid.shifts]
            row |= {
                "bits": formats.grid.bits,
                "steps": [min(steps), max(steps)],
                "weights_snr": snr(float((weights**2).sum()), float((noise**2).sum())),
            }
        return row


def snr(signal: float, noise: float) -> float | None:
    """Signal to noise, dB; None if there is no noise, or nothing but noise."""
    return round(10 * math.log10(signal / noise), 2) if signal > 0 and noise > 0 else None


if __name__ == "__main__":
    sys.exit(cli.run(main))
