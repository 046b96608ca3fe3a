"""Grey levels into nets of signed integers: the one conversion, and every command that needs it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boards import host
from hdl.planning.search import search
from idx import encode
from model import classify, cli
from model.arithmetic.qformat import QFormat
from model.files import artifact, levels
from model.golden.qnetwork import QNetwork
from model.layers import ConvSpec, DenseSpec
from pty_board import IDENTITY, PtyBoard
from sim import verify
from sim.bench.accelerator import AcceleratorBench, first_mismatch

SIGNED, UNSIGNED = QFormat(8, 0), QFormat(8, 8, False)
LEVELS = np.arange(256, dtype=np.uint8)


def grid(step, zero) -> dict:
    """Metadata of a converted net."""
    return {"converted": {"input": {"step": step, "zero": zero}}}


@pytest.mark.parametrize(
    "metadata",
    [{}, grid(1.0, -128), grid(float(np.float32(1 / 255)), -128), {"converted": None}, grid("1", -128),
     {"converted": {"input": 3}}],
)  # fmt: skip
def test_the_darkest_level_is_the_least_integer(metadata):
    found = levels.for_input(LEVELS, SIGNED, "net", metadata)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, np.arange(-128, 128))


@pytest.mark.parametrize("step", [1.0, 1 / 255, 1.0015, 1.0025, 1 / 255.4, 1 / 256, 0.5, 2 / 255, 0.0037])
def test_other_steps_are_told_where_they_would_give_other_integers(step):
    """By what a level, or a level by 255, is in the net's own integers."""
    rounded = [np.rint(LEVELS * unit / step) - 128 for unit in (1, 1 / 255)]
    same = any((row == np.arange(-128, 128)).all() for row in rounded)
    if same:
        np.testing.assert_array_equal(
            levels.for_input(LEVELS, SIGNED, "n", grid(step, -128)), np.arange(-128, 128)
        )
        return
    with pytest.raises(
        ValueError, match=r"net 'n': its integer q stands for \(q - -128\) \* .* p is not p - 12"
    ):
        levels.for_input(LEVELS, SIGNED, "n", grid(step, -128))


def test_other_zero_points_are_told():
    with pytest.raises(
        ValueError, match=r"net 'kws': .* \(q - 83\) \* 0\.58, so .* an \.npz of signed features"
    ):
        levels.for_input(LEVELS, SIGNED, "kws", grid(0.58, 83))
    with pytest.raises(ValueError, match="net 'n'"):
        levels.for_input(LEVELS, UNSIGNED, "n", grid(1.0, 3))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint16])
@pytest.mark.parametrize("metadata", [{}, grid(0.5, 9)])
def test_integers_stay_what_they_are(dtype, metadata):
    images = np.arange(100, dtype=dtype)
    assert levels.for_input(images, SIGNED, "net", metadata) is images


@pytest.mark.parametrize("fmt", [UNSIGNED, QFormat(4, 0, False), QFormat(12, 0), QFormat(16, 0)])
def test_formats_without_such_levels_stay_what_they_are(fmt):
    assert levels.for_input(LEVELS, fmt, "net", {}) is LEVELS
    assert levels.for_input(LEVELS, fmt, "net", grid(1.0, 0)) is LEVELS


def signed_net(shape=(2, 3, 1), fmt=SIGNED, kernel=(1, 1), metadata=None) -> QNetwork:
    """A convolution and a dense layer of random integers."""
    rng = np.random.default_rng(7)
    conv = ConvSpec(
        name="conv", in_shape=shape, src=fmt, dst=QFormat(8, 0),
        weights=rng.integers(-8, 8, (*kernel, shape[2], 3)), weight_format=QFormat(4, 4),
        bias=rng.integers(-500, 500, 3),
    )  # fmt: skip
    size = int(np.prod(conv.out_shape))
    dense = DenseSpec(
        name="dense", in_shape=conv.out_shape, src=conv.dst, dst=QFormat(8, 0),
        weights=rng.integers(-8, 8, (size, 3)), weight_format=QFormat(4, 0), bias=rng.integers(-50, 50, 3),
    )  # fmt: skip
    return QNetwork("signed", fmt, (conv, replace(dense, dst=dense.accumulator)), metadata or {})


@pytest.mark.parametrize(
    ("shape", "fmt", "kernel"),
    [
        ((1, 9, 2), QFormat(11, 0), (1, 3)),
        pytest.param((9, 1, 2), QFormat(16, 0), (3, 1), marks=pytest.mark.slow),
        pytest.param((1, 1, 12), SIGNED, (1, 1), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_one_row_or_column_in_simulation(shape, fmt, kernel):
    """Values of the whole range, the ends included."""
    net = signed_net(shape, fmt, kernel)
    images = np.random.default_rng(1).integers(fmt.min, fmt.max + 1, (8, *shape))
    images[0], images[1] = fmt.min, fmt.max
    bench = AcceleratorBench(net, search(net, 4))
    for stalls in (0.0, 0.4):
        assert first_mismatch(net.logits(images), bench.run(images, stalls, 1)) is None


class SignedBoard(PtyBoard):
    """Answers with a net's logits to what came over the line as bytes."""

    def __init__(self, net):
        self.net = net
        fields = {"pixel": net.input_format, "shape": net.in_shape, "logit": net.output_format}
        super().__init__(identity=replace(IDENTITY, **fields))

    def answer(self, frame):
        answer = super().answer(frame)
        if answer.kind == 0x82:
            kind = f"<i{-(-self.net.input_format.width // 8)}"
            image = np.frombuffer(frame.payload, kind).reshape(1, *self.net.in_shape)
            (row,) = self.net.logits(image.astype(np.int64))
            start = int(row.argmax()).to_bytes(2, "little") + answer.payload[2:6]
            answer = replace(answer, payload=start + row.astype("<i4").tobytes())
        return answer


PIXELS = np.random.default_rng(5).integers(0, 256, (20, 2, 3, 1)).astype(np.uint8)


@pytest.fixture
def given(tmp_path):
    """A signed net, a picture, and the same images as IDX, as features, and by class."""
    net = signed_net(metadata={"classes": ["b", "a", "c"]})
    artifact.save(tmp_path / "net.npz", net)
    labels = net.classify(PIXELS.astype(int) - 128)
    Image.fromarray(PIXELS[0, :, :, 0]).save(tmp_path / "one.png")
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "t10k-images-idx4-ubyte").write_bytes(encode(PIXELS))
    (tmp_path / "idx" / "t10k-labels-idx1-ubyte").write_bytes(encode(labels))
    np.savez(tmp_path / "signed.npz", features=(PIXELS.astype(int) - 128).astype(np.int8), labels=labels)
    np.savez(tmp_path / "levels.npz", features=PIXELS, labels=labels)
    for index, (image, label) in enumerate(zip(PIXELS, labels)):
        path = tmp_path / "folders" / net.metadata["classes"][label] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(path)
    return tmp_path, net, net.logits(PIXELS.astype(int) - 128)


def run(command, *words) -> int:
    return cli.run(command.main, list(map(str, words)))


SETS = ("idx", "signed.npz", "levels.npz", "folders")


@pytest.mark.parametrize("name", SETS)
def test_classify(given, name, capsys):
    folder, _, logits = given
    assert run(classify, folder / "net.npz", "--data", folder / name, "--json", folder / "out.json") == 0
    found = json.loads((folder / "out.json").read_text())
    rows = sorted(row["logits"] for row in found["answers"])
    assert all(row["label"] == row["class"] for row in found["answers"])
    assert rows == sorted(logits.tolist()) and (found["right"], found["accuracy"]) == (20, 1.0)
    assert "right: 20 of 20, 100.00%" in capsys.readouterr().out


def test_classify_a_picture_and_features_without_labels(given, capsys):
    folder, _, logits = given
    assert run(classify, folder / "net.npz", folder / "one.png", "--json", folder / "out.json") == 0
    (answer,) = json.loads((folder / "out.json").read_text())["answers"]
    assert answer["logits"] == logits[0].tolist()
    features = np.tile(PIXELS, (2, 1, 1, 1)).astype(np.int16) - 128
    np.savez(folder / "rows.npz", features=features)
    capsys.readouterr()
    assert run(classify, folder / "net.npz", folder / "rows.npz", "--json", folder / "out.json") == 0
    found = json.loads((folder / "out.json").read_text())
    assert [row["logits"] for row in found["answers"]] == 2 * logits.tolist() and "accuracy" not in found
    out = capsys.readouterr().out
    assert (
        "and 20 more; --json FILE has all of them" in out and "test image 19" in out and "right:" not in out
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name a PICTURE or more, or a test set with --data"),
        (["one.png", "--data", "idx"], "name a PICTURE or more, or a test set with --data"),
        (["folders", "--resize"], "--invert and --resize are for pictures"),
        (["one.png", "folders"], "folders is a folder; name the pictures in it"),
        (["none.npz"], "none.npz"),
    ],
)
def test_classify_is_asked_for_one_thing(given, words, told, monkeypatch, capsys):
    monkeypatch.chdir(given[0])
    assert run(classify, "net.npz", *words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


@pytest.mark.parametrize("name", SETS)
def test_host(given, name, capsys):
    folder, net, _ = given
    words = ["--dataset", "--data", folder / name, "--check", folder / "net.npz"]
    with SignedBoard(net) as fake:
        assert run(host, fake.port, *words) == 0
        assert "right: 20 of 20" in capsys.readouterr().out
        assert run(host, fake.port, folder / "one.png", "--check", folder / "net.npz") == 0
        assert f"class {net.classify(PIXELS[:1].astype(int) - 128)[0]}," in capsys.readouterr().out


def test_host_says_what_the_net_says_of_its_integers(given, capsys):
    folder, net, _ = given
    artifact.save(folder / "net.npz", replace(net, metadata=grid(0.25, 5)))
    with SignedBoard(net) as fake:
        for words in ([folder / "one.png"], ["--dataset", "--data", folder / "idx"]):
            assert run(host, fake.port, *words, "--check", folder / "net.npz") == 2
            assert "(q - 5) * 0.25" in capsys.readouterr().err
        assert run(host, fake.port, "--dataset", "--data", folder / "signed.npz") == 0
    np.savez(folder / "rows.npz", features=PIXELS)
    assert run(host, "--dataset", "--data", folder / "rows.npz") == 2
    assert "rows.npz holds no labels" in capsys.readouterr().err


def test_verify(given, capsys):
    folder, net, _ = given
    np.savez(folder / "rows.npz", features=PIXELS)
    words = ["--data", folder / "rows.npz", "--json", folder / "out.json"]
    assert run(verify, "--net", folder / "net.npz", *words) == 0
    found = json.loads((folder / "out.json").read_text())
    assert (found["frames"], found["mismatches"]) == (20, 0)
    artifact.save(folder / "net.npz", replace(net, metadata=grid(0.25, 5)))
    assert run(verify, "--net", folder / "net.npz", "--data", folder / "idx") == 2
    assert "(q - 5) * 0.25" in capsys.readouterr().err
