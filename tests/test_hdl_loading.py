"""Weights written at run time: second sets, damaged sets, sets of other nets, frames round them."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import cycle
from operator import itemgetter

import numpy as np
import pytest
from amaranth.hdl import Const, Module, ResetInserter, Signal
from amaranth.sim import Simulator

from hdl.devices.device import PORTABLE
from hdl.folding.layer import BIAS_WIDTH, MOST_SHIFT, Folding, LoadableFolding
from hdl.folding.net import Plan, weighted
from hdl.folding.stage import StagePlan
from hdl.loadable.loader import CRC, Loader
from hdl.loadable.loading import LAYOUT_BYTES, Loads, check_compatible, layout, sized, weight_set
from hdl.loadable.loadrom import COLUMN, GROUP, LINK, LoadRom, Share
from hdl.network import Accelerator
from load_sim import Send, expected, retrained, run
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.golden.spec import WeightedSpec
from model.layers import ConvSpec, DenseSpec, ResidualSpec
from random_nets import NetDrawer

KINDS = "conv", "general", "pool", "table", "requant", "residual"


def drawn(seed, layers=3, largest=5, inner=KINDS):
    """A net, its retrained other, a loadable plan for both, and the drawer."""
    drawer = NetDrawer(seed)
    net = drawer.net(drawer.integer(1, layers), largest=largest, inner=inner)
    plan = drawer.plan(net, shares=False)
    shifted = any(spec.shifts.any() for spec in weighted(net))
    plan = replace(plan, weights="scaled" if shifted else "loadable")
    return net, retrained(net, seed, MOST_SHIFT if plan.weights == "scaled" else 0), plan, drawer


def quick(values, some):
    """Parameters of a test, of which all but some are for the slow run."""
    return [value if value in some else pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("seed", quick(range(16), range(4)))
def test_second_set_gives_its_golden_answers(seed):
    """Frames run on without a pause while the set comes; each is answered by one set or the other, whole."""
    net, other, plan, drawer = drawn(2000 + seed)
    check_compatible(net, other, plan)
    images = drawer.images(net, 8)
    sends = [Send(weight_set(other, plan), after=2), Send(weight_set(net, plan), after=5)]
    log = run(Accelerator(net, plan), images, sends, stalls=(0.0, 0.2)[seed % 2], seed=seed)
    np.testing.assert_array_equal(log.logits, expected(log, [net, other, net], images))
    assert log.whole == [1, 1]


def small():
    """A net of a convolution in groups, with biases by pixel and shifts, and a dense layer."""
    rng = np.random.default_rng(5)
    src, fmt = QFormat(4, 0, False), QFormat(4, 3)
    conv = dict(
        name="conv", in_shape=(3, 3, 2), src=src, weights=rng.integers(-8, 8, (2, 2, 1, 4)),
        weight_format=fmt, bias=rng.integers(-40, 40, (2, 2, 4)), groups=2, shifts=np.array([0, 2, 1, 0]),
    )  # fmt: skip
    conv = ConvSpec(**conv, dst=QFormat(6, 1))
    dense = dict(
        name="dense", in_shape=conv.out_shape, src=conv.dst, weights=rng.integers(-8, 8, (16, 3)),
        weight_format=fmt, bias=rng.integers(-99, 99, 3), shifts=np.array([1, 0, 3]),
    )  # fmt: skip
    exact = DenseSpec(**dense, dst=src).accumulator
    net = QNetwork("small", src, (conv, DenseSpec(**dense, dst=exact)))
    return net, Plan({"conv": StagePlan(2, 2), "dense": StagePlan(4, 3)}, "scaled")


NET, PLAN = small()
OTHER = retrained(NET, 1, MOST_SHIFT)
SET = weight_set(OTHER, PLAN)
IMAGES = NetDrawer(3).images(NET, 3)


def ready_after(damaged: bytes, keep: bool = True) -> bool:
    """Whether a core is ready after a set that is not to be used.

    It comes while a frame is under way. A ready core answers the next frame by the old weights; another takes
    no frame before a right set is in. Every answer is asserted.
    """
    core = Accelerator(NET, PLAN)
    log = run(core, IMAGES, [Send(damaged, 1, keep), Send(SET)], waits=[0, 1, 2], settle=100)
    ready = bool(log.whole[0])
    assert log.epochs == [0, 0 if ready else 1, 1]
    np.testing.assert_array_equal(log.logits, expected(log, [NET, OTHER], IMAGES))
    assert log.whole[1] == 1
    return ready


@pytest.mark.parametrize("place", quick(range(LAYOUT_BYTES), (0, LAYOUT_BYTES - 1)))
def test_damaged_beginning_changes_nothing(place):
    damaged = bytearray(SET)
    damaged[place] ^= 1 << place
    assert ready_after(bytes(damaged))


@pytest.mark.parametrize("start", quick(range(LAYOUT_BYTES, LAYOUT_BYTES + 9), (LAYOUT_BYTES,)))
def test_damaged_byte(start):
    def flipped(place, whole):
        return whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]

    check_recovery(partial(flipped, place) for place in range(start, len(SET), 9))


def check_recovery(spoilers: Iterable[Callable[[bytes], bytes]]) -> None:
    """Load after load, every other one spoilt: a frame that comes behind it waits for the next."""
    rights, sends = [], []
    for spoil, right in zip(spoilers, cycle([OTHER, NET])):
        whole = weight_set(right, PLAN)
        sends += [Send(spoil(whole)), Send(whole)]
        rights.append(right)
    images = NetDrawer(4).images(NET, len(rights))
    waits = [2 * n + 1 for n in range(len(rights))]
    log = run(Accelerator(NET, PLAN), images, sends, waits=waits, settle=100)
    assert log.whole == [0, 1] * len(rights)
    assert log.epochs == list(range(1, len(rights) + 1))
    np.testing.assert_array_equal(log.logits, expected(log, [NET, *rights], images))


LENGTHS = [0, 1, 7, 8, 9, 20, len(SET) // 2, len(SET) - 5, len(SET) - 4, len(SET) - 1]


@pytest.mark.parametrize("length", quick(LENGTHS, (7, 8, len(SET) // 2, len(SET) - 1)))
def test_truncated_set(length):
    assert ready_after(SET[:length]) == (length <= LAYOUT_BYTES - 1)


def test_a_set_cut_off_at_any_byte():
    """In mid-word too: the whole set that follows is the one that counts."""
    check_recovery(itemgetter(slice(length)) for length in range(LAYOUT_BYTES + 1, LAYOUT_BYTES + 20))


def test_a_byte_lost_and_a_byte_too_many():
    assert not ready_after(SET[:30] + SET[31:] + b"\0")
    assert not ready_after(SET[:30] + b"\0" + SET[30:])


def test_set_that_nobody_keeps():
    assert not ready_after(SET, keep=False)


def test_what_follows_a_set_is_swallowed():
    images = IMAGES[[0, 0]]
    log = run(Accelerator(NET, PLAN), images, [Send(SET + bytes(50))], waits=[0, 1])
    assert (log.epochs, log.whole) == ([0, 1], [1])
    np.testing.assert_array_equal(log.logits, expected(log, [NET, OTHER], images))


def test_set_for_another_build_changes_nothing():
    other = weight_set(OTHER, replace(PLAN, stages={**PLAN.stages, "conv": StagePlan(4, 1)}))
    log = run(Accelerator(NET, PLAN), IMAGES, [Send(other, after=1)], waits=[0, 0, 1])
    assert (log.epochs, log.whole, log.foreign, log.bad) == ([0, 0, 0], [1], [1], [0])
    np.testing.assert_array_equal(log.logits, NET.logits(IMAGES))


def test_memories_begin_with_the_nets_own_set():
    log = run(Accelerator(NET, PLAN), IMAGES, [Send(weight_set(NET, PLAN), after=2)], waits=[0, 0, 1])
    assert log.epochs == [0, 0, 1]
    np.testing.assert_array_equal(log.logits, NET.logits(IMAGES))


def test_a_set_is_its_layout_its_words_and_their_crc():
    assert SET[:LAYOUT_BYTES] == layout(NET, PLAN) == layout(OTHER, PLAN)
    assert int.from_bytes(SET[-4:], "little") == zlib.crc32(SET[:-4])
    at = LAYOUT_BYTES
    for share in Loads.of(sized(OTHER, PLAN), PLAN).shares.values():
        for word in share.words:
            columns = [SET[at + n * share.column_bytes :][: share.column_bytes] for n in range(share.columns)]
            assert word == sum(
                int.from_bytes(column, "little") << COLUMN * n for n, column in enumerate(columns)
            )
            at += share.columns * share.column_bytes
    assert at == len(SET) - 4


def test_reset_in_mid_load_leaves_the_core_not_ready():
    """Memories keep what a load has overwritten, and so the core must keep that they hold no set."""
    core = Accelerator(NET, PLAN)
    reset = Signal()
    simulator = Simulator(ResetInserter(reset)(core))
    simulator.add_clock(1e-6)
    seen = []

    async def bench(ctx):
        async def send(data):
            for index, byte in enumerate(data):
                ctx.set(core.load.payload, {"data": byte, "first": index == 0})
                ctx.set(core.load.valid, 1)
                ready = False
                while not ready:
                    _, _, ready = await ctx.tick().sample(core.load.ready)
            ctx.set(core.load.valid, 0)
            await ctx.tick().repeat(100)
            ctx.set(reset, 1)
            await ctx.tick().repeat(2)
            ctx.set(reset, 0)
            await ctx.tick().repeat(2)
            seen.append(ctx.get(core.whole))

        ctx.set(core.keep, 1)
        for data in (b"", SET[:7], SET[:30], SET):
            await send(data)

    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [1, 1, 0, 1]


SHAPES = [
    (3, 1),
    (1, 5),
    (8, 4),
    (9, 3),
    (31, 2),
    (32, 7),
    (33, 2),
    (70, 5),
    (COLUMN * GROUP + 3, 2),
    (40, 1),
]


def chained(shapes, latency=None, made=LoadRom):
    """Contents of a chain of memories before and after a set, each of its copies read."""
    rng = np.random.default_rng(0)
    first, second = (
        [
            Share(
                f"s{n}",
                width,
                tuple(int.from_bytes(rng.bytes(99), "big") >> (792 - width) for _ in range(depth)),
            )
            for n, (width, depth) in enumerate(shapes)
        ]
        for _ in range(2)
    )
    m = Module()
    roms = [made(share, PORTABLE, 1 + n % 2) for n, share in enumerate(first)]
    link = Signal(LINK)
    for n, rom in enumerate(roms):
        m.submodules[f"rom{n}"] = rom
        m.d.comb += rom.i.eq(roms[n - 1].o if n else link)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    found = []

    async def bench(ctx):
        async def read():
            contents = []
            for rom in roms:
                for copy in range(rom.copies):
                    words = []
                    for address in range(len(rom.share.words)):
                        ctx.set(rom.addr[copy], address)
                        await ctx.tick().repeat(rom.latency)
                        words.append(ctx.get(rom.data[copy]))
                    contents.append(tuple(words))
            found.append(contents)

        await read()
        ctx.set(link, {"start": 1, "valid": 0, "data": 0})
        await ctx.tick()
        for byte in b"".join(share.encode() for share in second):
            if rng.random() < 0.1:
                ctx.set(link, {"start": 0, "valid": 0, "data": 255})
                await ctx.tick()
            ctx.set(link, {"start": 0, "valid": 1, "data": byte})
            await ctx.tick()
        ctx.set(link, {"start": 0, "valid": 0, "data": 0})
        for _ in range(sum(share.latency for share in first) if latency is None else latency):
            await ctx.tick()
        await read()

    simulator.add_testbench(bench)
    simulator.run()
    wanted = [[s.words for n, s in enumerate(shares) for _ in range(1 + n % 2)] for shares in (first, second)]
    return found, wanted


def test_chain_of_memories():
    found, wanted = chained(SHAPES)
    assert found == wanted


@pytest.mark.parametrize("shape", SHAPES)
def test_one_memory(shape):
    found, wanted = chained([shape])
    assert found == wanted


def test_reading_too_early_is_noticed():
    """The mutant of the settling time."""
    found, wanted = chained([(COLUMN * GROUP + 3, 1)], latency=0)
    assert found[0] == wanted[0] and found[1] != wanted[1]


class Impatient(Loader):
    """Does not wait for the frame that is under way."""

    def elaborate(self, platform):
        self.idle = Const(1)
        return super().elaborate(platform)


class Eager(Loader):
    """Lets frames in while a set comes in."""

    def elaborate(self, platform):
        self.hold = Signal()
        return super().elaborate(platform)


class Credulous:
    """A CRC that always matches."""

    def create(self):
        crc = CRC().create()
        elaborate = crc.elaborate
        crc.match_detected = Signal(init=1)

        def mutated(platform):
            crc.match_detected = Signal()
            return elaborate(platform)

        crc.elaborate = mutated
        return crc


@pytest.mark.parametrize(
    ("name", "mutant"),
    [("network.Loader", Impatient), ("network.Loader", Eager), ("loadable.loader.CRC", Credulous)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_mutants_of_the_loader_fail(name, mutant, monkeypatch):
    damaged = SET[:40] + bytes([SET[40] ^ 4]) + SET[41:]
    assert not ready_after(damaged)
    monkeypatch.setattr(f"hdl.{name}", mutant)
    with pytest.raises(AssertionError):
        ready_after(damaged)


class Narrow(LoadableFolding):
    """Sums as wide as the first set needs them, and no wider."""

    def __init__(self, spec, plan, *, scaled):
        super().__init__(spec, plan, scaled=scaled)
        self.accumulator = QFormat(10, self.accumulator.frac)
        self.aligned = QFormat(10 + MOST_SHIFT, self.accumulator.frac)


def test_narrow_sums_are_noticed(monkeypatch):
    """A set of large weights after one of small: the widths must not follow from the first."""
    quiet = [replace(spec, weights=spec.weights * 0 + 1, bias=spec.bias * 0) for spec in NET.specs]
    quiet[1] = replace(quiet[1], dst=quiet[1].accumulator)
    net = QNetwork("quiet", NET.input_format, tuple(quiet))
    assert max(Folding(spec, PLAN.stages[spec.name]).accumulator.width for spec in net.specs) <= 11
    loud = retrained(net, 3, MOST_SHIFT)

    def right():
        sends = [Send(weight_set(loud, PLAN))]
        log = run(Accelerator(net, PLAN), IMAGES, sends, waits=[1, 1, 1])
        return np.array_equal(log.logits, loud.logits(IMAGES))

    assert right()
    monkeypatch.setattr("hdl.folding.net.LoadableFolding", Narrow)
    assert not right()


def test_wide_biases_and_shifts_are_refused_by_layer():
    dense = NET.specs[1]
    bias = dense.bias.copy()
    bias[2] = 1 << BIAS_WIDTH - 1
    wide = QNetwork("wide", NET.input_format, (NET.specs[0], replace(dense, bias=bias, dst=QFormat(20, 9))))
    with pytest.raises(ValueError, match=r"'dense'.*bias.*16 bits"):
        weight_set(wide, PLAN)
    far = replace(NET.specs[0], shifts=np.array([0, MOST_SHIFT + 1, 0, 0]))
    with pytest.raises(ValueError, match=r"'conv'.*shift is 8 bits.*up to 7"):
        weight_set(QNetwork("far", NET.input_format, (far, dense)), PLAN)
    with pytest.raises(ValueError, match=r"'conv'.*up to 0"):
        weight_set(NET, replace(PLAN, weights="loadable"))
    with pytest.raises(ValueError, match="--weights loadable"):
        weight_set(NET, replace(PLAN, weights="fixed"))


def differing():
    """Nets that a core cannot be loaded with, and what says why."""
    conv, dense = NET.specs
    kernels = replace(conv, weights=conv.weights[..., :2], bias=conv.bias[..., :2], shifts=conv.shifts[:2])
    half = replace(dense, in_shape=kernels.out_shape, weights=dense.weights[:8])
    yield "fewer kernels", (kernels, half), "'conv'.*shape of weights is .2, 2, 1, 2.*the core's .2, 2, 1, 4"
    yield "a bias by channel", (replace(conv, bias=conv.bias[0, 0]), dense), "'conv'.*shape of bias"
    yield (
        "a wider weight",
        (conv, replace(dense, weight_format=QFormat(5, 3))),
        "'dense'.*weight_format is s5.0",
    )
    yield "another name", (replace(conv, name="c"), dense), "'c'.*core has conv 'conv'"


@pytest.mark.parametrize(("specs", "message"), [pytest.param(*rest, id=name) for name, *rest in differing()])
def test_what_is_not_compatible_is_refused_by_layer(specs, message):
    net = QNetwork("odd", NET.input_format, specs)
    with pytest.raises(ValueError, match=message) as caught:
        check_compatible(NET, net, PLAN)
    assert "\n" not in str(caught.value)


def test_layers_put_together_otherwise_are_refused():
    src = QFormat(4, 0)
    fields = dict(
        in_shape=(2, 2, 1), src=src, dst=src, weights=np.ones((1, 1, 1, 1), int), bias=np.zeros(1, int)
    )
    one, two = (ConvSpec(name=name, weight_format=QFormat(3, 0), **fields) for name in "ab")
    nets = [
        QNetwork(
            "r", src, (ResidualSpec(name="r", in_shape=(2, 2, 1), src=src, dst=src, body=a, shortcut=b),)
        )
        for a, b in (((one, two), ()), ((one,), (two,)))
    ]
    plan = Plan.serial(nets[0]).made_loadable(nets[0])
    check_compatible(nets[0], nets[0], plan)
    with pytest.raises(ValueError, match="together otherwise"):
        check_compatible(*nets, plan)


def test_logits_keep_their_integers_and_their_format_hangs_on_no_value():
    one, two = sized(NET, PLAN), sized(OTHER, PLAN)
    assert NET.output_format != OTHER.output_format
    assert one.output_format == two.output_format
    np.testing.assert_array_equal(two.logits(IMAGES), OTHER.logits(IMAGES))
    fixed = replace(PLAN, weights="fixed")
    assert sized(NET, fixed) is NET
    assert type(fixed.folding(NET.specs[0])) is Folding


def rescaled(net, more):
    """A net whose weights have `more` fraction bits, by the layers' names."""

    def other(spec):
        if not isinstance(spec, WeightedSpec):
            return spec
        fmt = replace(spec.weight_format, frac=spec.weight_format.frac + int(more[spec.name]))
        exact = spec.dst == spec.accumulator
        spec = replace(spec, weight_format=fmt)
        return replace(spec, dst=spec.accumulator) if exact else spec

    return replace(net, specs=tuple(map(other, net.specs)))


@pytest.mark.parametrize("seed", quick(range(12), range(4)))
def test_weights_of_other_fraction_bits(seed):
    drawer = NetDrawer(3000 + seed)
    net = drawer.net(drawer.integer(1, 3), largest=4)
    plan = drawer.plan(net, shares=False).made_loadable(net)
    rng = np.random.default_rng(seed)
    finer = {spec.name: plan.fracs.get(spec.name, 9) - spec.weight_format.frac for spec in weighted(net)}
    more = {name: rng.integers(most - 2, most + 1) for name, most in finer.items()}
    other = rescaled(retrained(net, seed, 2), more)
    check_compatible(net, other, plan)
    images = drawer.images(net, 4)
    log = run(Accelerator(net, plan), images, [Send(weight_set(other, plan), after=2)], waits=[0, 0, 1, 1])
    np.testing.assert_array_equal(log.logits, expected(log, [net, other], images))


def test_weights_too_fine_are_refused_by_layer():
    plan = replace(PLAN, fracs={"conv": 4})
    check_compatible(NET, rescaled(NET, {"conv": 1, "dense": 5}), plan)
    with pytest.raises(ValueError, match=r"'conv': weights of 5 fraction bits are finer than the core's 4"):
        check_compatible(NET, rescaled(NET, {"conv": 2, "dense": 5}), plan)
    with pytest.raises(ValueError, match="fraction bits for 'cone'"):
        replace(PLAN, fracs={"cone": 4}).check(NET)


def test_lanes_without_inputs_are_part_of_the_set():
    """Lanes that the last fold has no inputs for: their weights stand in the set, and are zeros."""
    plan = replace(PLAN, stages={**PLAN.stages, "conv": StagePlan(3, 2)})
    share = Loads.of(sized(OTHER, plan), plan).shares["conv.weights"]
    assert (share.width, len(share.words)) == (4 * 3 * 2, 2 * 2)
    for step, word in enumerate(share.words):
        factors = [word >> 4 * lane & 15 for lane in range(6)]
        kernels = OTHER.specs[0].matrices[step // 2, 3 * (step % 2) :, :][:3].T & 15
        padded = np.pad(kernels, ((0, 0), (0, 3 - kernels.shape[1])))
        assert factors == padded.ravel().tolist()
    log = run(Accelerator(NET, plan), IMAGES, [Send(weight_set(OTHER, plan))], waits=[1, 1, 1])
    np.testing.assert_array_equal(log.logits, OTHER.logits(IMAGES))


def test_layers_that_share_multipliers_are_refused():
    stages = {name: replace(stage, array="a") for name, stage in PLAN.stages.items()}
    shared = Plan(stages)
    shared.check(NET)
    with pytest.raises(ValueError, match="layer 'conv': it shares its multipliers with 'dense'"):
        shared.made_loadable(NET).check(NET)
    alone = replace(PLAN, stages={**PLAN.stages, "conv": stages["conv"]})
    assert weight_set(NET, alone) == weight_set(NET, PLAN)


def test_plans_keep_where_weights_are(tmp_path):
    for plan in (PLAN, replace(PLAN, fracs={"conv": 4})):
        plan.save(tmp_path / "plan.json")
        assert Plan.load(tmp_path / "plan.json", NET) == plan
    (tmp_path / "plan.json").write_text('{"stages": {"conv": {}, "dense": {}}, "weights": "carved"}')
    with pytest.raises(ValueError, match=r"plan\.json.*fixed, loadable, scaled, not 'carved'"):
        Plan.load(tmp_path / "plan.json", NET)
