"""Sets of weights over the serial line: the shell round a loadable core, and once the whole top."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

import stream_sim
from boards.catalogue import targets
from boards.link.protocol import FAILED, REPLY, Command, Error, Frame, Identity, Result, image_payload
from boards.link.weights import load_request
from boards.shell.design import Design
from boards.simulated.board import Pause, SimulatedBoard
from hdl.folding.net import Plan
from hdl.folding.stage import StagePlan
from hdl.network import Accelerator
from hdl.planning.search import search
from load_sim import retrained
from model.arithmetic.qformat import QFormat
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec
from random_nets import NetDrawer
from serial_shell import CLOCK, FakeCore, converse
from sim.bench.accelerator import Unloaded
from test_boards_top import BAUD, ENOUGH, TIMEOUT, play, tiny_net


def small() -> QNetwork:
    """One dense layer over six pixels."""
    rng = np.random.default_rng(2)
    fields = dict(
        name="dense",
        in_shape=(2, 3, 1),
        src=QFormat(4, 0, False),
        weights=rng.integers(-4, 4, (6, 2)),
        weight_format=QFormat(3, 0),
        bias=rng.integers(-9, 9, 2),
    )
    exact = DenseSpec(**fields, dst=QFormat(8, 0)).accumulator
    return QNetwork("small", fields["src"], (DenseSpec(**fields, dst=exact),))


NET = small()
OTHER = retrained(NET, 5)
PLAN = Plan({"dense": StagePlan(3, 2)}, "loadable")
IDENTITY = replace(
    Design.of(targets.find("ulx3s"), NET, PLAN).identity, net="small", board="test", clock_hz=int(CLOCK)
)
IMAGES = NetDrawer(8).images(NET, 4)
SET = load_request(OTHER, PLAN, IDENTITY, 50)
LOADED = Frame(REPLY | Command.LOAD, 50)


def core():
    """The accelerator, as `converse` takes it."""
    made = Accelerator(NET, PLAN)
    made.identity = IDENTITY
    return made


def request(image, tag, identity=IDENTITY) -> bytes:
    return Frame(Command.CLASSIFY, tag, image_payload(image, identity)).encode()


def check(answer, net, image, tag, identity=IDENTITY):
    """Asserts that a frame is the golden model's answer."""
    assert (answer.kind, answer.tag) == (REPLY | Command.CLASSIFY, tag)
    result = Result.decode(answer.payload, identity)
    assert result.logits == tuple(net.logits(image[None])[0])
    assert result.cls == net.classify(image[None])[0]


def error(code, kind, tag) -> Frame:
    return Frame(FAILED, tag, bytes([code, kind]))


WAIT = 4000
"""Cycles in which an image is answered."""


def test_second_set_and_back_again():
    back = load_request(NET, PLAN, IDENTITY, 50).encode()
    items = [
        request(IMAGES[0], 0),
        WAIT,
        SET.encode(),
        request(IMAGES[1], 1),
        WAIT,
        back,
        request(IMAGES[2], 2),
    ]
    found, skipped, _ = converse(core(), items)
    assert skipped == 0
    assert found[1] == found[3] == LOADED
    for answer, net, tag in zip(found[::2], (NET, OTHER, NET), range(3), strict=True):
        check(answer, net, IMAGES[tag], tag)


def damaged(place: int) -> bytes:
    wire = bytearray(SET.encode())
    wire[place] ^= 1 << place % 8
    return bytes(wire)


def rewritten(place: int) -> bytes:
    """A set damaged before it was sent: the CRC of its frame is right."""
    payload = bytearray(SET.payload)
    payload[place] ^= 1
    return Frame(Command.LOAD, 50, bytes(payload)).encode()


SIZE = len(SET.payload)
LOADS = {
    "first byte on the wire": (damaged(8), Error.BAD_CRC, True),
    "a byte of a weight": (damaged(8 + 12), Error.BAD_CRC, False),
    "last byte of the set": (damaged(7 + SIZE), Error.BAD_CRC, False),
    "CRC of the frame alone": (damaged(8 + SIZE), Error.BAD_CRC, False),
    "damaged file": (rewritten(20), Error.BAD_SET, False),
    "damaged checksum": (rewritten(SIZE - 1), Error.BAD_SET, False),
    "another build": (rewritten(3), Error.WRONG_BUILD, True),
    "too short": (Frame(Command.LOAD, 50, SET.payload[:-1]).encode(), Error.BAD_LENGTH, True),
    "too long": (Frame(Command.LOAD, 50, SET.payload + b"\0").encode(), Error.BAD_LENGTH, True),
    "cut off early": (SET.encode()[:12], Error.TIMEOUT, True),
    "cut off in the weights": (SET.encode()[:30], Error.TIMEOUT, False),
    "cut off before the last byte": (SET.encode()[:-1], Error.TIMEOUT, False),
}


QUICK = "a byte of a weight", "CRC of the frame alone", "damaged file", "another build"


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in LOADS if n not in QUICK)]
)
def test_bad_load_leaves_the_old_weights_or_none(name):
    wire, code, ready = LOADS[name]
    items = [request(IMAGES[0], 0), WAIT, wire, 1000, request(IMAGES[1], 1), WAIT]
    items += [SET.encode(), request(IMAGES[2], 2)]
    found, *_ = converse(core(), items)
    check(found[0], NET, IMAGES[0], 0)
    assert found[1] == error(code, Command.LOAD, 50)
    if ready:
        check(found[2], NET, IMAGES[1], 1)
    else:
        assert found[2] == error(Error.NOT_READY, Command.CLASSIFY, 1)
    assert found[3] == LOADED
    check(found[4], OTHER, IMAGES[2], 2)
    assert len(found) == 5


class Around(wiring.Component):
    """A core with loadable weights, and nothing changed."""

    def __init__(self):
        self.inner = core()
        self.beats, self.identity = self.inner.beats, IDENTITY
        super().__init__(self.inner.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = self.inner
        for name in self.signature.members:
            if name not in ("o", "keep"):
                outer, inner = getattr(wiring.flipped(self), name), getattr(self.inner, name)
                if isinstance(inner, Signal):
                    m.d.comb += outer.eq(inner)
                else:
                    wiring.connect(m, outer, inner)
        m.d.comb += [
            self.o.payload.eq(self.inner.o.payload),
            self.o.valid.eq(self.inner.o.valid & self.lets(m)),
            self.inner.o.ready.eq(self.o.ready & self.lets(m)),
            self.inner.keep.eq(self.keeps()),
        ]
        return m

    def lets(self, m):
        return 1

    def keeps(self):
        return self.keep


class Slow(Around):
    """Each answer comes some thousand cycles late."""

    def lets(self, m):
        late = Signal(12)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += late.eq(0)
        with m.Elif(self.inner.o.valid & (late != 4095)):
            m.d.sync += late.eq(late + 1)
        return late == 4095


class Hasty(Around):
    """Takes a set before the CRC of its frame was seen: a mutant."""

    def keeps(self):
        return 1


def test_load_is_refused_while_an_image_is_in_work():
    items = [request(IMAGES[0], 0), SET.encode(), 3 * WAIT, SET.encode(), request(IMAGES[1], 1), WAIT]
    found, *_ = converse(Slow(), items)
    assert found[0] == error(Error.BUSY, Command.LOAD, 50)
    check(found[1], NET, IMAGES[0], 0)
    assert found[2] == LOADED
    check(found[3], OTHER, IMAGES[1], 1)


def test_mutant_that_does_not_wait_for_the_crc_is_noticed():
    wire, *_ = LOADS["CRC of the frame alone"]
    items = [wire, 1000, request(IMAGES[1], 1)]
    answers = [converse(made(), items)[0][-1] for made in (Around, Hasty)]
    assert answers[0] == error(Error.NOT_READY, Command.CLASSIFY, 1)
    check(answers[1], OTHER, IMAGES[1], 1)


def test_identity_tells_what_is_taken():
    (answer,), *_ = converse(core(), [Frame(Command.IDENTIFY, 1).encode()], 12_000)
    identity = Identity.decode(answer.payload)
    assert identity == IDENTITY
    assert (identity.version, identity.set_bytes, identity.layout) == (3, SIZE, SET.payload[:8])
    fixed = Design.of(targets.find("ulx3s"), NET, Plan(PLAN.stages)).identity
    assert (fixed.version, fixed.set_bytes) == (3, 0)
    assert Identity.decode(fixed.encode()) == fixed
    assert len(fixed.encode()) == len(identity.encode())


def test_what_a_board_cannot_take_is_refused():
    fixed = replace(IDENTITY, set_bytes=0)
    with pytest.raises(ValueError, match="weights of test are fixed"):
        load_request(OTHER, PLAN, fixed)
    with pytest.raises(ValueError, match=r"'small5' do not fit test.*'small'"):
        load_request(OTHER, replace(PLAN, stages={"dense": StagePlan(2, 2)}), IDENTITY)
    wide = replace(NET.specs[0], weight_format=QFormat(4, 0))
    wide = QNetwork("wide", NET.input_format, (replace(wide, dst=wide.accumulator),))
    with pytest.raises(ValueError, match="'wide' do not fit test"):
        load_request(wide, PLAN, IDENTITY)
    with pytest.raises(ValueError, match=r"layer 'dense': its weight_format is s4.0, the core's s3.0"):
        load_request(wide, PLAN, IDENTITY, core=NET)
    assert load_request(OTHER, PLAN, IDENTITY, 50, NET) == SET


def test_rate_is_that_of_fixed_weights():
    """Without shifts every answer comes in the same cycle."""
    times = []
    for plan in (Plan(PLAN.stages), PLAN):
        core = Unloaded(Accelerator(NET, plan))
        answers, cycles = stream_sim.run(core, stream_sim.frames(NET, IMAGES), len(IMAGES))
        assert [list(answer.logits) for answer in answers] == NET.logits(IMAGES).tolist()
        times.append(cycles)
    assert times[0] == times[1]


def test_fixed_board_knows_no_load():
    found, *_ = converse(FakeCore(), [Frame(Command.LOAD, 9, bytes(20)).encode()])
    assert found == [error(Error.UNKNOWN_COMMAND, Command.LOAD, 9)]


@pytest.mark.slow
def test_through_the_pins_of_the_board():
    net = tiny_net()
    other = retrained(net, 4, 3)
    plan = search(net, shares=False).made_loadable(net)
    design = Design.of(targets.find("ulx3s"), net, plan, baud=BAUD, timeout=TIMEOUT)
    board, identity = SimulatedBoard(design), design.identity
    images = NetDrawer(1).images(net, 3)
    load = load_request(other, plan, identity, 50).encode()
    spoilt = bytearray(load)
    spoilt[len(load) // 2] ^= 16
    wait = Pause(400)
    items = [request(images[0], 0, identity), wait, load, request(images[1], 1, identity), wait]
    items += [bytes(spoilt), ENOUGH, request(images[1], 2, identity), load, request(images[2], 3, identity)]
    found, _ = play(board, *items)
    check(found[0], net, images[0], 0, identity)
    assert found[1] == found[5] == LOADED
    check(found[2], other, images[1], 1, identity)
    assert found[3:5] == [error(Error.BAD_CRC, Command.LOAD, 50), error(Error.NOT_READY, Command.CLASSIFY, 2)]
    check(found[6], other, images[2], 3, identity)
