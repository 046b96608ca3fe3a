"""Artifacts: there and back, and everything that a file may do wrong."""

import dataclasses
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model.arithmetic.qformat import PIXELS, QFormat
from model.files import artifact
from model.files.whole import check_writable, replacing
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec
from random_nets import NetDrawer


def same(a, b) -> bool:
    """Whether two nets have the same integers and description."""

    def plain(spec):
        fields = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()} | {
            "kind": spec.kind
        }

    return (a.name, a.input_format, a.metadata, a.classifies, [plain(s) for s in a.specs]) == (
        b.name,
        b.input_format,
        b.metadata,
        b.classifies,
        [plain(s) for s in b.specs],
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_there_and_back(tmp_path, seed):
    drawer = NetDrawer(seed)
    net = drawer.net(drawer.integer(1, 4), prepared=seed % 2 == 1)
    metadata = {"classes": ["é", "b"], "accuracy": {"float": 0.5}}
    net = dataclasses.replace(net, metadata=metadata, classifies=seed % 3 > 0)
    artifact.save(tmp_path / "net.npz", net)
    again = artifact.load(tmp_path / "net.npz")
    assert same(net, again)
    images = drawer.images(net, 3)
    np.testing.assert_array_equal(net.logits(images), again.logits(images))
    with np.load(tmp_path / "net.npz", allow_pickle=False) as arrays:
        assert all(array.dtype.kind in "iu" for array in arrays.values())


INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64 | st.sampled_from([-1, 0, 2**31, 2**32, 2**62, -(2**31) - 1]), max_size=5))
def test_narrowed_integers_are_the_same_integers(values):
    array = np.array(values, np.int64)
    narrowed = artifact.narrow(array)
    assert narrowed.dtype.kind in "iu" and narrowed.tolist() == values


def dense_net(bias, metadata=None):
    """A net of one dense layer with such biases."""
    fields = dict(name="dense1", in_shape=(1, 1, 1), src=PIXELS, weight_format=QFormat(8, 0))
    spec = DenseSpec(**fields, dst=PIXELS, weights=np.ones((1, len(bias)), int), bias=np.array(bias))
    return QNetwork("net", PIXELS, (dataclasses.replace(spec, dst=spec.accumulator),), metadata or {})


@given(st.lists(st.integers(-(2**58), 2**58), min_size=2, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([-1, 2**32])
@example([-(2**40), 2**33])
def test_biases_of_any_size_come_back(tmp_path, bias):
    artifact.save(tmp_path / "net.npz", dense_net(bias))
    assert artifact.load(tmp_path / "net.npz").specs[0].bias.tolist() == bias


def as_floats(array):
    return array.astype(np.float64)


def one_more(array):
    return array + 1


@pytest.mark.parametrize(
    ("narrow", "told"), [(as_floats, "must be integers"), (one_more, "it would come back changed")]
)
def test_what_does_not_come_back_is_not_written(saved, monkeypatch, narrow, told):
    before = saved.read_bytes()
    monkeypatch.setattr(artifact, "narrow", narrow)
    with pytest.raises(ValueError, match=rf"net\.npz is not written, as .* read again: .*{told}"):
        artifact.save(saved, dense_net([1, 2]))
    assert saved.read_bytes() == before and [path.name for path in saved.parent.iterdir()] == ["net.npz"]


def test_a_net_that_is_too_large_to_be_read_or_has_no_fit_name_is_not_written(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    twice = {1: "a", "1": "b"}  # of two keys that JSON takes for one, one would come back
    for net in (dataclasses.replace(dense_net([1, 2]), name="a b"), dense_net([1, 2], twice)):
        with pytest.raises(ValueError, match=r"net\.npz is not written"):
            artifact.save(path, net)
    monkeypatch.setattr(artifact, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"net\.npz is not written, .*unpacks to more than 100 bytes"):
        artifact.save(path, dense_net([1, 2]))
    assert not list(tmp_path.iterdir())


FIRST = Path(__file__).parent / "artifacts" / "format1.npz"
"""The `lenet` that shipped when there was one format."""


def test_what_needs_no_new_format_is_written_as_ever(tmp_path):
    artifact.save(tmp_path / "net.npz", artifact.load(FIRST))
    with np.load(FIRST) as first, np.load(tmp_path / "net.npz") as again:
        assert first.files == again.files
        assert not any(member.endswith("shifts") for member in first.files)
        for member in first.files:
            assert first[member].dtype == again[member].dtype
            assert first[member].tobytes() == again[member].tobytes()
        assert json.loads(bytes(again["net.json"]))["format"] == 1


def test_nets_that_do_not_classify_are_of_format_5(tmp_path):
    net = dataclasses.replace(artifact.load(FIRST), classifies=False)
    artifact.save(tmp_path / "net.npz", net)
    assert not artifact.load(tmp_path / "net.npz").classifies
    with np.load(tmp_path / "net.npz") as file:
        text = json.loads(bytes(file["net.json"]))
    assert (text["format"], text["classifies"]) == (5, False)
    edited(tmp_path / "net.npz", lambda description: description.update(classifies=0))
    refuses(tmp_path / "net.npz", "classifies must be true or false, not 0")


def test_scales_by_channel_are_of_format_3(tmp_path):
    spec = next(spec for spec in NetDrawer(7).net(3).specs if spec.kind in ("conv", "dense"))
    for shift, version in ((0, 1), (2, 3)):
        shifts = np.zeros_like(spec.shifts)
        shifts[-1] = shift
        shifted = dataclasses.replace(spec, shifts=shifts)
        shifted = dataclasses.replace(shifted, dst=shifted.accumulator)
        net = QNetwork("net", spec.src, (shifted,))
        artifact.save(tmp_path / "net.npz", net)
        assert same(artifact.load(tmp_path / "net.npz"), net)
        with np.load(tmp_path / "net.npz") as arrays:
            assert json.loads(bytes(arrays["net.json"]))["format"] == version
            assert ("0/shifts" in arrays.files) == (version == 3)
    edited(tmp_path / "net.npz", lambda d: d.update(format=2))
    refuses(tmp_path / "net.npz", "layer 0 has an unknown field 'shifts'")


@pytest.fixture
def net():
    return NetDrawer(7).net(3)


@pytest.fixture
def saved(tmp_path, net):
    artifact.save(tmp_path / "net.npz", net)
    return tmp_path / "net.npz"


def refuses(path, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        artifact.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def edited(path, change=lambda description: None, **members):
    """Change an artifact's description, or add members."""
    with np.load(path) as arrays:
        arrays = dict(arrays)
    description = json.loads(bytes(arrays["net.json"]))
    change(description)
    arrays["net.json"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(path, **arrays | members)


def set_layer(**fields):
    return lambda description: description["layers"][0].update(fields)


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda d: d.update(format=0), "format 0, but this version reads formats 1 to 5"),
        (lambda d: d.update(format=6), "format 6, but"),
        (lambda d: d.update(format=True), "format True, but"),
        (lambda d: d.update(format=[1]), r"format \[1\], but"),
        (lambda d: d.update(format="1"), "format '1'"),
        (lambda d: d.pop("format"), "damaged"),
        (lambda d: d.update(layers=[]), "no layers"),
        (lambda d: d.update(layers=7), "damaged"),
        (lambda d: d.update(name="../net"), "'../net' is not a letter"),
        (lambda d: d.update(name="x" * 33), "is not a letter"),
        (lambda d: d.update(name=3), "the name 3"),
        (lambda d: d.update(metadata=3), "damaged"),
        (lambda d: d.update(input_format={"width": 8}), "damaged"),
        (lambda d: d.update(input_format={"width": 8.5, "frac": 0, "signed": True}), "8.5"),
        (lambda d: d.update(input_format={"width": 8, "frac": 10**9, "signed": True}), "fraction bits"),
        (lambda d: d.update(input_format={"width": 8, "frac": 0, "signed": 7}), "signed or not"),
        (set_layer(kind="lstm"), "unknown kind 'lstm'"),
        (set_layer(kind=["conv"]), "damaged"),
        (set_layer(name="a b"), "'a b' is not a letter"),
        (set_layer(name='x"; $finish; //'), "is not a letter"),
        (set_layer(in_shape=[1, 2]), "height, width and channels"),
        (set_layer(in_shape=[1, 2.5, 1]), "whole numbers"),
        (set_layer(in_shape=[2, 2, True]), "whole numbers"),
        (set_layer(in_shape=[0, 2, 1]), "whole numbers from 1"),
        (set_layer(dilation=[2, 2]), "unknown field 'dilation'"),
        (lambda d: d["layers"].append(d["layers"][0]), "another layer has the same name"),
    ],
)
def test_wrong_descriptions(saved, change, problem):
    edited(saved, change)
    refuses(saved, problem)


def test_wrong_arrays(saved, net):
    index = next(i for i, spec in enumerate(net.specs) if spec.kind in ("conv", "dense"))
    spec = net.specs[index]
    for bad in (spec.weights * 1.0, spec.weights[..., :0], spec.weights + 1000, np.zeros((), int)):
        edited(saved, **{f"{index}/weights": bad})
        refuses(saved, spec.name)
        artifact.save(saved, net)
    edited(saved, **{f"{index}/bias": np.full(spec.bias.shape, 2**62)})
    refuses(saved, "too wide")


def test_pickles_are_never_opened(saved, net):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("the pickle was opened",)

    index = next(i for i, spec in enumerate(net.specs) if spec.kind in ("conv", "dense"))
    edited(saved, **{f"{index}/weights": np.array([Bomb()], object)})
    refuses(saved, "pickle|damaged")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.99])
def test_cut_short(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    refuses(saved, "damaged")


def test_other_files(tmp_path):
    (tmp_path / "a.npz").write_text("hello")
    refuses(tmp_path / "a.npz", "cannot read net .*damaged or no convgate artifact")
    np.save(tmp_path / "b.npy", np.arange(3))
    refuses(tmp_path / "b.npy", "damaged")
    np.savez(tmp_path / "c.npz", x=np.arange(3))
    refuses(tmp_path / "c.npz", "damaged")


def test_bombs_are_not_unpacked(saved):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 29,)})
    with (
        zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("net.json.npy", "w") as member,
    ):
        member.write(file.getvalue())
        for _ in range(1 << 9):
            member.write(bytes(1 << 20))
    refuses(saved, "unpacks to more than")


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_files_never_do_worse_than_a_valueerror(saved, data):
    net = NetDrawer(7).net(3)
    artifact.save(saved, net)
    mutated = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    saved.write_bytes(mutated)
    try:
        artifact.load(saved)
    except ValueError as error:
        assert str(saved) in str(error)


def test_unknown_nets():
    for name in ("nowhere", "../zoo/lenet", "", "/", "a\0b"):
        with pytest.raises(ValueError):
            artifact.load(name)
    with pytest.raises(ValueError, match="shipped nets large, lecture, lenet, record, tiny"):
        artifact.find("nowhere")


def test_an_interrupted_save_leaves_the_old_file(saved, net, monkeypatch):
    before = saved.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        artifact.save(saved, net)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["net.npz"]


def test_metadata_must_be_json(saved, net):
    before = saved.read_bytes()
    with pytest.raises(ValueError):
        artifact.save(saved, dataclasses.replace(net, metadata={"x": float("nan")}))
    assert saved.read_bytes() == before


def test_replacing_makes_folders_and_respects_the_umask(tmp_path):
    with replacing(tmp_path / "a" / "b.txt", "w") as file:
        file.write("é")
    path = tmp_path / "a" / "b.txt"
    assert path.read_text(encoding="utf-8") == "é" and path.stat().st_mode & 0o600 == 0o600


def test_replacing_keeps_links_and_writes_to_pipes(tmp_path):
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "target")
    os.mkfifo(pipe)
    check_writable(link, pipe, None)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (link, pipe):
        with replacing(path, "w") as file:
            file.write("text")
    assert os.read(reader, 100) == b"text" and pipe.is_fifo()
    os.close(reader)
    assert link.is_symlink() and (tmp_path / "target").read_text() == "text"
