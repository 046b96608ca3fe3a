"""MLPerf Tiny's five nets, where they lie beside the project: every value of every layer is LiteRT's."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import litert
from model import convert

SHARED = Path(os.environ.get("CONVGATE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
TINY = SHARED / "mlperf-tiny"
PICTURES = SHARED / "cifar10" / "cifar10-jpeg.tar.gz"
LAYERS = {"ad01": 10, "ic01": 14, "kws01": 11, "sww01": 9, "vww01": 29}
"""Tensors that are compared: all that LiteRT computes but the softmax, and reshapes, which copy."""
NETS = {"ad01": 1000, "ic01": 1000, "kws01": 1000, "sww01": 1000, "vww01": 200}
QUICK = {"ad01": 60, "ic01": 10, "kws01": 40, "sww01": 60, "vww01": 6}

pytestmark = pytest.mark.skipif(not TINY.is_dir(), reason=f"MLPerf Tiny's nets are not in {TINY}")


def inputs(name: str, shape, count: int) -> np.ndarray:
    """Real inputs where there are some; else random ones, with structure: constant, ramps, sparse, noise."""
    if name == "kws01":
        with np.load(TINY / "kws01_eval.npz") as evaluation:
            return evaluation["features"][:count]
    if name == "ic01" and PICTURES.is_file():
        return pictures(count)
    rng = np.random.default_rng(1)
    noise = rng.integers(-128, 128, (count, *shape))
    noise[0], noise[1] = -128, 127
    noise[2] = np.linspace(-128, 127, noise[2].size).reshape(shape)
    sparse = rng.random(noise[3::4].shape) < 0.9
    noise[3::4][sparse] = -128
    noise[5::4] = np.round(noise[5::4] / 8)
    return noise.astype(np.int8)


def pictures(count: int) -> np.ndarray:
    """Test pictures of CIFAR-10, all classes in turns."""
    with tarfile.open(PICTURES) as archive:
        members = [m for m in archive if m.name.startswith("test/") and m.name.endswith("0.jpg")]
        chosen = members[:: max(len(members) // count, 1)][:count]
        found = [np.asarray(Image.open(archive.extractfile(member))) for member in chosen]
    return (np.stack(found).astype(int) - 128).astype(np.int8)


def compared(name: str, count: int) -> None:
    path = TINY / f"{name}_int8.tflite"
    net, _ = convert.converted(path, name)
    assert litert.compare(path, net, inputs(name, net.in_shape, count)) == LAYERS[name]


@pytest.mark.parametrize("name", NETS)
def test_every_layer(name):
    compared(name, QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_every_layer_on_many_inputs(name):
    compared(name, NETS[name])


def test_accuracy_is_the_runtimes():
    """The classes of the 1,000 official keywords, as LiteRT's softmax has them."""
    path = TINY / "kws01_int8.tflite"
    net, _ = convert.converted(path, "kws01")
    with np.load(TINY / "kws01_eval.npz") as evaluation:
        features, labels = evaluation["features"], evaluation["labels"]
    *_, probabilities = litert.tensors(path, features).values()
    classes = net.classify(features)
    assert np.sum(classes == labels) == 901
    assert np.sum(probabilities.reshape(len(labels), -1).argmax(axis=1) == labels) == 901
