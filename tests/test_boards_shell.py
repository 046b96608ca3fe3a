"""The shell round a fake core, byte by byte over its serial line, in Amaranth's simulator."""

import dataclasses

import numpy as np
import pytest
from amaranth.lib.crc import catalog

from boards.link.protocol import (
    CRC_BYTES,
    FAILED,
    HEADER_BYTES,
    REPLY,
    Command,
    Error,
    Frame,
    Identity,
    Result,
    crc8,
    image_payload,
)
from boards.shell import frames as hardware
from model.arithmetic.qformat import QFormat
from serial_shell import FakeCore, FakeValues, converse

RNG = np.random.default_rng(2)


def draw(core) -> np.ndarray:
    """A random image for a core."""
    return RNG.integers(core.pixel.min, core.pixel.max + 1, core.shape)


def request(core, image, tag=1) -> bytes:
    """A classify request's bytes."""
    return Frame(Command.CLASSIFY, tag, image_payload(image, core.identity)).encode()


def check(core, answer: Frame, image, tag=1) -> Result:
    """Asserts that a frame is the right answer for an image."""
    assert (answer.kind, answer.tag) == (REPLY | Command.CLASSIFY, tag)
    result = Result.decode(answer.payload, core.identity)
    assert (result.cls, result.logits) == core.golden(image)
    return result


def error(code: Error, kind: int, tag: int) -> Frame:
    """An error answer."""
    return Frame(FAILED, tag, bytes([code, kind]))


def test_identify():
    core = FakeCore()
    found, skipped, leds = converse(core, [Frame(Command.IDENTIFY, 77).encode()], 10_000)
    assert [(frame.kind, frame.tag) for frame in found] == [(REPLY | Command.IDENTIFY, 77)]
    assert Identity.decode(found[0].payload) == core.identity
    assert (skipped, leds) == (0, 0)


@pytest.mark.parametrize(
    ("shape", "pixel", "width", "pixels"),
    [
        ((2, 3, 2), QFormat(8, 0, False), 24, 1),
        ((1, 1, 1), QFormat(1, 0, False), 20, 1),
        ((3, 2, 1), QFormat(5, 0), 32, 1),
        ((2, 2, 3), QFormat(12, 0), 33, 1),
        ((1, 3, 1), QFormat(16, 0, False), 62, 1),
        ((2, 6, 1), QFormat(8, 0, False), 24, 3),
        ((2, 4, 2), QFormat(5, 0), 24, 4),
        ((1, 7, 2), QFormat(8, 0), 24, 1),
        ((5, 1, 3), QFormat(16, 0), 24, 1),
        ((1, 1, 9), QFormat(11, 0), 24, 1),
    ],
    ids=str,
)
def test_classify(shape, pixel, width, pixels):
    core = FakeCore(shape, pixel, width=width, pixels=pixels)
    images = [draw(core) for _ in range(3)]
    items = [item for tag, image in enumerate(images) for item in (request(core, image, tag), 4000)]
    found, skipped, leds = converse(core, items)
    for tag, (answer, image) in enumerate(zip(found, images, strict=True)):
        result = check(core, answer, image, tag)
        assert result.cycles == core.beats
    assert (skipped, leds) == (0, result.cls & 255)


@pytest.mark.parametrize(
    ("fmt", "lanes", "beats", "delay"),
    [
        (QFormat(8, 0), 1, 5, 0),
        (QFormat(8, 0, False), 4, 3, 90),
        (QFormat(3, 0), 2, 1, 0),
        (QFormat(11, 4), 3, 2, 7),
        (QFormat(20, 0), 1, 1, 0),
        (QFormat(33, 0), 2, 2, 0),
    ],
    ids=str,
)
def test_values_are_the_answer(fmt, lanes, beats, delay):
    """Three images back to back, a bench, and an image more."""
    core = FakeValues(fmt, lanes, beats, delay)
    images = [draw(core) for _ in range(4)]
    wires = [request(core, image, tag) for tag, image in enumerate(images)]
    found, skipped, leds = converse(core, [*wires[:3], 9000, bench(3), 9000, wires[3]], 9000)
    results = [Result.decode(answer.payload, core.identity) for answer in found]
    kinds = [REPLY | Command.CLASSIFY] * 3 + [REPLY | Command.BENCH, REPLY | Command.CLASSIFY]
    assert [(answer.kind, answer.tag) for answer in found] == list(zip(kinds, [0, 1, 2, 20, 3]))
    expected = [core.golden(images[index]) for index in (0, 1, 2, 2, 3)]
    assert [(result.cls, result.logits) for result in results] == expected
    # from the first pixel to the last value; the core takes no pixel while it gives values
    once = core.beats + delay + beats
    assert [result.cycles for result in results] == [*[once - 1] * 3, 3 * once - 1, once - 1]
    assert (skipped, leds) == (0, 5)


def test_values_wait_while_the_line_is_slow():
    """Images come faster than long answers leave: the board is busy, and what it took is right."""
    core = FakeValues(QFormat(16, 0), 2, 50)
    images = [draw(core) for _ in range(6)]
    found, *_ = converse(core, [request(core, image, tag) for tag, image in enumerate(images)], 90_000)
    refused = {frame.tag for frame in found if frame.kind == FAILED}
    assert {frame.payload for frame in found if frame.kind == FAILED} == {bytes([Error.BUSY, 2])}
    rest = [frame for frame in found if frame.kind != FAILED]
    assert [frame.tag for frame in rest] == sorted(set(range(6)) - refused) and 3 <= len(rest) < 6
    for answer in rest:
        assert Result.decode(answer.payload, core.identity).logits == core.golden(images[answer.tag])[1]


def test_cycles_count_what_the_core_takes():
    core = FakeCore(delay=123)
    found, *_ = converse(core, [request(core, image := draw(core))])
    assert check(core, found[0], image).cycles == core.beats + 123


def test_back_to_back_requests_are_answered_in_order():
    core = FakeCore(delay=50)
    images = [draw(core) for _ in range(5)]
    found, skipped, _ = converse(core, [request(core, image, tag) for tag, image in enumerate(images)], 9000)
    for tag, (answer, image) in enumerate(zip(found, images, strict=True)):
        check(core, answer, image, tag)
    assert skipped == 0


def test_busy_core_refuses_what_it_cannot_hold_and_keeps_the_rest():
    core = FakeCore(delay=12_000)
    images = [draw(core) for _ in range(5)]
    found, *_ = converse(core, [request(core, image, tag) for tag, image in enumerate(images)], 45_000)
    refused = [frame for frame in found if frame.kind == FAILED]
    assert refused == [error(Error.BUSY, Command.CLASSIFY, tag) for tag in (3, 4)]
    for tag, answer in enumerate(frame for frame in found if frame.kind != FAILED):
        check(core, answer, images[tag], tag)
    assert len(found) == 5


def bad_crc(core, image):
    wire = bytearray(request(core, image, 5))
    wire[10] ^= 0x10
    return [bytes(wire)], [error(Error.BAD_CRC, Command.CLASSIFY, 5)]


def short(core, image):
    return [request(core, image, 5)[:-3], 1000], [error(Error.TIMEOUT, Command.CLASSIFY, 5)]


def short_header(core, image):
    return [request(core, image, 5)[:6], 1000], []


def only_sync(core, image):
    return [b"\xa5", 1000, b"\xa5\xc3", 1000], []


def swallowed(core, image):
    """A frame that stops short takes the next with it; the one after is right again."""
    wire = request(core, image, 5)
    return [wire[:-6], wire, 1000], [error(Error.BAD_CRC, Command.CLASSIFY, 5)]


def overlong(core, image):
    payload = image_payload(image, core.identity) + b"\0"
    return [Frame(Command.CLASSIFY, 5, payload).encode()], [error(Error.BAD_LENGTH, Command.CLASSIFY, 5)]


def empty(core, image):
    return [Frame(Command.CLASSIFY, 5).encode()], [error(Error.BAD_LENGTH, Command.CLASSIFY, 5)]


def identify_with_payload(core, image):
    wire = Frame(Command.IDENTIFY, 5, b"what").encode()
    return [wire], [error(Error.BAD_LENGTH, Command.IDENTIFY, 5)]


def unknown(core, image):
    """Its payload looks like a request, and must not be taken for one."""
    return [Frame(0x33, 5, request(core, image)).encode()], [error(Error.UNKNOWN_COMMAND, 0x33, 5)]


def huge(core, image):
    """A length that never comes ends with a pause."""
    header = bytearray(Frame(Command.CLASSIFY, 5).encode()[:8])
    header[4:7] = b"\xff\xff\xff"
    header[7] = crc8(header[2:7])
    return [bytes(header), 1000], [error(Error.BAD_LENGTH, Command.CLASSIFY, 5)]


def bad_header_crc(core, image):
    wire = bytearray(request(core, image, 5))
    wire[7] ^= 1
    return [bytes(wire)], []


def noise(core, image):
    found = np.random.default_rng(3).bytes(60)
    assert b"\xa5\xc3" not in found
    return [found, b"\xa5\xa5"], []


BROKEN = [
    bad_crc,
    short,
    short_header,
    only_sync,
    swallowed,
    overlong,
    empty,
    identify_with_payload,
    unknown,
    huge,
    bad_header_crc,
    noise,
]


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_what_is_broken_is_refused_and_the_next_image_right(make):
    core = FakeCore()
    image = draw(core)
    items, errors = make(core, image)
    found, *_ = converse(core, [*items, request(core, image, 9)])
    assert [frame for frame in found if frame.kind == FAILED] == errors
    (answer,) = (frame for frame in found if frame.kind != FAILED)
    check(core, answer, image, 9)


def test_an_image_cut_off_at_any_byte():
    """In a header, in the middle of a beat, within the CRC: the next image is right."""
    core = FakeCore(pixels=3)
    spoilt, images = draw(core), [draw(core) for _ in range(3)]
    wire = request(core, spoilt, 99)
    items = [
        item
        for cut in range(1, len(wire))
        for item in (wire[:cut], 900, request(core, images[cut % 3], cut), 1200)
    ]
    found, *_ = converse(core, items)
    refused = [frame for frame in found if frame.kind == FAILED]
    # a header that is not whole is forgotten without a word
    assert refused == [error(Error.TIMEOUT, Command.CLASSIFY, 99)] * (len(wire) - HEADER_BYTES)
    answers = [frame for frame in found if frame.kind != FAILED]
    for cut, answer in zip(range(1, len(wire)), answers, strict=True):
        check(core, answer, images[cut % 3], cut)


def test_a_note_beside_an_answer_at_any_time():
    """An identify that comes in while a result is sent, at its first byte or its last: both are answered."""
    core = FakeCore()
    image, identify = draw(core), Frame(Command.IDENTIFY, 77).encode()
    span = 80 * (core.identity.result_bytes + HEADER_BYTES + CRC_BYTES)
    steps = range(1, span, 290)
    items = [item for tag, step in enumerate(steps)
             for item in (request(core, image, tag), step, identify, 12_500)]  # fmt: skip
    found, skipped, _ = converse(core, items, 9000)
    results = [frame for frame in found if frame.kind == REPLY | Command.CLASSIFY]
    others = [frame for frame in found if frame.kind == REPLY | Command.IDENTIFY]
    assert (len(results), len(others), skipped) == (len(steps), len(steps), 0)
    for tag, answer in enumerate(results):
        check(core, answer, image, tag)
    assert {Identity.decode(frame.payload) for frame in others} == {core.identity}


def test_image_with_a_wrong_crc_never_reaches_the_core():
    core = FakeCore(delay=2000)
    image = draw(core)
    (wire,), _ = bad_crc(core, image)
    other = draw(core)
    found, *_, leds = converse(core, [request(core, other, 1), wire, wire], 6000)
    assert [frame.tag for frame in found if frame.kind == FAILED] == [5, 5]
    (answer,) = (frame for frame in found if frame.kind != FAILED)
    assert leds == check(core, answer, other).cls


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("FRAME_CRC", catalog.CRC32_BZIP2),
        ("FRAME_CRC", catalog.CRC32_ISCSI),
        ("FRAME_CRC", catalog.CRC32_JAMCRC),
        ("HEADER_CRC", catalog.CRC8_CDMA2000),
    ],
    ids=["other order", "other polynomial", "not inverted", "other header"],
)
def test_mutants_of_the_crc_are_noticed(monkeypatch, name, mutant):
    monkeypatch.setattr(hardware, name, mutant)
    core = FakeCore()
    found, skipped, _ = converse(core, [request(core, draw(core))])
    assert found == []  # either no answer at all, or one whose CRC is wrong too
    assert (skipped > 0) == (name == "FRAME_CRC")


def bench(count, tag=20) -> bytes:
    """A bench request's bytes."""
    return Frame(Command.BENCH, tag, count.to_bytes(2, "little")).encode()


@pytest.mark.parametrize(("count", "delay"), [(7, 0), (3, 60)])
def test_bench_classifies_the_last_image_at_full_rate(count, delay):
    core = FakeCore(delay=delay)
    first, last = draw(core), draw(core)
    items = [request(core, first, 1), request(core, last, 2), 3000, bench(count), 3000]
    found, skipped, leds = converse(core, [*items, request(core, first, 3), 3000, bench(1, 21)], 4000)
    assert [frame.tag for frame in found] == [1, 2, 20, 3, 21] and skipped == 0
    assert found[2].kind == found[4].kind == REPLY | Command.BENCH
    for answer, image, cycles in (
        (found[2], last, count * (core.beats + delay + 1) - 1),
        (found[4], first, core.beats + delay),
    ):
        result = Result.decode(answer.payload, core.identity)
        assert (result.cls, result.logits) == core.golden(image)
        assert result.cycles == cycles
    check(core, found[3], first, 3)
    assert leds == result.cls


def test_bench_needs_an_image_and_an_idle_core():
    core = FakeCore(delay=2000)
    image = draw(core)
    items = [bench(1), request(core, image, 1), bench(2, 21), 4000, bench(2, 22), request(core, image, 3)]
    found, *_ = converse(core, [*items, Frame(Command.BENCH, 4, b"123").encode()], 6000)
    assert [frame for frame in found if frame.kind == FAILED] == [
        error(Error.NOT_READY, Command.BENCH, 20),
        error(Error.BUSY, Command.BENCH, 21),
        error(Error.BUSY, Command.CLASSIFY, 3),
        error(Error.BAD_LENGTH, Command.BENCH, 4),
    ]
    check(core, found[2], image)
    assert Result.decode(found[-1].payload, core.identity).logits == core.golden(image)[1]


def test_broken_image_does_not_take_the_place_of_the_one_to_bench():
    core = FakeCore()
    image = draw(core)
    (wire,), _ = bad_crc(core, draw(core))
    found, *_ = converse(core, [request(core, image), wire, wire, 1000, bench(3)], 4000)
    assert Result.decode(found[-1].payload, core.identity).logits == core.golden(image)[1]


def test_a_shell_without_benches_knows_no_such_command():
    class Plain(FakeCore):
        @property
        def identity(self):
            return dataclasses.replace(super().identity, bench=False)

    core = Plain()
    found, *_ = converse(core, [request(core, image := draw(core)), bench(3)], 3500)
    check(core, found[0], image)
    assert found[1] == error(Error.UNKNOWN_COMMAND, Command.BENCH, 20)
