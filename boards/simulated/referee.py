"""What a board must answer, by the words of ``docs/protocol.md``: written without a look at the hardware.

The line's timing is left out: the caller says when the board times out and when it is reset, and sees to it
that it is not asked for more than it can hold, or bears with `Error.BUSY`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import Enum

import numpy as np

from boards.link.protocol import (
    BENCH_BYTES,
    CRC_BYTES,
    FAILED,
    HEADER_BYTES,
    REPLY,
    SYNC,
    Command,
    Error,
    Identity,
    crc8,
)

LAYOUT_BYTES = 8
"""With which a set of weights begins."""


@dataclass(frozen=True)
class Expected:
    """An answer.

    Attributes
    ----------
    kind, tag : int
    payload : bytes
        Of answers without a result.
    net : int or None
        Which net must have classified `image`, of answers with one.
    image : bytes
        As it was sent.
    """

    kind: int
    tag: int
    payload: bytes = b""
    net: int | None = None
    image: bytes = b""


class State(Enum):
    """Where in a frame the board is."""

    HUNT = 0
    SYNC = 1
    HEADER = 2
    BODY = 3


class Referee:
    """Follows a line byte by byte and says what must come back.

    Parameters
    ----------
    identity : Identity
    sets : list of bytes
        Weights that the board may be loaded with; the first are those of its bitstream.

    Attributes
    ----------
    answers : list of Expected
        So far, in the order of the requests.
    net : int or None
        Whose weights the board has, by their place in `sets`; None while there are none.
    frames : int
        Right headers so far.
    """

    def __init__(self, identity: Identity, sets: list[bytes]):
        self.identity, self.sets = identity, sets
        self.answers: list[Expected] = []
        self.net: int | None = 0
        self.frames = 0
        self.lengths = {Command.IDENTIFY: 0, Command.CLASSIFY: identity.image_bytes}
        if identity.set_bytes:
            self.lengths[Command.LOAD] = identity.set_bytes
        if identity.bench:
            self.lengths[Command.BENCH] = BENCH_BYTES
        self.reset()

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self.state is not State.HUNT

    def reset(self) -> None:
        """The reset button: all is forgotten but the weights, if they are whole."""
        if getattr(self, "state", None) is State.BODY and not self.refused:
            self.overwrite()
        self.state, self.image = State.HUNT, None
        self.refused = False

    def time_out(self) -> None:
        """A pause longer than a frame may have."""
        if self.state is State.BODY and not self.refused:
            self.overwrite()
            self.fail(Error.TIMEOUT)
        self.state = State.HUNT

    def byte(self, value: int, broken: bool = False) -> None:
        """A byte comes in, perhaps without its stop bit."""
        if self.state is State.HUNT:
            if value == SYNC[0] and not broken:
                self.state = State.SYNC
        elif self.state is State.SYNC:
            if broken:
                self.state = State.HUNT
            elif value == SYNC[1]:
                self.state, self.head, self.spoilt = State.HEADER, bytearray(), False
            elif value != SYNC[0]:
                self.state = State.HUNT
        elif self.state is State.HEADER:
            self.head.append(value)
            self.spoilt |= broken
            if len(self.head) == HEADER_BYTES - len(SYNC):
                self.begin()
        else:
            self.body.append(value)
            self.spoilt |= broken
            if len(self.body) == self.length + CRC_BYTES:
                self.end()

    def begin(self) -> None:
        """A header is in."""
        self.tag, self.kind = self.head[0], self.head[1]
        self.length, self.body = int.from_bytes(self.head[2:5], "little"), bytearray()
        self.state, self.refused = State.HUNT, False
        if self.spoilt or self.head[5] != crc8(self.head[:5]):
            return
        self.state = State.BODY
        self.frames += 1
        needs_weights = self.kind in (Command.CLASSIFY, Command.BENCH)
        if self.kind not in self.lengths:
            self.refuse(Error.UNKNOWN_COMMAND)
        elif self.length != self.lengths[self.kind]:
            self.refuse(Error.BAD_LENGTH)
        elif (needs_weights and self.net is None) or (self.kind == Command.BENCH and self.image is None):
            self.refuse(Error.NOT_READY)

    def end(self) -> None:
        """A frame's last byte is in."""
        self.state = State.HUNT
        if self.refused:
            return
        payload, crc = bytes(self.body[: self.length]), bytes(self.body[self.length :])
        self.overwrite()
        if self.spoilt or crc != struct.pack("<I", zlib.crc32(self.head + payload)):
            self.fail(Error.BAD_CRC)
        elif self.kind == Command.LOAD:
            self.load(payload)
        elif self.kind == Command.IDENTIFY:
            self.say(payload=self.identity.encode())
        else:
            if self.kind == Command.CLASSIFY:
                self.image = payload
            self.say(net=self.net, image=self.image)

    def overwrite(self) -> None:
        """A set whose layout was right has overwritten the old weights, however it ends."""
        if self.kind == Command.LOAD and bytes(self.body[:LAYOUT_BYTES]) == self.identity.layout:
            self.net = None

    def load(self, payload: bytes) -> None:
        """A set came in a frame whose CRC was right."""
        if payload[:LAYOUT_BYTES] != self.identity.layout:
            self.fail(Error.WRONG_BUILD)
        elif payload[-CRC_BYTES:] != struct.pack("<I", zlib.crc32(payload[:-CRC_BYTES])):
            self.fail(Error.BAD_SET)
        else:
            self.net = self.sets.index(payload)
            self.say()

    def say(self, **fields) -> None:
        """An answer to the request."""
        self.answers.append(Expected(REPLY | self.kind, self.tag, **fields))

    def fail(self, code: Error) -> None:
        """An error in answer to the request."""
        self.answers.append(Expected(FAILED, self.tag, bytes([code, self.kind])))

    def refuse(self, code: Error) -> None:
        """An error that the header brought about."""
        self.refused = True
        self.fail(code)


def pixels(images: list[bytes], identity: Identity) -> np.ndarray:
    """Images (N, H, W, C) as the board takes them from their bytes."""
    pixel = identity.pixel
    size = -(-pixel.width // 8)
    raw = np.frombuffer(b"".join(images), np.uint8).reshape(-1, size).astype(np.int64)
    values = (raw << (8 * np.arange(size))).sum(axis=1) & ((1 << pixel.width) - 1)
    if pixel.signed:
        values -= (values >> (pixel.width - 1)) << pixel.width
    return values.reshape(-1, *identity.shape)
