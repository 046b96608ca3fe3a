"""A board at a serial port: images out, answers in, several of them on the way.

``with Board("/dev/ttyUSB0") as board: board.classify(image).cls``
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from boards.link.line import ATTEMPTS, Line, Refusal, called
from boards.link.protocol import (
    BENCH_BYTES,
    BENCH_IMAGES,
    CRC_BYTES,
    FAILED,
    HEADER_BYTES,
    IDENTIFY_BYTES,
    REPLY,
    Command,
    Error,
    Result,
    image_payload,
)
from model.cli import Failure

WINDOW = 32
"""Images on the way at most, where the core is faster than the line: USB adapters hold answers back for up to
16 ms, six images at 3 Mbaud."""
UNREAD = 2048
"""Bytes of answers that may wait to be read: half of what Linux keeps."""
BUSY = called(Error, Error.BUSY)
BENCH_FIRST = 16
"""Images of the first bench: by then every stage of a net has been filled."""
BENCH_SECONDS = 0.5
"""How long the last bench takes at least."""


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


class Board(Line):
    """A board that answers.

    Parameters
    ----------
    port, baud, told
        As of `Line`.

    Attributes
    ----------
    repeats : int
        Images that had to be sent again because something went wrong, so far.
    """

    def __init__(
        self,
        port: str | None = None,
        baud: int | None = None,
        told: Callable[[str], None] = lambda place: None,
    ):
        super().__init__(port, baud, told)
        self.repeats = 0
        self.window = self.identity.queue + 1
        self.answer_bytes = self.identity.result_bytes
        self.decoder.longest = max(IDENTIFY_BYTES, self.answer_bytes)

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
            self.repeats += why != BUSY  # it was too early, and nothing is wrong
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

    def measure(self, image: np.ndarray) -> Rate:
        """The rate of the core: the last of its `benches`."""
        *_, rate = self.benches(image)
        return rate

    def benches(self, image: np.ndarray) -> Iterator[Rate]:
        """The rate of the core by ever longer benches, until one takes half a second; the last is the best.

        Two are set against each other, so that filling the core does not count.

        Parameters
        ----------
        image : ndarray of int, (H, W, C)

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
            if (result.cls, result.logits) != (expected.cls, expected.logits):
                raise Failure("the core answers otherwise at full rate than to a single image")
            if before is not None:
                cycles = Fraction(result.cycles - before, count // 2)
                yield Rate(count, cycles, expected.cycles, float(self.identity.clock_hz / cycles))
                if seconds >= BENCH_SECONDS or 2 * count > BENCH_IMAGES:
                    return
            before, count = result.cycles, 2 * count

    def load(self, payload: bytes) -> None:
        """Give the board other weights: the payload of `boards.link.weights.load_request`."""
        self.insist(Command.LOAD, payload, 0)
