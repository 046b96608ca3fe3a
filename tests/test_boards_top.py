"""The whole top of a board in Verilator, pin by pin: 25 MHz oscillator, PLL, serial line, LEDs."""

import dataclasses

import numpy as np
import pytest

from boards.catalogue import targets
from boards.link.protocol import (
    FAILED,
    REPLY,
    Command,
    Decoder,
    Error,
    Frame,
    Identity,
    Result,
    image_payload,
)
from boards.shell.design import Design
from boards.simulated.board import Broken, Button, Pause, SimulatedBoard
from hdl.planning import search
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.golden.qnetwork import QNetwork
from random_nets import NetDrawer

BAUD = 12_500_000
"""8 core cycles a bit: as fast as the receiver goes, so that a test is short."""
TIMEOUT = 4e-6
ENOUGH = Pause(round(3 * TIMEOUT * BAUD))
"""Longer than the timeout inside a frame."""


def tiny_net() -> QNetwork:
    """A convolution and a dense layer over two channels."""
    drawer = NetDrawer(7)
    pixels = QFormat(8, 8, False)
    conv = drawer.layer("conv", "conv", (5, 4, 2), pixels)
    dense = drawer.layer("dense", "dense", conv.out_shape, conv.dst, last=True)
    return QNetwork("tiny", pixels, (conv, dense))


def board_of(net: QNetwork, **options) -> SimulatedBoard:
    """A simulated ULX3S with a fast serial port."""
    design = Design.of(targets.find("ulx3s"), net, search.default(net), baud=BAUD, timeout=TIMEOUT, **options)
    return SimulatedBoard(design)


@pytest.fixture(scope="module")
def tiny() -> SimulatedBoard:
    return board_of(tiny_net())


@pytest.fixture(scope="module")
def images(tiny) -> np.ndarray:
    return NetDrawer(1).images(tiny.design.net, 6)


def request(board, image, tag=1) -> bytes:
    """A classify request."""
    return Frame(Command.CLASSIFY, tag, image_payload(image, board.design.identity)).encode()


def check(board, answer: Frame, image, tag=1) -> Result:
    """Asserts that an answer is the golden model's."""
    assert (answer.kind, answer.tag) == (REPLY | Command.CLASSIFY, tag)
    result = Result.decode(answer.payload, board.design.identity)
    net = board.design.net
    assert result.logits == tuple(net.logits(image[None])[0])
    assert result.cls == net.classify(image[None])[0]
    return result


def play(board, *items, **options):
    """Answers, and what the LEDs show at the end."""
    heard, decoder = board.play(items, **options), Decoder()
    found = decoder.feed(heard.data)
    assert heard.framing_errors == decoder.skipped == len(decoder.buffer) == 0
    return found, heard.final_leds


def test_lenet_answers_as_the_golden_model():
    net = artifact.load("lenet")
    board = board_of(net)
    images = np.random.default_rng(0).integers(0, 256, (3, *net.in_shape))
    wrong = bytearray(request(board, images[2], 5))
    wrong[400] ^= 1
    found, leds = play(
        board,
        Frame(Command.IDENTIFY, 3).encode(),
        request(board, images[0], 4),
        bytes(wrong),
        request(board, images[2], 6)[:-100],
        ENOUGH,
        np.random.default_rng(1).bytes(300),
        ENOUGH,
        request(board, images[1], 7),
        quiet=1000,
    )
    identify, first, *errors, last = found
    assert Identity.decode(identify.payload) == board.design.identity
    check(board, first, images[0], 4)
    assert [(frame.tag, frame.payload[0]) for frame in errors] == [(5, Error.BAD_CRC), (6, Error.TIMEOUT)]
    assert leds == check(board, last, images[1], 7).cls


def test_back_to_back(tiny, images):
    items = [request(tiny, image, tag) for tag, image in enumerate(images)]
    found, leds = play(tiny, *items)
    for tag, (answer, image) in enumerate(zip(found, images, strict=True)):
        result = check(tiny, answer, image, tag)
    assert leds == result.cls & 255


def test_cycles_are_those_of_the_simulated_accelerator(tiny, images):
    from sim.bench.accelerator import measure

    design = tiny.design
    figures = measure(design.net, design.plan, design.target.family)
    (answer,), _ = play(tiny, request(tiny, images[0]))
    assert check(tiny, answer, images[0]).cycles == figures.latency_cycles


@pytest.mark.parametrize("error", [-0.02, 0.02])
def test_sender_may_be_two_per_cent_off(tiny, images, error):
    found, _ = play(tiny, request(tiny, images[0]), baud=BAUD * (1 + error))
    check(tiny, found[0], images[0])


def test_bytes_without_stop_bits_spoil_their_frame_only(tiny, images):
    wire = request(tiny, images[0])
    spoilt = [wire[:20], Broken(wire[20:21]), wire[21:]]
    found, _ = play(tiny, *spoilt, Broken(bytes(9)), Pause(20), request(tiny, images[1], 2))
    assert found[0] == Frame(FAILED, 1, bytes([Error.BAD_CRC, Command.CLASSIFY]))
    check(tiny, found[1], images[1], 2)


def test_reset_in_mid_frame(tiny, images):
    wire = request(tiny, images[0])
    found, _ = play(tiny, wire[:20], Button(True), Pause(30), Button(False), Pause(30), wire)
    (answer,) = found
    check(tiny, answer, images[0])


def test_held_button_holds_the_board(tiny, images):
    found, leds = play(tiny, request(tiny, images[0]), Pause(2000), Button(True), request(tiny, images[1]))
    assert len(found) == 1
    assert leds == 0


@pytest.mark.parametrize("seed", range(4))
def test_noise(tiny, images, seed):
    rng = np.random.default_rng(seed)
    good = request(tiny, images[0], 99)
    damaged = bytearray(good * 4)
    for place in rng.integers(0, len(damaged), 6):
        damaged[place] ^= 1 << rng.integers(8)
    del damaged[rng.integers(len(damaged))]
    found, _ = play(tiny, rng.bytes(500), bytes(damaged), ENOUGH, request(tiny, images[1], 7))
    check(tiny, found[-1], images[1], 7)
    for answer in found[:-1]:
        if answer.kind != FAILED:
            check(tiny, answer, images[0], 99)


def test_pll_with_a_wrong_divider_does_not_lock(tiny, images):
    """The mutant of the clock: the top as it was built for another one."""
    other = dataclasses.replace(tiny.design.pll, loop_div=23)
    wrong = dataclasses.replace(tiny.design, pll=other)
    board = SimulatedBoard(tiny.design, wrong.verilog())
    assert board.play([request(tiny, images[0])]).data == b""
