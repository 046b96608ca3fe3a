"""Trainings that end at any step and go on from their checkpoint, and checkpoints that are refused."""

import json
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest

from model.layers import BatchNorm, Dense, Dropout, ReLU
from model.net.network import Network
from model.training.augment import Affine, Elastic
from model.training.checkpoint import Checkpoint, Phase, difference, digest, read
from model.training.loop import Training, fit
from model.training.recipe import Recipe

RNG = np.random.default_rng(0)
LABELS = np.arange(90) % 3
IMAGES = RNG.integers(0, 200, (90, 6, 5, 1)).astype(np.uint8)
IMAGES[np.arange(90), :, LABELS] += 55
RECIPES = {
    "momentum": Recipe(3, batch=20, augment=Affine(10, 0.1, 0.1, 1), elastic=Elastic(1, 2)),
    "adam": Recipe(3, batch=20, optimiser="adam", schedule="step", averaging=0),
    "patience": Recipe(6, batch=32, rate=1.5, averaging=0.5, patience=1),
}


class Killed(Exception):
    pass


class Mortal(Phase):
    """Dies behind its last save, or before it."""

    def __init__(self, checkpoint, saves=10**9, before=False):
        super().__init__(checkpoint, "training")
        self.left, self.before = saves, before

    def save(self, arrays, values):
        self.left -= 1
        if self.before and not self.left:
            raise Killed
        super().save(arrays, values)
        if not self.left:
            raise Killed


def run(path, recipe, saves=10**9, resume=False, before=False, threads=1):
    """A training with a save after every step; its net, its history and the next number it would draw."""
    rng = np.random.default_rng(3)
    layers = [Dense(8), BatchNorm(), ReLU(), Dropout(0.2), Dense(3)]
    network = Network(layers, IMAGES.shape[1:], rng)
    checkpoint = Checkpoint(path, {"recipe": asdict(recipe)}, every=0)
    if resume:
        checkpoint.load()
    phase = Mortal(checkpoint, saves, before)
    split = IMAGES[30:], LABELS[30:], (IMAGES[:30], LABELS[:30])
    history = fit(network, recipe, *split, rng, threads, checkpoint=phase)
    told = [replace(epoch, seconds=0) for epoch in history]
    return network.vector, network.logits(IMAGES), told, rng.random()


def same(one, other):
    """Whether two trainings ended alike, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(one, other))


def steps(recipe):
    """Saves of a whole training: after each step, and after each epoch."""
    return recipe.epochs * (-(-60 // recipe.batch) + 1)


@pytest.mark.parametrize("name", RECIPES)
def test_resumed_at_any_step(name, tmp_path):
    recipe, path = RECIPES[name], tmp_path / "checkpoint.npz"
    whole = run(path, recipe)
    path.unlink()
    ended = 0
    for saves in range(1, steps(recipe) + 1):
        try:
            run(path, recipe, saves, before=saves % 3 == 2)
        except Killed:
            ended += 1
        if path.exists():
            assert same(run(path, recipe, resume=True, threads=1 + saves % 3), whole), f"killed at {saves}"
            path.unlink()
    assert ended >= (4 if name == "patience" else steps(recipe))


def test_killed_again_and_again(tmp_path):
    recipe, path = RECIPES["momentum"], tmp_path / "checkpoint.npz"
    whole = run(tmp_path / "other.npz", recipe)
    lives = 0
    while True:
        try:
            found = run(path, recipe, saves=2, resume=path.exists())
            break
        except Killed:
            lives += 1
    assert lives == steps(recipe) // 2 and same(found, whole)


def test_a_finished_training_is_not_done_again(tmp_path, monkeypatch):
    recipe, path = RECIPES["momentum"], tmp_path / "checkpoint.npz"
    whole = run(path, recipe)
    monkeypatch.setattr(Training, "step", lambda *_: pytest.fail("it learns again"))
    assert same(run(path, recipe, resume=True), whole)


def forget(**kept):
    """A resume that forgets something."""
    restore = Training.restore

    def forgetful(training, checkpoint):
        fresh = {key: array.copy() for key, array in training.arrays.items()}
        rng, counts = training.rng.bit_generator.state, (training.optimiser.count, training.average.count)
        restore(training, checkpoint)
        if kept.get("rng"):
            training.rng.bit_generator.state = rng
        if kept.get("counts"):
            training.optimiser.count, training.average.count = counts
        if kept.get("place"):
            training.at.steps = training.at.done = 0
        for key in kept.get("arrays", ()):
            training.arrays[key][...] = fresh[key]

    return forgetful


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("momentum", {"rng": True}),
        ("momentum", {"counts": True}),
        ("momentum", {"place": True}),
        ("momentum", {"arrays": ["vector"]}),
        ("momentum", {"arrays": ["order"]}),
        ("momentum", {"arrays": ["average"]}),
        ("momentum", {"arrays": ["optimiser-velocity"]}),
        ("adam", {"counts": True}),
        ("adam", {"arrays": ["optimiser-mean"]}),
        ("adam", {"arrays": ["optimiser-square"]}),
    ],
)
def test_mutants_that_forget_something_differ(name, lost, tmp_path, monkeypatch):
    recipe, path = RECIPES[name], tmp_path / "checkpoint.npz"
    whole = run(tmp_path / "other.npz", recipe)
    with pytest.raises(Killed):
        run(path, recipe, saves=6)
    copy = path.read_bytes()
    assert same(run(path, recipe, resume=True), whole)
    path.write_bytes(copy)
    monkeypatch.setattr(Training, "restore", forget(**lost))
    assert not same(run(path, recipe, resume=True), whole)


def test_a_mutant_that_forgets_the_best_epoch_differs(tmp_path, monkeypatch):
    recipe, path = RECIPES["patience"], tmp_path / "checkpoint.npz"
    whole = run(tmp_path / "other.npz", recipe)
    epochs = len(whole[2])
    assert epochs < recipe.epochs  # so the best is not the last
    with pytest.raises(Killed):
        run(path, recipe, saves=3 * epochs - 1)  # in the last epoch
    monkeypatch.setattr(Training, "restore", forget(arrays=["best"]))
    assert not same(run(path, recipe, resume=True), whole)


def test_phases_one_after_another(tmp_path):
    """As a run that trains, then trains its quantised net further: each has its own place in the file."""
    run_of, path = {"seed": 1}, tmp_path / "checkpoint.npz"
    first, second = Checkpoint(path, run_of), np.arange(4.0)
    assert first.phase("training").restore({}) is None
    first.phase("training").save({"a": second}, {"n": 1})
    second += 1  # what was saved is a copy
    first.phase("tuning").save({"b": np.ones((2, 2), np.float32)}, {"n": 2})
    again = Checkpoint(path, run_of)
    again.load()
    found = {"a": np.zeros(4)}
    assert again.phase("training").restore(found) == {"n": 1}
    np.testing.assert_array_equal(found["a"], np.arange(4.0))
    assert again.phase("tuning").restore({"b": np.zeros((2, 2), np.float32)}) == {"n": 2}
    assert again.phase("third").restore({}) is None
    again.remove()
    again.remove()
    assert not path.exists()


def test_due(tmp_path):
    assert Checkpoint(tmp_path / "a", {}, every=0).phase("training").due
    assert not Checkpoint(tmp_path / "a", {}, every=1000).phase("training").due


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 2}, "its seed is 1, not 2"),
        ({"net": "lecture"}, "its net is lenet, not lecture"),
        ({"recipe": {"epochs": 3, "augment": None}}, "its recipe augment is {"),
        ({"recipe": {"epochs": 4, "augment": {"shift": 1.0}}}, "its recipe epochs is 3, not 4"),
        ({"recipe": {"epochs": 3, "augment": {"shift": 2.0}}}, "its recipe augment shift is 1.0, not 2.0"),
        ({"more": "x" * 500}, "its more is none, not xxx"),
    ],
)
def test_another_run_is_refused(change, told, tmp_path):
    path, run_of = tmp_path / "a.npz", {"net": "lenet", "seed": 1}
    run_of["recipe"] = {"epochs": 3, "augment": {"shift": 1.0}}
    Checkpoint(path, run_of).phase("training").save({}, {})
    Checkpoint(path, run_of).load()
    with pytest.raises(ValueError) as caught:
        Checkpoint(path, {**run_of, **change}).load()
    message = str(caught.value)
    assert str(path) in message and told in message and "\n" not in message and len(message) < 400
    assert difference(run_of, run_of) == ""


def test_damaged_and_foreign_files(tmp_path):
    """Cut short anywhere, a byte changed anywhere, another kind of file: one line, never another error."""
    recipe, path = RECIPES["momentum"], tmp_path / "a.npz"
    with pytest.raises(Killed):
        run(path, recipe, saves=2)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    texts = [b"", b"PK", b"hello", b"\x80\x04N.", (tmp_path.parent / __file__).read_bytes()]
    texts += [good[:cut] for cut in rng.integers(1, len(good), 40)]
    for place in rng.integers(0, len(good), 200):
        changed = bytearray(good)
        changed[place] ^= 1 << rng.integers(8)
        texts.append(bytes(changed))
    refused = 0
    for text in texts:
        path.write_bytes(text)
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 200  # the rest are bytes that mean nothing, such as dates


def rewritten(path, change):
    """The checkpoint with another description."""
    with np.load(path, allow_pickle=False) as members:
        arrays = dict(members)
    description = json.loads(bytes(arrays["checkpoint.json"]))
    change(description, arrays)
    arrays["checkpoint.json"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda d, a: d.update(format=99),
        lambda d, a: d.pop("format"),
        lambda d, a: d.pop("run"),
        lambda d, a: d.update(phases=[]),
        lambda d, a: d["phases"].update(training=7),
        lambda d, a: d["phases"]["training"].pop("place"),
        lambda d, a: d["phases"]["training"]["place"].update(bogus=1),
        lambda d, a: d["phases"]["training"]["place"].update(history=[{}]),
        lambda d, a: d["phases"]["training"].update(rng={"bit_generator": "MT19937"}),
        lambda d, a: d["phases"]["training"].update(rng=None),
        lambda d, a: d["phases"]["training"]["counts"].pop("average"),
        lambda d, a: a.pop("training/vector"),
        lambda d, a: a.update({"training/vector": a["training/vector"][1:]}),
        lambda d, a: a.update({"training/vector": a["training/vector"].astype(float)}),
        lambda d, a: a.update({"training/more": np.zeros(1)}),
        lambda d, a: a.update({"nothing/vector": np.zeros(1)}),
    ],
)
def test_contents_that_do_not_fit(change, tmp_path):
    recipe, path = RECIPES["momentum"], tmp_path / "a.npz"
    with pytest.raises(Killed):
        run(path, recipe, saves=6)
    rewritten(path, change)
    with pytest.raises(ValueError) as caught:
        run(path, recipe, resume=True)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_pickles(tmp_path):
    path = tmp_path / "a.npz"
    Checkpoint(path, {}).phase("training").save({}, {})
    with zipfile.ZipFile(path, "a") as file, file.open("training/x.npy", "w") as member:
        np.lib.format.write_array(member, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npz"):
        read(path)


def test_what_does_not_come_back_is_not_written(tmp_path):
    path = tmp_path / "a.npz"
    checkpoint = Checkpoint(path, {})
    checkpoint.phase("training").save({"x": np.array([0.5, np.nan, -0.0])}, {"n": 1})
    before = path.read_bytes()
    for name, arrays in (("a/b", {"x": np.zeros(1)}), ("c", {"x": np.array([{}], object)})):
        with pytest.raises(ValueError, match=r"a\.npz is not written, as it could not be read again"):
            checkpoint.phase(name).save(arrays, {})
        del checkpoint.states[name]
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(read(path)[1]["training"].arrays["x"], [0.5, np.nan, -0.0])


def test_digests_tell_shapes_types_and_values_apart():
    base = np.arange(6, dtype=np.uint8)
    others = [base, base.reshape(2, 3), base.astype(np.int8), base[::-1], base[:5]]
    assert len({digest([array]) for array in others}) == len(others)
    assert digest([base[:3], base[3:]]) != digest([base])
    assert digest([base.reshape(2, 3).T]) == digest([base.reshape(2, 3).T.copy()])
