"""The codec against the CRCs of Python's library, round trips, and streams that were damaged."""

import random
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.link import protocol
from boards.link.protocol import Decoder, Frame, Identity, Result, image_payload
from model.arithmetic.qformat import QFormat

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=40))
IDENTITY = Identity(
    net="lenet",
    board="ulx3s-85f",
    shape=(2, 3, 2),
    classes=3,
    pixel=QFormat(8, 8, False),
    logit=QFormat(21, 14),
    clock_hz=100_000_000,
    build=b"\x01\x02\x03\x04\x05\x06\x07\xff",
)


def bitwise_crc8(data: bytes) -> int:
    """CRC-8/SMBUS as a division of polynomials over GF(2)."""
    dividend = int.from_bytes(data, "big") << 8
    for shift in range(dividend.bit_length() - 9, -1, -1):
        if dividend >> (shift + 8) & 1:
            dividend ^= 0x107 << shift
    return dividend


@given(st.binary(max_size=30))
def test_crc8_is_the_remainder(data):
    assert protocol.crc8(data) == bitwise_crc8(data)


@given(FRAMES)
def test_frame_layout(frame):
    wire = frame.encode()
    assert wire[:2] == b"\xa5\xc3"
    assert (wire[2], wire[3]) == (frame.tag, frame.kind)
    assert int.from_bytes(wire[4:7], "little") == len(frame.payload)
    assert wire[8:-4] == frame.payload
    assert int.from_bytes(wire[-4:], "little") == zlib.crc32(wire[2:-4])


@given(st.lists(FRAMES, max_size=5), st.integers(1, 50))
def test_frames_come_back_however_they_are_cut(frames, piece):
    wire = b"".join(frame.encode() for frame in frames)
    decoder = Decoder()
    found = [f for start in range(0, len(wire), piece) for f in decoder.feed(wire[start : start + piece])]
    assert found == frames
    assert decoder.skipped == 0


@given(FRAMES, st.data())
def test_one_burst_of_errors_is_noticed_and_the_next_frame_found(frame, data):
    wire = frame.encode()
    start = data.draw(st.integers(0, 8 * len(wire) - 1))
    burst = data.draw(st.integers(1, 255)) << start
    damaged = (int.from_bytes(wire, "little") ^ burst).to_bytes(len(wire) + 1, "little")[: len(wire)]
    if damaged == wire:
        return
    decoder = Decoder()
    found = decoder.feed(damaged)
    assert found == []
    decoder.reset()
    assert decoder.feed(frame.encode()) == [frame]


@given(st.binary(max_size=60), FRAMES)
def test_a_frame_behind_noise_is_found(noise, frame):
    decoder = Decoder()
    found = decoder.feed(noise + frame.encode() + bytes(64))
    if frame not in found:
        # the noise ends in what looks like a header, whose frame has not ended yet
        assert b"\xa5" in noise
        decoder.reset()
        found = decoder.feed(frame.encode())
    assert found[-1] == frame


def test_a_header_that_noise_feigns_is_not_waited_for():
    """Half a header before each answer: with one tag in 256 the two make a header whose CRC is right."""
    waiting = 0
    for tag in range(256):
        frame = Frame(protocol.REPLY | protocol.Command.CLASSIFY, tag, bytes(46))
        wire = b"\xa5\xc3" + frame.encode()
        waiting += Decoder().feed(b"\xa5\xc3\xa5" + wire) != [frame]
        waiting += Decoder().feed(b"\xa5\xc3" + wire) != [frame]
        assert Decoder(46).feed(b"\xa5\xc3\xa5" + wire) == [frame]
        assert Decoder(46).feed(b"\xa5\xc3" + wire) == [frame]
        assert Decoder(45).feed(wire) == []
    assert waiting


def test_identity_round_trip_and_later_versions():
    assert Identity.decode(IDENTITY.encode()) == IDENTITY
    assert Identity.decode(IDENTITY.encode() + b"more") == IDENTITY
    assert max(Identity.SIZES.values()) <= protocol.IDENTIFY_BYTES
    with pytest.raises(ValueError, match="identify answer"):
        Identity.decode(IDENTITY.encode()[:-1])
    fixed = Identity(**{**IDENTITY.__dict__, "version": 1})
    loadable = Identity(**{**IDENTITY.__dict__, "version": 2, "set_bytes": 70_000, "layout": bytes(range(8))})
    bench = Identity(**{**loadable.__dict__, "version": 3, "bench": True})
    for identity in (fixed, loadable, bench):
        assert Identity.decode(identity.encode()) == identity
    assert loadable.encode()[1:-12] == fixed.encode()[1:]
    assert bench.encode()[1:-1] == loadable.encode()[1:]


def test_values_in_place_of_classes():
    old = Identity(**{**IDENTITY.__dict__, "version": 3})
    values = Identity(**{**IDENTITY.__dict__, "classes": 0, "values": (3, 4, 5)})
    assert Identity.decode(values.encode()) == values
    assert values.encode()[-6:] == bytes([3, 0, 4, 0, 5, 0])
    assert (values.outputs, old.outputs) == (60, 3)
    assert old.encode()[1:] == IDENTITY.encode()[1:-6]


@given(st.integers(1, 62), st.booleans(), st.integers(0, 2**32 - 1), st.data())
def test_values_round_trip(width, signed, cycles, data):
    fmt = QFormat(width + signed, 3, signed)
    identity = Identity(**{**IDENTITY.__dict__, "logit": fmt, "classes": 0, "values": (1, 2, 2)})
    values = data.draw(st.lists(st.integers(fmt.min, fmt.max), min_size=4, max_size=4))
    size = -(-fmt.width // 8)
    payload = struct.pack("<I", cycles) + b"".join(n.to_bytes(size, "little", signed=signed) for n in values)
    assert len(payload) == identity.result_bytes
    assert Result.decode(payload, identity) == Result(None, cycles, tuple(values))
    with pytest.raises(ValueError, match="does not fit"):
        Result.decode(payload[:-1], identity)


def test_identity_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="lenet"):
        Identity(**{**IDENTITY.__dict__, "classes": 70000}).encode()


@given(st.integers(2, 62), st.data())
def test_result_round_trip(width, data):
    logit = QFormat(width, 3)
    identity = Identity(**{**IDENTITY.__dict__, "logit": logit})
    logits = data.draw(st.lists(st.integers(logit.min, logit.max), min_size=3, max_size=3))
    size = 4 if width <= 32 else 8
    payload = b"\x02\x00\x10\x27\x00\x00" + b"".join(n.to_bytes(size, "little", signed=True) for n in logits)
    assert Result.decode(payload, identity) == Result(2, 10000, tuple(logits))
    with pytest.raises(ValueError, match="does not fit"):
        Result.decode(payload + b"\0", identity)


def test_image_payload_is_raster_order_channels_last():
    image = np.arange(12).reshape(2, 3, 2)
    assert image_payload(image, IDENTITY) == bytes(range(12))
    wide = Identity(**{**IDENTITY.__dict__, "pixel": QFormat(12, 0)})
    assert image_payload(image - 1, wide)[:4] == b"\xff\xff\x00\x00"


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (np.zeros((3, 2, 2), int), "takes an image of 2x3x2.*not 3x2x2"),
        (np.zeros((2, 3), int), "takes an image of 2x3x2.*not 2x3"),
        (np.full((2, 3, 2), 256), "takes integers of u8.8"),
        (np.zeros((2, 3, 2)), "takes integers"),
    ],
)
def test_image_of_another_size_or_kind_is_refused(image, what):
    with pytest.raises(ValueError, match=what):
        image_payload(image, IDENTITY)


def test_payload_too_long_is_refused():
    with pytest.raises(ValueError, match="at most"):
        Frame(1, 0, bytes(1 << 24)).encode()


def test_document_shows_a_true_frame():
    text = Path(__file__).parents[1].joinpath("docs", "protocol.md").read_text()
    shown = re.search(r"request with tag 1 is `([0-9a-f ]+)`", text).group(1)
    assert bytes.fromhex(shown) == Frame(protocol.Command.IDENTIFY, 1).encode()


def test_random_bytes_are_no_frames():
    assert Decoder().feed(random.Random(1).randbytes(200_000)) == []
