"""Quantisation-aware training: it keeps the scheme, ends in integers that are its own, and helps."""

import json
from dataclasses import replace

import numpy as np
import pytest

import idx
from model import cli, report, train
from model.arithmetic.exact import FLOAT32_EXACT
from model.files import artifact, dataset
from model.golden.qchain import walk
from model.layers import Conv, Dense, Pool, ReLU
from model.net.network import Network
from model.quantisation.build import build
from model.quantisation.correction import corrected
from model.quantisation.fake import latent
from model.quantisation.scheme import calibrate
from model.quantisation.widths import Widths
from model.training import loop as training
from model.training.loop import fit
from model.training.recipe import Recipe
from model.training.tuning import Tuning, tuned


@pytest.fixture(scope="module")
def images():
    found, labels, _ = dataset.load_part("train")
    return found[:3000], labels[:3000]


@pytest.fixture(scope="module")
def network(images):
    layers = [Conv(4, 5, 2), ReLU(), Pool("max", 2), Dense(10)]
    network = Network(layers, (28, 28, 1), np.random.default_rng(0))
    fit(
        network,
        Recipe(epochs=3, rate=0.1),
        *images,
        (images[0][:10], images[1][:10]),
        np.random.default_rng(0),
    )
    return network


def learn(images):
    validation = images[0][:10], images[1][:10]
    return lambda net, recipe: fit(net, recipe, *images, validation, np.random.default_rng(1))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_it_helps(bits, network, images):
    before = network.vector.copy()
    scheme = calibrate(network, images[0][:200], Widths(bits), Widths(3))
    first = build(network, scheme).accuracy(*images)
    fakes, history = tuned(network, scheme, Tuning(2), Recipe(epochs=3, rate=0.1), learn(images), None)
    net = build(latent(fakes), scheme)
    assert len(history) == 2 and (network.vector == before).all()
    np.testing.assert_array_equal(net.output_format.real(net.logits(images[0])), fakes.logits(images[0]))
    assert net.accuracy(*images) > first
    assert net.accuracy(*images) > (0.75, 0.85, 0.9)[bits // 2]


def test_without_epochs_it_is_corrected(network, images):
    before, calibration = network.vector.copy(), images[0][:200]
    scheme = calibrate(network, calibration, Widths(3), Widths(4))
    fakes, history = tuned(network, scheme, Tuning(), Recipe(epochs=3), None, calibration)
    assert history == [] and (network.vector == before).all()
    assert (fakes.vector == corrected(network, scheme, calibration).vector).all()
    assert (fakes.vector != before).any()


def test_tuning_begins_with_the_net_itself(network, images):
    """What is trained on is nothing that was rounded before."""
    scheme = calibrate(network, images[0][:200], Widths(3), Widths(4))
    fakes, _ = tuned(network, scheme, Tuning(1), Recipe(epochs=1), lambda net, recipe: [], None)
    assert (fakes.vector == network.vector).all()


def test_biases_that_outgrow_the_floats(network, images):
    scheme = calibrate(network, images[0][:200], Widths(4), Widths(4))

    def train(net, recipe):
        net.layers[-1].params["bias"][0] = 1e7
        return []

    with pytest.raises(FloatingPointError, match="'dense1': its biases"):
        tuned(network, scheme, Tuning(1), Recipe(epochs=1), train, None)
    assert tuned(network, scheme, Tuning(1), Recipe(epochs=1), lambda net, recipe: [1], None)[1] == [1]


def test_biases_count_once(network, images):
    """They may grow as far as floats hold the sums, and no less: up to what the weights leave of them."""
    scheme = calibrate(network, images[0][:200], Widths(4), Widths(4))

    def grown(value):
        def train(net, recipe):
            net.layers[-1].params["bias"][0] = value
            return []

        try:
            return tuned(network, scheme, Tuning(1), Recipe(epochs=1), train, None)[0]
        except FloatingPointError:
            return None

    least, most = 1.0, 1e7
    while most > 1.01 * least:
        middle = (least * most) ** 0.5
        least, most = (middle, most) if grown(middle) else (least, middle)
    net = grown(least)
    assert net.dtype is np.float32
    bias = next(spec.bias for spec in walk(build(latent(net), scheme).specs) if spec.name == "dense1")
    assert 0.9 * FLOAT32_EXACT < abs(bias).max() < FLOAT32_EXACT


def test_recipes(network, images):
    recipe = Recipe(epochs=9, rate=0.5, batch=7)
    for bits, averaging in ((1, 0), (2, 0), (3, 0.999)):
        scheme = calibrate(network, images[0][:32], Widths(8, {"dense1": bits}))
        result = Tuning(4).recipe(recipe, scheme)
        assert (result.epochs, result.peak, result.batch, result.averaging) == (4, 0.003, 7, averaging)
        assert Tuning(4, rate=0.125).recipe(recipe, scheme).peak == 0.125
        assert Tuning(4, "momentum").recipe(recipe, scheme).optimiser == "momentum"
    for field, value in (("epochs", -1), ("optimiser", "sgd"), ("rate", 0), ("scales", "layer")):
        with pytest.raises(ValueError, match=field):
            Tuning(**{field: value})


def test_report(network, images):
    """Against the integers and the floats themselves."""
    scheme = calibrate(network, images[0][:200], Widths(4), Widths(3))
    some = images[0][:70]
    conv, dense = report.report(network, network, scheme, some)
    net = build(network, scheme)
    floats, integers = network.trace(some), net.trace(some)
    spec = net.specs[0]
    real = np.maximum(floats[0].astype(np.float64), 0)
    noise = ((real - spec.dst.real(integers[0])) ** 2).sum()
    assert conv["values_snr"] == pytest.approx(10 * np.log10((real**2).sum() / noise), abs=0.01)
    assert conv["range"] == [round(float(floats[0].min()), 4), round(float(floats[0].max()), 4)]
    sums = replace(spec, dst=spec.accumulator).run(some)
    rounded = np.floor(spec.accumulator.real(sums) * 2.0**spec.dst.frac + 0.5)
    assert conv["saturated"] == np.mean(rounded > spec.dst.max) > 0
    weights = network.layers[0].params["weights"].astype(np.float64)
    real = spec.weights * 2.0 ** (spec.shifts - spec.weight_format.frac)
    ratio = (weights**2).sum() / ((weights - real) ** 2).sum()
    assert conv["weights_snr"] == pytest.approx(10 * np.log10(ratio), abs=0.01)
    assert (conv["layer"], conv["bits"], conv["values"]) == ("conv1", 4, str(spec.dst))
    steps = spec.shifts - spec.weight_format.frac
    assert conv["steps"] == [steps.min(), steps.max()]
    assert (dense["layer"], dense["values"], dense["saturated"]) == ("dense1", "exact", 0)
    json.dumps([conv, dense], allow_nan=False)


def test_report_of_parameters_chosen_for_rounding(network, images):
    """Noise is what lies between the net's own floats and the integers that stand for it."""
    calibration = images[0][:200]
    scheme = calibrate(network, calibration, Widths(4), Widths(8))
    chosen = corrected(network, scheme, calibration)
    dense = report.report(network, chosen, scheme, calibration)[-1]
    net = build(chosen, scheme)
    spec, floats = net.specs[-1], network.logits(calibration).astype(np.float64)
    noise = floats - net.output_format.real(net.logits(calibration))
    ratio = 10 * np.log10((floats**2).sum() / (noise**2).sum())
    assert dense["values_snr"] == pytest.approx(ratio, abs=0.01)
    weights = network.layers[-1].params["weights"].astype(np.float64)
    noise = weights - spec.weights * 2.0 ** (spec.shifts - spec.weight_format.frac)
    ratio = 10 * np.log10((weights**2).sum() / (noise**2).sum())
    assert dense["weights_snr"] == pytest.approx(ratio, abs=0.01)
    same = report.report(network, network, scheme, calibration)[-1]
    assert same["weights_snr"] > dense["weights_snr"] and same["values_snr"] < dense["values_snr"]


def run(command, *arguments):
    return cli.run(command.main, [str(argument) for argument in arguments])


def test_commands(tmp_path, capsys):
    """Training with and without a second phase, its report, and both again from a checkpoint."""
    folder = idx.write_dataset(tmp_path / "data", (9, 10), classes=3, count=90)
    net = tmp_path / "net.toml"
    net.write_text(
        'layers = [{conv = 3, kernel = 3}, "relu", {dense = "classes"}]\n[recipe]\nepochs = 2\n'
        '[quantise]\nweights = "4,dense1=2"\nactivations = 3\nepochs = 3\nrate = 0.05\nscales = "tensor"\n'
    )
    options = ["--data", folder, "--no-pictures"]
    assert run(train, net, *options, "--out", tmp_path / "a.npz", "--json", tmp_path / "a.json") == 0
    assert "what rounding did" in capsys.readouterr().out
    first = artifact.load(tmp_path / "a.npz")
    assert [spec.weight_format.width for spec in first.specs] == [4, 2] and first.specs[0].dst.width == 3
    assert not any(spec.shifts.any() for spec in first.specs)
    assert (first.metadata["epochs"], first.metadata["tuning_epochs"]) == (5, 3)
    accuracy, result = first.metadata["accuracy"], json.loads((tmp_path / "a.json").read_text())
    assert accuracy["fake_quantised"] == accuracy["quantised"] == result["fake_quantised_accuracy"]
    assert (
        run(train, net, *options, "--out", tmp_path / "b.npz", "--qat-epochs", 0, "--scales", "channel") == 0
    )
    second = artifact.load(tmp_path / "b.npz")
    assert second.metadata["tuning_epochs"] == 0 and any(spec.shifts.any() for spec in second.specs)
    capsys.readouterr()
    assert run(report, tmp_path / "a.npz", "--json", tmp_path / "report.json") == 0
    assert "conv1" in capsys.readouterr().out
    rows = json.loads((tmp_path / "report.json").read_text())["layers"]
    assert rows == first.metadata["quantisation"] and [row["layer"] for row in rows] == ["conv1", "dense1"]


@pytest.mark.parametrize("epochs", [0, 1])
def test_what_the_report_compares(epochs, tmp_path, monkeypatch):
    """The trained floats with what stands for them; of a tuned net the floats that it learnt."""
    nets = []
    monkeypatch.setattr(train, "report", lambda *rest: nets.extend(rest[:2]) or report.report(*rest))
    folder = idx.write_dataset(tmp_path / "data", (28, 28), classes=3, count=60)
    options = ["lenet", "--data", folder, "--no-pictures", "--epochs", 1, "--qat-epochs", epochs]
    assert run(train, *options, "--weight-bits", 3, "--out", tmp_path / "net.npz") == 0
    floats, rounded = nets
    assert (floats is rounded) == bool(epochs) and floats.params == rounded.params
    grids = [spec.weight_format for spec in artifact.load(tmp_path / "net.npz").specs if spec.kind == "conv"]
    weights = [net.layers[0].params["weights"] * 2.0 ** grids[0].frac for net in nets]
    assert (weights[0] != np.rint(weights[0])).any()
    assert (weights[1] == np.rint(weights[1])).all() == (not epochs)


def test_a_tuning_cut_short_resumes(tmp_path, monkeypatch):
    folder = idx.write_dataset(tmp_path / "data", (28, 28), classes=3, count=60)
    options = ["lenet", "--data", folder, "--no-pictures", "--epochs", 1, "--qat-epochs", 3, "--batch", 30]
    options += ["--weight-bits", 2, "--save-every", 0, "--out", tmp_path / "net.npz"]
    assert run(train, *options) == 0
    whole = (tmp_path / "net.npz").read_bytes()
    with monkeypatch.context() as patch:
        steps = iter(range(5))

        def step(self, *rest):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return training.Training.step(self, *rest)

        patch.setattr(training, "Training", type("Ending", (training.Training,), {"step": step}))
        assert run(train, *options) == 130
    assert run(train, *options, "--resume") == 0
    assert (tmp_path / "net.npz").read_bytes() == whole


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["--qat-rate", "0"], "--qat-rate"),
        (["--qat-rate", "nan"], "--qat-rate"),
        (["--qat-epochs", "-1"], "--qat-epochs"),
        (["--qat-optimiser", "sgd"], "--qat-optimiser"),
        (["--scales", "layer"], "--scales"),
    ],
)
def test_bad_options(arguments, problem, tmp_path, capsys):
    status = run(train, "lenet", *arguments, "--out", tmp_path / "net.npz")
    assert status == 2 and problem in capsys.readouterr().err


def test_no_report(tmp_path, capsys):
    net = artifact.load("lenet")
    metadata = {key: value for key, value in net.metadata.items() if key != "quantisation"}
    artifact.save(tmp_path / "net.npz", replace(net, metadata=metadata))
    assert run(report, tmp_path / "net.npz") == 2
    assert "wrote no report" in capsys.readouterr().err
