"""The serial protocol: frames with a length and CRCs, as ``docs/protocol.md`` describes them.

Plain Python: the tests, the simulated board and the host's side share it.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from model.arithmetic.geometry import Shape
from model.arithmetic.qformat import QFormat

VERSION = 4
"""Of the protocol; the identify answer begins with it."""
CLASSIFIER = 3
"""The version that boards speak whose nets classify: the last one added nothing for them."""
SYNC = b"\xa5\xc3"
HEADER_BYTES = 8
CRC_BYTES = 4
MAX_LENGTH = (1 << 24) - 1
"""Longest payload, bytes."""
REPLY = 0x80
"""Added to a command's number in its answer."""
FAILED = 0xFF
"""Kind of the answer that reports an error."""
IDENTIFY_BYTES = 255
"""Of an identify answer's payload at most, in later versions too."""
BENCH_BYTES = 2
"""Of the number of images that a bench request asks for."""
BENCH_IMAGES = 1 << 8 * BENCH_BYTES
"""The largest such number."""
QUEUE = 2
"""Images that a board holds beside the one it works on."""


class Command(IntEnum):
    """What a request asks for."""

    IDENTIFY = 1
    CLASSIFY = 2
    LOAD = 3
    BENCH = 4


class Error(IntEnum):
    """Why a request was refused; the value is the code on the wire."""

    BAD_CRC = 1
    BAD_LENGTH = 2
    UNKNOWN_COMMAND = 3
    TIMEOUT = 4
    BUSY = 5
    NOT_READY = 6
    WRONG_BUILD = 7
    BAD_SET = 8


@dataclass(frozen=True)
class Frame:
    """A request or an answer.

    Parameters
    ----------
    kind : int
        A `Command`, `REPLY` + a command, or `FAILED`.
    tag : int
        0..255, chosen by the sender of a request and repeated in the answer.
    payload : bytes
    """

    kind: int
    tag: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        if len(self.payload) > MAX_LENGTH:
            raise ValueError(f"a payload has at most {MAX_LENGTH} bytes, not {len(self.payload)}")
        header = struct.pack("<BBI", self.tag, self.kind, len(self.payload))[:-1]
        body = header + bytes([crc8(header)]) + self.payload
        return SYNC + body + struct.pack("<I", zlib.crc32(body))


class Decoder:
    """Finds the frames in a stream of bytes.

    What is no frame is skipped, byte by byte, so that the next good frame is always found once it has come in
    whole.

    Parameters
    ----------
    longest : int
        Bytes of a payload at most. The CRC of a header has 8 bits: one in 256 that noise feigns passes it,
        and what claims more than anybody sends is not waited for.

    Attributes
    ----------
    skipped : int
        Bytes that belonged to no frame.
    """

    def __init__(self, longest: int = MAX_LENGTH):
        self.longest = longest
        self.buffer = bytearray()
        self.skipped = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take more bytes; returns the frames that they complete."""
        self.buffer += data
        frames = []
        while len(self.buffer) >= HEADER_BYTES:
            length = int.from_bytes(self.buffer[4:7], "little")
            if self.buffer[:2] != SYNC or self.buffer[7] != crc8(self.buffer[2:7]) or length > self.longest:
                self.skip()
                continue
            end = HEADER_BYTES + length
            if len(self.buffer) < end + CRC_BYTES:
                break
            if zlib.crc32(self.buffer[2:end]) != int.from_bytes(self.buffer[end : end + CRC_BYTES], "little"):
                self.skip()
                continue
            frames.append(Frame(self.buffer[3], self.buffer[2], bytes(self.buffer[HEADER_BYTES:end])))
            del self.buffer[: end + CRC_BYTES]
        return frames

    def skip(self) -> None:
        """Drop bytes up to the next that could begin a frame."""
        start = self.buffer.find(SYNC[0], 1)
        start = len(self.buffer) if start < 0 else start
        self.skipped += start
        del self.buffer[:start]

    def reset(self) -> None:
        """Forget a frame that has come in part, after a timeout."""
        self.skipped += len(self.buffer)
        self.buffer.clear()


def crc8(data: bytes) -> int:
    """CRC-8/SMBUS (polynomial x^8 + x^2 + x + 1, initially 0) of the header."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return crc


@dataclass(frozen=True)
class Identity:
    """The identify answer: what a board runs.

    Parameters
    ----------
    net : str
        At most 32 ASCII characters.
    board : str
        At most 16 ASCII characters.
    shape : (int, int, int)
        Height, width, channels of an image.
    classes : int
        0 if the net does not classify.
    pixel, logit : QFormat
        Of the values of an image and of an answer.
    clock_hz : int
        Of the core.
    build : bytes
        8 bytes that differ between builds.
    queue : int
        Images that may be sent ahead of the answer to the one in work.
    version : int
        Of the protocol.
    set_bytes : int
        Length of a set of weights; 0 where they are fixed.
    layout : bytes
        The 8 bytes that a set for this board begins with; zeros where weights are fixed.
    bench : bool
        Whether the board has the command `BENCH`.
    values : (int, int, int)
        Height, width, channels of an answer that is no class.
    """

    net: str
    board: str
    shape: Shape
    classes: int
    pixel: QFormat
    logit: QFormat
    clock_hz: int
    build: bytes
    queue: int = QUEUE
    version: int = VERSION
    set_bytes: int = 0
    layout: bytes = bytes(8)
    bench: bool = False
    values: Shape = (0, 0, 0)

    LAYOUT = struct.Struct("<BB4H BbB BbB I 8s 32s 16s I 8s B 3H")
    SIZES = {1: LAYOUT.size - 19, 2: LAYOUT.size - 7, CLASSIFIER: LAYOUT.size - 6, VERSION: LAYOUT.size}
    """Length by version: each appends fields."""

    @property
    def image_bytes(self) -> int:
        """Length of a classify request's payload."""
        return int(np.prod(self.shape)) * value_bytes(self.pixel.width)

    @property
    def outputs(self) -> int:
        """Values of an answer: logits, one a class, or those of the net's output."""
        return self.classes or math.prod(self.values)

    @property
    def output_bytes(self) -> int:
        """Bytes of one value in an answer: of a logit 4 or 8."""
        return (logit_bytes if self.classes else value_bytes)(self.logit.width)

    @property
    def result_bytes(self) -> int:
        """Length of a classify answer's payload: class, if there is one, cycles and values."""
        return (6 if self.classes else 4) + self.outputs * self.output_bytes

    def encode(self) -> bytes:
        """The answer's payload."""
        try:
            content = self.LAYOUT.pack(
                self.version,
                self.queue,
                *self.shape,
                self.classes,
                *(self.pixel.width, self.pixel.frac, self.pixel.signed),
                *(self.logit.width, self.logit.frac, self.logit.signed),
                self.clock_hz,
                self.build,
                self.net.encode("ascii"),
                self.board.encode("ascii"),
                self.set_bytes,
                self.layout,
                self.bench,
                *self.values,
            )
        except struct.error as error:
            raise ValueError(
                f"net {self.net!r} of {'x'.join(map(str, self.shape))} and {self.outputs} outputs"
                f" does not fit the identify answer: {error}"
            ) from None
        return content[: self.SIZES[self.version]]

    @classmethod
    def decode(cls, payload: bytes) -> Identity:
        """From a payload of any version; what a later one appends is ignored."""
        size = cls.SIZES.get(payload[0], cls.LAYOUT.size) if payload else cls.LAYOUT.size
        if len(payload) < size:
            raise ValueError(f"an identify answer has {size} bytes or more, not {len(payload)}")
        content = payload[:size].ljust(cls.LAYOUT.size, b"\0")
        version, queue, h, w, c, classes, *rest = cls.LAYOUT.unpack(content)
        pixel, logit, rest = rest[:3], rest[3:6], rest[6:]
        clock, build, net, board, set_bytes, layout, bench, *values = rest
        return cls(
            net=net.rstrip(b"\0").decode("ascii"),
            board=board.rstrip(b"\0").decode("ascii"),
            shape=(h, w, c),
            classes=classes,
            pixel=QFormat(pixel[0], pixel[1], bool(pixel[2])),
            logit=QFormat(logit[0], logit[1], bool(logit[2])),
            clock_hz=clock,
            build=build,
            queue=queue,
            version=version,
            set_bytes=set_bytes,
            layout=layout,
            bench=bool(bench),
            values=tuple(values),
        )


@dataclass(frozen=True)
class Result:
    """A classify answer, or that of a bench, which has the same form.

    Parameters
    ----------
    cls : int or None
        Index of the largest logit, the first of equals; None if the net does not classify.
    cycles : int
        Core clock cycles from the first beat of pixels taken to the (last) result.
    logits : tuple of int
        Or the values that are the answer, in raster order, channels last.
    """

    cls: int | None
    cycles: int
    logits: tuple[int, ...]

    @classmethod
    def decode(cls, payload: bytes, identity: Identity) -> Result:
        """From the payload of an answer of the board that has identified itself so."""
        if len(payload) != identity.result_bytes:
            raise ValueError(f"a classify answer of {len(payload)} bytes does not fit {identity.net!r}")
        head = payload[: -identity.outputs * identity.output_bytes]
        number, cycles = (
            struct.unpack("<HI", head) if identity.classes else (None, *struct.unpack("<I", head))
        )
        # logits are signed whatever their format
        signed = bool(identity.classes) or identity.logit.signed
        values = unpacked(payload[len(head) :], identity.output_bytes, signed=signed)
        return cls(number, cycles, tuple(values.tolist()))


def value_bytes(width: int) -> int:
    """Bytes of one pixel value of `width` bits on the wire."""
    return -(-width // 8)


def logit_bytes(width: int) -> int:
    """Bytes of one logit of `width` bits on the wire: 4 or 8."""
    return 4 if width <= 32 else 8


def unpacked(content: bytes, size: int, *, signed: bool) -> np.ndarray:
    """Integers of `size` bytes each, the low byte first."""
    raw = np.frombuffer(content, np.uint8).reshape(-1, size)
    wide = np.zeros((len(raw), 8), np.uint8)
    wide[:, :size] = raw
    if signed:
        wide[:, size:] = np.where(raw[:, -1:] > 127, 255, 0)
    return wide.view("<i8")[:, 0]


def image_payload(image: np.ndarray, identity: Identity) -> bytes:
    """An image as the payload of a classify request.

    Parameters
    ----------
    image : ndarray of int, (H, W, C)
        In the net's pixel format.
    identity : Identity

    Raises
    ------
    ValueError
        If the shape or the values are not the net's.
    """
    image = np.asarray(image)
    if image.shape != tuple(identity.shape):
        raise ValueError(
            f"net {identity.net!r} takes an image of {'x'.join(map(str, identity.shape))} (height, width,"
            f" channels), not {'x'.join(map(str, image.shape))}"
        )
    if image.dtype.kind not in "iu" or not identity.pixel.contains(image):
        raise ValueError(f"net {identity.net!r} takes integers of {identity.pixel}")
    size = value_bytes(identity.pixel.width)
    values = image.astype("<i8").reshape(-1, 1).view(np.uint8)
    return values[:, :size].tobytes()
