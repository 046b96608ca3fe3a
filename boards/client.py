"""A board at a serial port: images out, answers in, several of them on the way.

``with Board("/dev/ttyUSB0") as board: board.classify(image).cls``
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import serial
from serial.tools import list_ports

from boards.protocol import (
    BENCH_BYTES,
    BENCH_IMAGES,
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
    Result,
    image_payload,
    result_bytes,
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
WINDOW = 32
"""Images on the way at most, where the core is faster than the line: USB adapters hold answers back for up to
16 ms, six images at 3 Mbaud."""
UNREAD = 2048
"""Bytes of answers that may wait to be read: half of what Linux keeps."""
BENCH_FIRST = 16
"""Images of the first bench: by then every stage of a net has been filled."""
BENCH_SECONDS = 0.5
"""How long the last bench takes at least."""


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


@dataclass(frozen=True)
class Rate:
    """What the core does without the line.

    Attributes
    ----------
    images : int
        Of the longest bench.
    cycles_per_image : Fraction
        One behind the other.
    latency_cycles : int
        From the first pixel of an image to its answer.
    images_per_second : float
    """

    images: int
    cycles_per_image: Fraction
    latency_cycles: int
    images_per_second: float


@dataclass
class Flight:
    """An image that is sent.

    Attributes
    ----------
    index : int
        Its place among the images.
    payload : bytes
    attempts : int
        How often it was sent.
    """

    index: int
    payload: bytes
    attempts: int = field(default=0)


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


class Board:
    """A board that answers.

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
    repeats : int
        Images that had to be sent again, so far.

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
        self.repeats = 0
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
        self.window = self.identity.queue + 1
        self.answer_bytes = result_bytes(self.identity.classes, self.identity.logit.width)
        self.decoder.longest = max(IDENTIFY_BYTES, self.answer_bytes)

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

    def settle(self) -> None:
        """See to it that no answer is on its way to an earlier client, or from before something went wrong.

        Results keep their order, so that of an empty image comes behind all that are owed. One of them might
        bear the same tag; it does not so again for another tag far away.
        """
        while not self.settled:
            self.settled = True  # until something goes wrong again
            for _ in range(2):
                self.tag = (self.tag + 128) % 256
                self.insist(Command.CLASSIFY, bytes(self.identity.image_bytes), self.answer_bytes)

    def classify(self, images: np.ndarray) -> Result | list[Result]:
        """What the board says of an image (H, W, C), or of several (N, H, W, C)."""
        images = np.asarray(images)
        single = images.ndim == 3
        results = list(self.stream(images[None] if single else images))
        return results[0] if single else results

    def stream(self, images: Iterable[np.ndarray]) -> Iterator[Result]:
        """The answers to images, in their order; the line is kept full.

        Parameters
        ----------
        images : iterable of ndarray of int, (H, W, C)
            In the net's pixel format; drawn as they can be sent.

        Raises
        ------
        ValueError
            If an image does not fit the net.
        Failure
            If the board does not answer any more.
        """
        source = enumerate(images)
        again: deque[Flight] = deque()
        flying: dict[int, Flight] = {}  # by tag, in the order of sending
        done: dict[int, Result] = {}
        failures = due = 0
        ended = False
        deadline = 0.0
        self.settle()

        def drop(flight: Flight, why: str) -> None:
            """Send an image again later, but not for ever."""
            self.repeats += 1
            if flight.attempts >= ATTEMPTS:
                raise Failure(f"{self.name}: image {flight.index} failed {ATTEMPTS} times ({why})")
            again.append(flight)

        while True:
            while due in done:
                yield done.pop(due)
                due += 1
            while len(flying) < self.window and (again or not ended):
                if again:
                    flight = again.popleft()
                elif (entry := next(source, None)) is None:
                    ended = True
                    break
                else:
                    flight = Flight(entry[0], image_payload(entry[1], self.identity))
                flight.attempts += 1
                if not flying:
                    deadline = (
                        time.monotonic() + self.patience(len(flight.payload), self.answer_bytes) * 2**failures
                    )
                flying[self.send(Command.CLASSIFY, flight.payload)] = flight
            if not flying:
                return
            answered = False
            for frame in self.receive():
                flight = flying.get(frame.tag)
                if flight is None:
                    continue
                if frame.kind == REPLY | Command.CLASSIFY:
                    # answers come in order: what was sent before this one and has none was lost
                    for tag in list(flying)[: list(flying).index(frame.tag)]:
                        drop(flying.pop(tag), "lost")
                    result = done[flight.index] = Result.decode(frame.payload, self.identity)
                    self.widen(result, len(flight.payload), self.answer_bytes)
                elif frame.kind == FAILED and len(frame.payload) == 2:
                    code = frame.payload[0]
                    if code in (Error.BAD_LENGTH, Error.UNKNOWN_COMMAND, Error.NOT_READY):
                        raise Refusal(frame.payload[1], code)
                    if code == Error.BUSY:
                        flight.attempts -= 1
                        self.narrow()
                    drop(flight, called(Error, code))
                else:
                    continue
                del flying[frame.tag]
                failures, answered = 0, True
            if answered:
                deadline = time.monotonic() + self.patience(self.identity.image_bytes, self.answer_bytes)
            elif time.monotonic() > deadline:
                failures += 1
                if failures > ATTEMPTS:
                    raise Failure(f"{self.name}: the board does not answer any more")
                for flight in sorted(flying.values(), key=lambda flight: flight.index):
                    drop(flight, "no answer")
                flying.clear()
                self.window = min(self.window, self.identity.queue + 1)
                self.recover()
                self.settle()

    def widen(self, result: Result, request: int, answer: int) -> None:
        """More images on the way, if the core is done with one before the line brings the next."""
        frame = HEADER_BYTES + CRC_BYTES
        line = 10 * (request + frame) / self.baud
        core = result.cycles / self.identity.clock_hz + 10 * (answer + frame) / self.baud
        if self.window > self.identity.queue and core < 0.9 * line:
            self.window = max(self.identity.queue + 1, min(WINDOW, UNREAD // (answer + frame)))

    def narrow(self) -> None:
        """No more images on the way than the board holds, from now on."""
        self.window = max(1, self.identity.queue)

    def bench(self, count: int, wait: float = 0.0) -> Result:
        """Let the core classify the last image `count` times; its cycles are those of all together.

        Raises
        ------
        ValueError
            If the board was built without benches, or for a number that it cannot count to.
        """
        if not self.identity.bench:
            raise ValueError(f"{self.identity.board} was built without the command bench")
        if not 1 <= count <= BENCH_IMAGES:
            raise ValueError(f"a bench takes 1 to {BENCH_IMAGES:,} images, not {count}")
        payload = (count % BENCH_IMAGES).to_bytes(BENCH_BYTES, "little")
        return Result.decode(self.insist(Command.BENCH, payload, self.answer_bytes, wait), self.identity)

    def measure(self, image: np.ndarray, progress: Callable[[int], None] = lambda images: None) -> Rate:
        """The rate of the core: ever longer benches, until one takes half a second.

        The last two are set against each other, so that filling the core does not count.

        Parameters
        ----------
        image : ndarray of int, (H, W, C)
        progress : callable
            Called with the images of each bench.

        Raises
        ------
        Failure
            If the core answers otherwise than before: a rate of wrong answers is no rate.
        """
        expected = self.classify(image)
        count, seconds, before = BENCH_FIRST // 2, 0.0, None
        while True:
            start = time.monotonic()
            result = self.bench(count, 4 * seconds)
            seconds = time.monotonic() - start
            progress(count)
            if (result.cls, result.logits) != (expected.cls, expected.logits):
                raise Failure("the core answers otherwise at full rate than to a single image")
            if before is not None and (seconds >= BENCH_SECONDS or 2 * count > BENCH_IMAGES):
                break
            before, count = result.cycles, 2 * count
        cycles = Fraction(result.cycles - before, count // 2)
        return Rate(count, cycles, expected.cycles, float(self.identity.clock_hz / cycles))

    def load(self, payload: bytes) -> None:
        """Give the board other weights: the payload of `boards.weights.load_request`."""
        self.insist(Command.LOAD, payload, 0)
