"""Nets described in TOML and Python: what is read, what is refused in which words; nothing crashes."""

import inspect
import typing
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import layers
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.files.typed import options
from model.layers import (
    LAYERS,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Function,
    Grey,
    LeakyReLU,
    Pool,
    Reduce,
    Sigmoid,
)
from model.net.chain import flow
from model.net.layer import Layer
from model.net.losses import Penalty
from model.net.network import Network
from model.quantisation.widths import Widths
from model.training import nets
from model.training.augment import Affine
from model.training.description import parse, tomllib
from model.training.recipe import Recipe

SHIPPED = {
    "lecture": (
        lambda: [
            Conv(6, 5), Sigmoid(), Pool("avg", 2),
            Conv(16, 5), Sigmoid(), Pool("avg", 2),
            Dense(10),
        ],
        Recipe(epochs=25, rate=1.5, augment=Affine(5, 0.05, 0.05, 1)),
    ),
    "lenet": (
        lambda: [
            Conv(6, 5), Pool("max", 2), layers.ReLU(),
            Conv(16, 5), Pool("max", 2), layers.ReLU(),
            Dense(10),
        ],
        Recipe(epochs=15, rate=0.1, augment=Affine(7, 0.07, 0.07, 1)),
    ),
}  # fmt: skip
SIZES = {
    "lecture": (5142, 242_560),
    "lenet": (5142, 242_560),
    "tiny": (2954, 142_560),
    "large": (16938, 1_470_528),
    "record": (5514, 117_472),
}
ALL = """
layers = [
  {grey = "average"},
  {reduce = [["1/3", 0.5], [-1, 2]], stride = 1, convolve = true},
  {reduce = 2, padding = [[0, 1], [1, 0]]},
  {conv = 6, kernel = [3, 2], stride = 2, padding = "same", bias = "none"},
  {conv = 6, kernel = 3, dilation = [1, 2], groups = 3, padding = [1, 2], bias = "pixel"},
  {depthwise = 2, multiplier = 2}, "sigmoid", {sigmoid = {width = 6, frac = 2}}, "tanh", "relu", "identity",
  {leaky_relu = 0.1, index = {width = 9, frac = 3, signed = true}}, "leaky_relu",
  {pool = "sum", kernel = 2, stride = [1, 2]},
  "dropout", {dropout = 0.2},
  {residual = [
    {conv = 12, kernel = 3, stride = 2, padding = "same", bias = "none"}, "batchnorm", "relu",
    {residual = [{batchnorm = 0.001}]},
  ], shortcut = [
    {conv = 12, kernel = 1, stride = 2},
  ]},
  {dense = "classes"}, "softmax",
]
recipe = {epochs = 3, loss = "rmse", patience = 2, penalty = {strength = 0.1, p = 1}}
quantise = {weights = "6,conv1=4", activations = 5}
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="net.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def network_of(net: nets.Net, shape=(28, 28, 1), classes=10) -> Network:
    return net.network(shape, classes, np.random.default_rng(3))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_nets_are_what_they_were(name):
    """The layers and recipes that lecture and lenet always had, and the same first weights."""
    make, recipe = SHIPPED[name]
    net = nets.load(name)
    assert net.recipe == recipe and net is nets.NETS[name] and net.name == name
    expected = Network(make(), (28, 28, 1), np.random.default_rng(3))
    network = network_of(net)
    assert [layer.kind for layer in network.layers] == [layer.kind for layer in expected.layers]
    np.testing.assert_array_equal(network.vector, expected.vector)


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    network = network_of(nets.NETS[name])
    assert (network.params, network.macs, network.out_shape) == (*SIZES[name], (1, 1, 10))
    assert network_of(nets.NETS[name], (20, 24, 3), 7).out_shape == (1, 1, 7)
    assert nets.NETS.keys() == SIZES.keys()
    with open(artifact.ZOO / f"{name}.toml", encoding="utf-8") as file:
        comment = file.readline()
    assert f"{network.params:,} parameters, {network.macs:,} multiplications" in comment


def test_every_layer_can_be_written():
    """All but `Function`, whose code is given in Python; and a layer's arguments are all typed."""
    classes = {
        value for value in vars(layers).values() if inspect.isclass(value) and issubclass(value, Layer)
    }
    assert set(LAYERS.values()) == classes - {Function}
    document = tomllib.loads(ALL)["layers"]
    assert {entry if isinstance(entry, str) else next(iter(entry)) for entry in document} | {
        "batchnorm"
    } == LAYERS.keys()
    for kind, layer in LAYERS.items():
        hints = typing.get_type_hints(layer.__init__)
        parameters = inspect.signature(layer).parameters
        assert all(name in hints for name in parameters), kind
        assert not parameters.keys() & LAYERS.keys(), kind
    assert options(typing.get_type_hints(Conv.__init__)["kernel"]) == (int, tuple[int, int])


def test_all_arguments(written):
    net = nets.load(written(ALL, "a_1.toml"))
    assert net.name == "a_1"
    assert net.recipe == Recipe(epochs=3, loss="rmse", patience=2, penalty=Penalty(0.1, 1))
    assert net.weights == Widths(6, {"conv1": 4}) and net.activations == Widths(5)
    expected = Network(
        [
            Grey("average"),
            Reduce([[Fraction(1, 3), 0.5], [-1, 2]], 1, convolve=True),
            Reduce(2, padding=((0, 1), (1, 0))),
            Conv(6, (3, 2), 2, "same", bias=None),
            Conv(6, 3, 1, (1, 2), dilation=(1, 2), groups=3, bias="pixel"),
            Depthwise(2, multiplier=2), Sigmoid(), Sigmoid(QFormat(6, 2)), layers.Tanh(), layers.ReLU(),
            layers.Identity(), LeakyReLU(0.1, QFormat(9, 3)), LeakyReLU(),
            Pool("sum", 2, (1, 2)),
            Dropout(), Dropout(0.2),
            layers.Residual(
                [
                    Conv(12, 3, 2, "same", bias=None), layers.BatchNorm(), layers.ReLU(),
                    layers.Residual([layers.BatchNorm(0.001)]),
                ],
                [Conv(12, 1, 2)],
            ),
            Dense(5), layers.Softmax(),
        ],
        (20, 24, 3), np.random.default_rng(3),
    )  # fmt: skip
    network = network_of(net, (20, 24, 3), 5)
    np.testing.assert_array_equal(network.vector, expected.vector)
    for (layer, _), (other, _) in zip(flow(network.layers), flow(expected.layers), strict=True):
        assert type(layer) is type(other) and layer.out_shape == other.out_shape
        for key in ("index", "slope", "rate", "mode", "divisor", "bias", "seed", "epsilon"):
            assert getattr(layer, key, None) == getattr(other, key, None)
    images = np.random.default_rng(1).integers(0, 256, (3, 20, 24, 3)).astype(np.uint8)
    np.testing.assert_array_equal(network.logits(images), expected.logits(images))


def test_a_net_in_four_lines(written):
    net = nets.load(written('layers = [\n  {conv = 6, kernel = 5}, "relu",\n  {dense = "classes"},\n]\n'))
    assert net.recipe == Recipe(epochs=15) and net.weights == net.activations == Widths()
    assert network_of(net, (9, 8, 2), 4).out_shape == (1, 1, 4)
    # New layers each time: a layer belongs to one network.
    assert not set(map(id, net.layers(2))) & set(map(id, net.layers(2)))


PYTHON = """
import numpy as np
from model.layers import Conv, Dense, Function
from model.training.recipe import Recipe

def layers(classes):
    softplus = Function("softplus", lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + np.exp(-x)))
    return [Conv(4, 3), softplus, Dense(classes)]

recipe = Recipe(epochs=2)
"""


def test_a_net_in_python(written):
    net = nets.load(written(PYTHON, "mine.py"))
    assert net.name == "mine" and net.recipe == Recipe(epochs=2) and net.weights == Widths()
    assert [layer.kind for layer in network_of(net).layers] == ["conv", "function", "dense"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("layers = 3", "defines no function layers(classes)"),
        ("def layers(classes): return 3", "defines no function layers(classes)"),
        ("def layers(classes): return [3]", "defines no function layers(classes)"),
        ("\n1 / 0", ", line 2: ZeroDivisionError: division by zero"),
        ("def layers(): return []", "TypeError"),
        ("def layers(classes):\n  x()", ", line 2: NameError: name 'x' is not defined"),
        ("def layers(", "SyntaxError"),
        (f"{PYTHON}\nrecipe = 3", "recipe is a Recipe, not 3"),
        (f"{PYTHON}\nweights = 3", "weights is a Widths, not 3"),
    ],
)
def test_python_errors(text, message, written):
    with pytest.raises(ValueError) as error:
        nets.load(written(text, "mine.py"))
    assert message in str(error.value) and "mine.py" in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("layers = [", "no TOML: "),
        ("", "it has no layers; write layers = [...]"),
        ("layers = []", "it has no layers"),
        ('layers = "relu"', "layers is a list of layers, not 'relu'"),
        ('layers = ["relu"]\nrecipe = 3', "recipe is a table, [recipe], not 3"),
        ('layers = ["relu"]\nlayer = 3', "unknown 'layer'; there are layers, recipe, quantise"),
        ('layers = ["relu", "conf"]', "layer 2: 'conf' names no layer; there are grey, reduce, conv,"),
        ("layers = [{}]", "layer 1: {} names no layer; there are"),
        ("layers = [{con = 3, kernel = 3}]", "names no layer; there are"),
        ('layers = [{conv = 3, kernel = 3, relu = ""}]', "names no layer"),
        ("layers = [3]", 'layer 1 is written like "relu" or {conv = 6, kernel = 5}, not 3'),
        ('layers = ["conv"]', "layer 1 (conv): its channels is written {conv = ...}"),
        ("layers = [{conv = 3, channels = 3}]", "layer 1 (conv): its channels is written {conv = ...}"),
        ("layers = [{relu = 3}]", 'layer 1 (relu): it takes nothing; write "relu"'),
        ("layers = [{conv = 3}]", "layer 1 (conv): 'kernel' is missing"),
        ("layers = [{residual = ['relu', 3]}]", "layer 1 (residual): body: layer 2 is written like"),
        ("layers = [{residual = []}]", "layer 1 (residual): a residual addition needs at least one layer"),
        ("layers = [{residual = 'relu'}]", "layer 1 (residual): body is a list of layers, not 'relu'"),
        ("layers = [{residual = ['relu'], shortcut = ['tan']}]", "shortcut: layer 1: 'tan' names no layer"),
        (f"layers = [{'{residual = [' * 150}'relu'{']}' * 150}]", "nested too deeply"),
        ("layers = [{conv = 0, kernel = 1}]", "layer 1 (conv): conv needs at least 1 output channel, not 0"),
        ("layers = [{conv = 3.0, kernel = 1}]", "layer 1 (conv): channels is a whole number, not 3.0"),
        ("layers = [{conv = true, kernel = 1}]", "layer 1 (conv): channels is a whole number, not True"),
        (
            "layers = [{conv = 'class', kernel = 1}]",
            "layer 1 (conv): channels is a whole number, not 'class'",
        ),
        ("layers = [{conv = 2, kernel = 'classes'}]", "kernel is a whole number or [a whole number, a whole"),
        ("layers = [{conv = 2, kernel = [1, 2, 3]}]", "kernel is a whole number or"),
        (
            "layers = [{conv = 2, kernel = 1, pading = 1}]",
            "unknown 'pading'; there are channels, kernel, stride",
        ),
        (
            "layers = [{conv = 2, kernel = 1, bias = 'row'}]",
            "one a 'channel', one a 'pixel', or None, not 'row'",
        ),
        (
            "layers = [{conv = 2, kernel = 1, padding = 'smae'}]",
            "padding is 'valid' or 'same' or a whole number",
        ),
        (
            "layers = [{conv = 2000000, kernel = 1}]",
            "numbers lie between -1,000,000 and 1,000,000; 2000000 does",
        ),
        ("layers = [{conv = 2, kernel = [1, 2000000]}]", "kernel: numbers lie between"),
        (f"layers = [{{dense = 0x{'f' * 9000}}}]", "channels: numbers lie between"),
        ("layers = [{dropout = nan}]", "layer 1 (dropout): rate is a number, not nan"),
        ("layers = [{dropout = 1}]", "layer 1 (dropout): a share of 0 to below 1 can be left out, not 1.0"),
        (
            "layers = [{pool = 'mean', kernel = 2}]",
            "layer 1 (pool): pooling is one of max, avg, sum, not 'mean'",
        ),
        ("layers = [{reduce = [['1/0']]}]", "a text like '1/3', not [['1/0']]"),
        ("layers = [{reduce = [[1, 2], [3]]}]", "a reduction has a size, or rows of equally many weights"),
        ("layers = [{reduce = 1000000}]", "a reduction has a size, or rows"),
        ("layers = [{sigmoid = {width = 8}}]", "layer 1 (sigmoid): index: 'frac' is missing"),
        ("layers = [{sigmoid = 3}]", "index is a table of width, frac, signed or 'none', not 3"),
        (
            "layers = [{tanh = {width = 13, frac = 1}}]",
            "layer 1 (tanh): a table is indexed by at most 12 bits",
        ),
        (
            "layers = ['relu']\n[recipe]\nepoch = 3",
            "[recipe]: unknown 'epoch'; there are epochs, batch, optimiser",
        ),
        ("layers = ['relu']\n[recipe]\nepochs = '3'", "[recipe]: epochs is a whole number, not '3'"),
        ("layers = ['relu']\n[recipe.augment]\nrotation = -3", "augment: rotation is a number from 0"),
        (
            "layers = ['relu']\n[recipe.penalty]\nstrength = -3",
            "penalty: the strength of a penalty is a number",
        ),
        ("layers = ['relu']\n[quantise]\nweights = 'many'", "[quantise]: widths are written like 8 or"),
        ("layers = ['relu']\n[quantise]\nweights = 99", "[quantise]: widths lie between"),
        (
            "layers = ['relu']\n[quantise]\nbits = 9",
            "[quantise]: unknown 'bits'; there are weights, activations",
        ),
        (f"layers = [{'[' * 9000}]", "nested too deeply"),
        (f"layers = [{'1,' * 20000}]", "a net's description has at most 32,768 bytes"),
        (
            f'layers = [{chr(34)}relu", {chr(34)}{"x" * 9000}"]',
            "layer 2: 'xxxxxxxxxxxx...xxxxxxxxxxxxx' names",
        ),
        ("layers = [" + '"relu",' * 257 + "]", "layer 257: a net's description has at most 256 layers"),
    ],
)
def test_refusals(text, message, written):
    path = written(text)
    with pytest.raises(ValueError) as error:
        nets.load(path)
    assert str(error.value).startswith(path) and message in str(error.value)
    assert len(str(error.value)) < len(path) + 300 and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.toml", "", "..", "a\0.toml", "lenet.npz", "LENET"])
def test_unknown_nets(name):
    with pytest.raises(ValueError, match="shipped nets large, lecture, lenet, record, tiny"):
        nets.load(name)


def test_names_of_files(written):
    with pytest.raises(ValueError, match=r"the name 'my-net' is not a letter .*; rename the file"):
        nets.load(written('layers = ["relu"]', "my-net.toml"))


def test_no_text(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"layers = ['\xff']")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        nets.load(str(tmp_path / "a.toml"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("layers = [{conv = 3, kernel = 30}]", "net 'net' does not fit the images: layer 'conv1': a window"),
        ("layers = [{dense = 1000000}]", "layer 'dense1': it would have 785,000,000 weights; 16,777,216"),
        ("layers = [{conv = 9999, kernel = 1}]", "layer 'conv1': 7,839,216 values; 4,194,304 are possible"),
        (
            "layers = [{conv = 1, kernel = 1}]\n[quantise]\nweights = '8,conv2=4'",
            "no layer 'conv2' has weights",
        ),
        ("layers = [{conv = 1, kernel = 1}, 'grey']", "layer 'grey1': "),
    ],
)
def test_what_does_not_fit(text, message, written):
    net = nets.load(written(text))
    with pytest.raises(ValueError) as error:
        network_of(net)
    assert message in str(error.value)


def attempt(path, text: bytes) -> bool:
    """Whether a description can be read and fits MNIST; anything but a refusal in one line escapes."""
    path.write_bytes(text)
    try:
        network_of(nets.load(str(path)))
    except ValueError as error:
        assert str(error).isprintable() or "\n" not in str(error), error
        return False
    return True


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "net.toml"


@given(
    st.lists(st.tuples(st.integers(0, len(ALL) - 1), st.integers(0, 3), st.binary(max_size=3)), max_size=6),
    st.sampled_from([ALL, *(path.read_text(encoding="utf-8") for path in artifact.ZOO.glob("*.toml"))]),
)
def test_damaged_descriptions(fuzzed, edits, text):
    text = text.encode()
    for place, cut, new in edits:
        text = text[:place] + new + text[place + cut :]
    attempt(fuzzed, text)


VALUES = st.recursive(
    st.sampled_from(
        ["0", "-1", "2", "3", "7", "1000000", "0x7fffffffffffffffffff", "0.5", "-1e300", "nan", "inf"]
    )
    | st.sampled_from(
        ['"classes"', '"same"', '"max"', '"1/3"', '"none"', '"pixel"', "true", "1979-05-27", '""']
    )
    | st.sampled_from(
        ["{strength = 1}", "{rotation = 3}", "{width = 8, frac = 3}", '"relu"', "{conv = 2, kernel = 1}"]
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    max_leaves=5,
)
PARAMETERS = sorted({name for layer in LAYERS.values() for name in inspect.signature(layer).parameters})


@st.composite
def entries(draw):
    kind = draw(st.sampled_from(sorted(LAYERS)))
    names = list(inspect.signature(LAYERS[kind]).parameters)[1:] or PARAMETERS
    keys = draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
    return f"{{{', '.join(f'{key} = {draw(VALUES)}' for key in [kind, *keys])}}}"


@given(st.lists(entries(), min_size=1, max_size=3))
def test_random_layers(fuzzed, layers):
    attempt(fuzzed, f"layers = [{', '.join(layers)}]".encode())


@given(st.dictionaries(st.sampled_from([*inspect.signature(Recipe).parameters, "x"]), VALUES))
def test_random_recipes(fuzzed, items):
    lines = "\n".join(f"{key} = {value}" for key, value in items.items())
    attempt(fuzzed, f"layers = ['relu']\n[recipe]\n{lines}".encode())


def test_the_fuzzer_reaches_nets(fuzzed):
    """It would prove little if nothing that it tries could be read."""
    assert attempt(
        fuzzed, b'layers = [{conv = 2, kernel = [2, 3], padding = [[1, 0], [0, 1]]}, {dense = "classes"}]'
    )


QUOTES = ['""', "\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb", "''", "\u2018\u2019", "\u2032\u2032"]
SPACES = [" ", "\u00a0", "\u202f", "\u2009", "\u3000", " \u200b", "\t"]
CODECS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@given(
    st.sampled_from([ALL, *(path.read_text(encoding="utf-8") for path in artifact.ZOO.glob("*.toml"))]),
    st.sampled_from(QUOTES),
    st.sampled_from(SPACES),
    st.sampled_from(["\n", "\r", "\r\n", "\u2028", "\u0085"]),
    st.sampled_from(CODECS),
)
def test_text_as_editors_write_it(fuzzed, text, quotes, space, end, codec):
    """Or word processors and web pages: marks of byte order, curly quotes, no-break spaces, ends of lines."""
    fuzzed.write_text(text, encoding="utf-8")
    plain = parse(fuzzed)
    first, *parts = text.split('"')
    edited = first + "".join(quotes[index % 2] + part for index, part in enumerate(parts))
    edited = edited.replace(" ", space).replace("\n", end)
    fuzzed.write_bytes((codec[-2:] in ("le", "be")) * "\ufeff".encode(codec) + edited.encode(codec))
    assert parse(fuzzed) == plain
