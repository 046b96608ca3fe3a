"""A board in Python at the end of a pseudo-terminal, which answers as it is told: for tests of the host."""

from __future__ import annotations

import os
import pty
import select
import struct
import threading
import tty

import numpy as np

from boards.link.protocol import FAILED, REPLY, Command, Decoder, Error, Frame, Identity
from model.arithmetic.qformat import QFormat

IDENTITY = Identity(
    net="fake",
    board="fake-board",
    shape=(2, 3, 1),
    classes=3,
    pixel=QFormat(8, 8, False),
    logit=QFormat(20, 4),
    clock_hz=50_000_000,
    build=bytes(range(8)),
    bench=True,
)
II, LATENCY = 7, 40


def golden(image: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """Class and logits of an image."""
    values = [int(value) for value in np.asarray(image).ravel()]
    logits = tuple(sum((k - place) * value for place, value in enumerate(values)) for k in range(3))
    return int(np.argmax(logits)), logits


class PtyBoard:
    """Serves in a thread from `with` on; `port` is its name.

    Parameters
    ----------
    mishaps : dict
        For the n-th request: ``silent`` (no answer), ``noise`` (bytes before the answer), ``damaged`` (a
        wrong CRC), ``late`` (with the next one), an `Error`, or a function of the frame that gives the bytes
        of an answer.
    identity : Identity
    """

    def __init__(self, mishaps=None, identity: Identity = IDENTITY):
        self.mishaps, self.identity = mishaps or {}, identity
        self.requests: list[Frame] = []

    def __enter__(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.port = os.ttyname(self.slave)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ended.set()
        self.thread.join()
        os.close(self.master)
        os.close(self.slave)

    def serve(self):
        decoder, held, self.image = Decoder(), b"", np.zeros(6, np.uint8)
        while not self.ended.is_set():
            if not select.select([self.master], [], [], 0.01)[0]:
                continue
            for frame in decoder.feed(os.read(self.master, 4096)):
                mishap = self.mishaps.get(len(self.requests))
                self.requests.append(frame)
                wire = self.answer(frame).encode()
                if mishap == "silent":
                    continue
                if mishap == "late":
                    held += wire
                    continue
                if mishap == "noise":
                    wire = b"\xa5\x17\xa5\xc3\xa5\xc3" + wire
                elif mishap == "damaged":
                    wire = wire[:-1] + bytes([wire[-1] ^ 1])
                elif isinstance(mishap, Error):
                    wire = Frame(FAILED, frame.tag, bytes([mishap, frame.kind])).encode()
                elif mishap is not None:
                    wire = mishap(frame)
                os.write(self.master, held + wire)
                held = b""

    def answer(self, frame: Frame) -> Frame:
        cycles, payload = LATENCY, b""
        if frame.kind == Command.IDENTIFY:
            return Frame(REPLY | frame.kind, frame.tag, self.identity.encode())
        if frame.kind == Command.CLASSIFY:
            self.image = np.frombuffer(frame.payload, np.uint8)
        elif frame.kind == Command.BENCH:
            count = int.from_bytes(frame.payload, "little") or 1 << 16
            cycles += (count - 1) * II
        cls, logits = golden(self.image)
        payload = struct.pack("<HI3i", cls, cycles, *logits)
        return Frame(REPLY | frame.kind, frame.tag, payload)
