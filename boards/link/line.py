"""The line to a board: frames out and in, at the rate that the board answers to."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator

import serial
from serial.tools import list_ports

from boards.link.protocol import (
    CRC_BYTES,
    FAILED,
    HEADER_BYTES,
    IDENTIFY_BYTES,
    REPLY,
    Command,
    Decoder,
    Error,
    Frame,
    Identity,
)
from model.cli import Failure

RATES = (1_000_000, 3_000_000, 115_200)
"""Baud rates that are tried where nobody names one; a board that does not understand stays silent."""
PAUSE = 0.06
"""Seconds of silence after which the board has forgotten half a frame (it waits for 50 ms)."""
ATTEMPTS = 6
"""How often something is tried again before it counts as failed."""
FIRST_WAIT = 0.25
"""Seconds until an identify counts as unanswered, the first time; each further time twice as many."""
POLL = 0.02
"""Seconds for which one read waits."""
STUCK = 60.0
"""Seconds in which a port takes `CHUNK` bytes, if it takes any."""
CHUNK = 1024


class Refusal(Failure):
    """The board has answered a request with an error.

    Attributes
    ----------
    code : int
        An `Error`, or what a later version knows.
    """

    def __init__(self, request: int, code: int):
        self.code = code
        super().__init__(f"the board refused {called(Command, request)}: {called(Error, code)}")


def called(names, number: int) -> str:
    """What an enumeration calls a number, in words."""
    return names(number).name.replace("_", " ").lower() if number in list(names) else f"number {number}"


def find_port() -> str:
    """The only USB serial port of this computer.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    found = sorted((port for port in list_ports.comports() if port.vid is not None), key=lambda p: p.device)
    if len(found) == 1:
        return found[0].device
    if not found:
        raise ValueError("no USB serial port was found: connect the board, or name the port")
    names = ", ".join(f"{port.device} ({port.description})" for port in found)
    raise ValueError(f"there are several serial ports, name one: {names}")


class Line:
    """A serial port at whose end a board answers.

    Parameters
    ----------
    port : str, optional
        Name of the serial port; the only USB port by default.
    baud : int, optional
        Its rate; by default the `RATES` are tried.

    Attributes
    ----------
    identity : Identity
    baud : int
        The rate at which the board answers.
    settled : bool
        Whether no answer to an earlier client, or from before something went wrong, can still come in.

    Raises
    ------
    ValueError
        If no port is named and not just one is there.
    OSError
        If the port cannot be opened.
    Failure
        If nothing answers.
    """

    def __init__(self, port: str | None = None, baud: int | None = None):
        self.name = find_port() if port is None else port
        self.rates = RATES if baud is None else (baud,)
        self.settled = False
        self.decoder = Decoder(longest=IDENTIFY_BYTES)
        self.tag = random.randrange(256)
        self.line = serial.Serial(self.name, self.rates[0], timeout=POLL, write_timeout=STUCK, exclusive=True)
        with contextlib.suppress(Exception):
            self.line.set_low_latency_mode(True)  # a wish: not every adapter knows it
        try:
            self.identity = self.identify()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self.line.close()

    @property
    def baud(self) -> int:
        """The line's rate."""
        return self.line.baudrate

    def identify(self) -> Identity:
        """Ask who is there, again and again, at every rate in question.

        The pauses in between are longer each time: from whatever state, the board is in step after one of
        them. How long the answer takes tells how patient to be with others.
        """
        wait = FIRST_WAIT
        for _ in range(ATTEMPTS):
            for rate in self.rates:
                if self.line.baudrate != rate:
                    self.line.baudrate = rate
                self.forget()
                start = time.monotonic()
                payload = self.ask(Command.IDENTIFY, wait=wait)
                if payload is not None:
                    self.rates = (rate,)
                    length = 2 * (HEADER_BYTES + CRC_BYTES) + len(payload)
                    self.byte_seconds = (time.monotonic() - start) / length
                    return Identity.decode(payload)
            wait *= 2
        rates = " or ".join(f"{rate:,}" for rate in self.rates)
        raise Failure(f"nothing answers at {self.name} with {rates} baud: is a bitstream of convgate loaded?")

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """A port that vanishes or takes no more bytes is a failure of the work, not of the input."""
        try:
            yield
        except serial.SerialTimeoutException:
            raise Failure(f"{self.name} takes no more bytes") from None
        except OSError as error:
            raise Failure(f"{self.name} has gone: {error}") from None

    def patience(self, request: int, answer: int) -> float:
        """Seconds to wait for an answer, from the bytes of a request's payload and of the answer's."""
        return 1.0 + 8 * self.byte_seconds * (request + answer + 2 * (HEADER_BYTES + CRC_BYTES))

    def forget(self) -> None:
        """Drop what has come in."""
        with self.attached():
            while self.line.in_waiting:
                self.line.read(self.line.in_waiting)
        self.decoder.reset()

    def send(self, kind: int, payload: bytes = b"") -> int:
        """Send a request; returns its tag."""
        self.tag = (self.tag + 1) % 256
        wire = Frame(kind, self.tag, payload).encode()
        with self.attached():
            for start in range(0, len(wire), CHUNK):
                self.line.write(wire[start : start + CHUNK])
        return self.tag

    def receive(self) -> list[Frame]:
        """Frames that have come in, after a moment at most."""
        with self.attached():
            return self.decoder.feed(self.line.read(max(1, self.line.in_waiting)))

    def ask(self, kind: int, payload: bytes = b"", *, wait: float) -> bytes | None:
        """One request; its answer's payload, or None if there is none within so many seconds.

        Raises
        ------
        Refusal
            If the answer is an error.
        """
        tag, deadline = self.send(kind, payload), time.monotonic() + wait
        while True:
            for frame in self.receive():
                if frame.tag == tag and frame.kind == REPLY | kind:
                    return frame.payload
                if frame.tag == tag and frame.kind == FAILED and len(frame.payload) == 2:
                    raise Refusal(frame.payload[1], frame.payload[0])
            if time.monotonic() > deadline:
                return None

    def insist(self, kind: int, payload: bytes, answer: int, wait: float = 0.0) -> bytes:
        """A request that is sent again if something went wrong on the line.

        Parameters
        ----------
        kind, payload
        answer : int
            Bytes of the answer's payload.
        wait : float
            Seconds that the board needs beside what the line takes.
        """
        wait += self.patience(len(payload), answer)
        for _ in range(ATTEMPTS):
            try:
                found = self.ask(kind, payload, wait=wait)
            except Refusal as refusal:
                if refusal.code not in (Error.BAD_CRC, Error.TIMEOUT, Error.BUSY):
                    raise
                found = None
            if found is not None:
                return found
            self.recover()
            wait *= 2
        raise Failure(f"{self.name}: the board does not answer to {called(Command, kind)}")

    def recover(self) -> None:
        """Get back into step with the board after noise, a lost byte or its reset.

        Raises
        ------
        Failure
            If it does not answer any more, or is another one now.
        """
        time.sleep(PAUSE)
        self.settled = False
        found = self.identify()
        if found != self.identity:
            raise Failure(f"{self.name}: another bitstream answers now ({found.net} on {found.board})")
