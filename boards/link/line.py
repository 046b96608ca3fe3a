"""The line to a board: frames out and in, at the rate that the board answers to."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator

import serial

from boards.link import ports
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
SEARCH = 10.0
"""Seconds after which a board that does not answer to identify is none."""
HEARD = 4096
"""Bytes of what a port says that are kept, for the case that no board is there."""
SAMPLE = 16
"""Bytes of them that are shown."""
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


def rates_of(rates) -> str:
    """Baud rates in words."""
    return " or ".join(f"{rate:,}" for rate in rates)


def said(data: bytes) -> str:
    """What some bytes look like, for people."""
    text = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data[:SAMPLE])
    return f"'{text}'" if len(data) <= SAMPLE else f"'{text}' and more"


def called(names, number: int) -> str:
    """What an enumeration calls a number, in words."""
    return names(number).name.replace("_", " ").lower() if number in list(names) else f"number {number}"


class Line:
    """A serial port at whose end a board answers.

    Parameters
    ----------
    port : str, optional
        Name of the serial port; by default that of the only USB device, the last one first if it has several.
    baud : int, optional
        Its rate; by default the `RATES` are tried, but for those that the port does not do.
    told : callable, optional
        Called with the port and the rate that are tried, as a text.

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
        If no port is named and there is none, or one of several devices; if it cannot be opened.
    Failure
        If nothing answers, or something else does.
    """

    def __init__(
        self,
        port: str | None = None,
        baud: int | None = None,
        told: Callable[[str], None] = lambda place: None,
    ):
        names = ports.find_ports() if port is None else [port]
        self.wanted = RATES if baud is None else (baud,)
        self.settled = False
        self.decoder = Decoder(longest=IDENTIFY_BYTES)
        self.tag = random.randrange(256)
        self.told = told
        problems = []
        for name in names:
            try:
                self.take(name, SEARCH / len(names))
                return
            except (Failure, ValueError) as problem:
                # the other port of the same bridge may be the board's
                problems.append(problem)
        if len(problems) == 1:
            raise problems[0]
        raise Failure("; ".join(map(str, problems)))

    def take(self, name: str, seconds: float) -> None:
        """Open a port, and find the board there."""
        self.name = name
        self.rates, self.refused, self.heard = self.wanted, set(), None
        self.line = ports.opened(name, timeout=POLL, write_timeout=STUCK)
        with contextlib.suppress(Exception):
            self.line.set_low_latency_mode(True)  # a wish: not every adapter knows it
        try:
            self.identity = self.identify(seconds)
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

    def identify(self, seconds: float = SEARCH) -> Identity:
        """Ask who is there, again and again, at every rate in question.

        The pauses in between are longer each time: from whatever state, the board is in step after one of
        them. How long the answer takes tells how patient to be with others.

        Parameters
        ----------
        seconds : float
            After which nobody is there.
        """
        self.heard = bytearray()
        try:
            return self.search(time.monotonic() + seconds)
        finally:
            self.heard = None

    def search(self, end: float) -> Identity:
        """The identity of what answers until a moment."""
        wait, echoed, refusal = FIRST_WAIT, False, None
        while time.monotonic() < end:
            for place, rate in enumerate(self.rates):
                if not self.set_rate(rate):
                    continue
                self.told(f"{self.name} at {rate:,} baud")
                self.forget()
                start = time.monotonic()
                try:
                    # what time is left is shared out evenly
                    patience = min(wait, (end - start) / (len(self.rates) - place))
                    payload = self.ask(Command.IDENTIFY, wait=patience)
                except Refusal as error:
                    payload, refusal = None, error
                    time.sleep(PAUSE)
                if payload is not None:
                    self.rates = (rate,)
                    length = 2 * (HEADER_BYTES + CRC_BYTES) + len(payload)
                    self.byte_seconds = (time.monotonic() - start) / length
                    return Identity.decode(payload)
                echoed |= Frame(Command.IDENTIFY, self.tag).encode() in self.heard
            self.rates = tuple(rate for rate in self.rates if rate not in self.refused)
            if not self.rates:
                raise ValueError(
                    f"{self.name} does not do {rates_of(self.wanted)} baud: name a rate by --baud"
                )
            wait *= 2
        raise refusal or Failure(self.verdict(echoed))

    def verdict(self, echoed: bool) -> str:
        """What is there in place of a board."""
        at = f"{self.name} with {rates_of(self.rates)} baud"
        if self.refused:
            at += f" (the port does not do {rates_of(sorted(self.refused))})"
        if echoed:
            return f"{at}: what is sent comes back as it is; are TX and RX joined, or is it another device?"
        if self.heard:
            return (
                f"something else answers at {at}, and says {said(self.heard)}: is it another device, a board"
                " without a bitstream of convgate, or one at another rate (--baud)?"
            )
        return f"nothing answers at {at}: is a bitstream of convgate loaded?"

    def set_rate(self, rate: int) -> bool:
        """Whether the port does a rate, which it has from now on."""
        if rate in self.refused:
            return False
        if self.line.baudrate != rate:
            try:
                self.line.baudrate = rate
            except ports.TROUBLE:
                self.check()  # a port that has gone does no rate at all
                self.refused.add(rate)
                return False
        return True

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """A port that vanishes or takes no more bytes is a failure of the work, not of the input."""
        try:
            yield
        except serial.SerialTimeoutException:
            raise Failure(f"{self.name} takes no more bytes") from None
        except (OSError, ports.TerminalError) as error:
            raise Failure(f"{self.name} has gone: {error}") from None

    def check(self) -> None:
        """Raise a `Failure` if the port has gone."""
        with self.attached():
            self.line.in_waiting  # noqa: B018

    def patience(self, request: int, answer: int) -> float:
        """Seconds to wait for an answer, from the bytes of a request's payload and of the answer's."""
        return 1.0 + 8 * self.byte_seconds * (request + answer + 2 * (HEADER_BYTES + CRC_BYTES))

    def forget(self) -> None:
        """Drop what has come in, though more may come at any moment."""
        with self.attached():
            self.hear(self.line.read(self.line.in_waiting))
            self.line.reset_input_buffer()
        self.decoder.reset()

    def hear(self, data: bytes) -> bytes:
        """The same bytes; kept while nobody knows who is there."""
        if self.heard is not None:
            self.heard += data[: HEARD - len(self.heard)]
        return data

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
            return self.decoder.feed(self.hear(self.line.read(max(1, self.line.in_waiting))))

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
