"""Traffic for `boards.fuzz`: requests, and all that may befall them on a serial line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from boards.link.protocol import (
    BENCH_BYTES,
    CRC_BYTES,
    HEADER_BYTES,
    MAX_LENGTH,
    REPLY,
    SYNC,
    Command,
    Frame,
    crc8,
)
from boards.simulated.board import Break, Broken, Button, Item, Mark, Pause, Quiet, Rate
from boards.simulated.referee import LAYOUT_BYTES, Expected, Referee

SHORT, LONG = 20, 80
"""Pauses that a frame bears and that end it, bits; the board waits for 50."""
CALM = 260
"""Bits of answers that may be owed when another request is sent: one result's."""
MOST = 6
"""Requests of a case."""
RUSH = 8
"""Requests without a pause: so many answers wait for the line."""
TAKEN = 2
"""Bits until a byte has been looked at."""
BOARD_LOST = 4
"""Bits for which the button is held."""


@dataclass
class Part:
    """What is sent up to a mark, and what must come back.

    Attributes
    ----------
    items : list of Item
    expected : list of Expected
    names : list of str
        What was done.
    rush : bool
        The board may be busy.
    cut : bool
        The board was reset while it may have been answering: the rest of its answers is lost.
    """

    items: list[Item] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    rush: bool = False
    cut: bool = False


class Traffic:
    """Draws cases, and keeps the referee informed.

    Parameters
    ----------
    referee : Referee
    rng : numpy Generator

    Attributes
    ----------
    kinds : Counter
        What was done how often.
    frames : int
        Frames and what is left of some.
    """

    def __init__(self, referee: Referee, rng: np.random.Generator):
        self.referee, self.rng = referee, rng
        self.kinds, self.frames = Counter(), 0
        self.tag = 0
        self.now = self.answered = 0.0  # bits: the line's two directions
        self.acts = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")]

    def case(self) -> list[Part]:
        """Some requests and damage; then a good image; between them, what brings the weights back."""
        part = self.part = Part()
        if self.rng.random() < 0.15:
            part.rush = True
            for _ in range(self.rng.integers(4, RUSH + 1)):
                self.note("back to back")
                self.send(self.request(rush=True).encode())
        else:
            for _ in range(self.rng.integers(1, MOST + 1)):
                if self.answered - self.now > CALM:
                    self.quiet()
                act = self.acts[self.rng.integers(len(self.acts))]
                self.note(act.__name__[3:].replace("_", " "))
                act()
                if part.cut:
                    break
        parts = [self.end()]
        if self.referee.net is None:
            self.part = Part()
            self.note("good image without weights")
            self.send(self.image().encode())
            self.quiet()
            self.note("good set")
            self.send(self.load().encode())
            parts.append(self.end())
        self.part = Part()
        self.note("good image afterwards")
        self.send(self.image().encode())
        return [*parts, self.end()]

    def end(self) -> Part:
        """The part that is being written, with silence at its end."""
        self.quiet()
        self.part.items.append(Mark())
        self.part.expected = self.referee.answers
        self.referee.answers = []
        return self.part

    def note(self, name: str) -> None:
        """Something is about to be done."""
        self.kinds[name] += 1
        self.part.names.append(name)

    # -- the line

    def send(self, data: bytes) -> None:
        """Bytes of what counts as a frame."""
        self.frames += 1
        self.raw(data)

    def raw(self, data: bytes, broken: bool = False) -> None:
        """Bytes, perhaps without their stop bits."""
        if not data:
            return
        self.part.items.append(Broken(data) if broken else data)
        for value in data:
            before = len(self.referee.answers)
            self.referee.byte(value, broken)
            self.now += 10 + broken
            for answer in self.referee.answers[before:]:
                self.answered = max(self.answered, self.now) + 10 * (self.size(answer) + 2)
                if answer.kind == REPLY | Command.BENCH:
                    self.answered += CALM  # images are refused until a bench is answered

    def size(self, answer: Expected) -> int:
        """Bytes of an answer."""
        identity = self.referee.identity
        payload = len(answer.payload)
        if answer.net is not None:
            payload = identity.result_bytes
        return HEADER_BYTES + CRC_BYTES + payload

    def pause(self, bits: int) -> None:
        """Silence."""
        self.part.items.append(Pause(bits))
        self.now += bits
        if bits >= LONG:
            self.referee.time_out()

    def quiet(self) -> None:
        """Silence until all is answered."""
        self.part.items.append(Quiet(LONG))
        self.referee.time_out()
        self.now = self.answered = max(self.now, self.answered) + LONG

    # -- good requests

    def draw(self, low: int, high: int) -> int:
        """A number from low to high."""
        return int(self.rng.integers(low, high + 1))

    def frame(self, kind: int, payload: bytes = b"") -> Frame:
        """A request with a tag of its own."""
        self.tag = (self.tag + 1) % 256
        return Frame(kind, self.tag, payload)

    def image(self) -> Frame:
        """A classify request."""
        return self.frame(Command.CLASSIFY, self.rng.bytes(self.referee.identity.image_bytes))

    def load(self) -> Frame:
        """A set of weights, for a board that has nothing else to do."""
        self.quiet()
        sets = self.referee.sets
        return self.frame(Command.LOAD, sets[self.draw(0, len(sets) - 1)])

    def bench(self) -> Frame:
        """A bench, likewise."""
        self.quiet()
        return self.frame(Command.BENCH, self.draw(1, 5).to_bytes(BENCH_BYTES, "little"))

    def request(self, rush: bool = False) -> Frame:
        """Any good request; in a rush only such as need no idle board."""
        place = self.rng.random()
        if place < (0.8 if rush else 0.6):
            return self.image()
        if place < 0.7 or rush:
            return self.frame(Command.IDENTIFY)
        return self.load() if place < 0.85 else self.bench()

    # -- what may happen

    def do_good_request(self):
        self.send(self.request().encode())

    def do_same_frame_twice(self):
        wire = self.request().encode()
        for _ in range(2):
            if wire[3] != Command.CLASSIFY:
                self.quiet()
            self.send(wire)

    def do_random_bytes(self):
        self.send(self.rng.bytes(self.draw(1, 60)))

    def do_bytes_like_headers(self):
        parts = [SYNC, SYNC[:1], bytes([Command.CLASSIFY]), bytes([Command.LOAD]), b"\0", b"\6\0\0"]
        self.send(b"".join(parts[self.draw(0, len(parts) - 1)] for _ in range(self.draw(1, 30))))

    def do_flipped_bits(self):
        wire = bytearray(self.request().encode())
        for _ in range(self.draw(1, 3)):
            wire[self.draw(0, len(wire) - 1)] ^= 1 << self.draw(0, 7)
        self.send(bytes(wire))

    def do_overwritten(self):
        wire = bytearray(self.request().encode())
        start = self.draw(0, len(wire) - 1)
        length = min(self.draw(1, 6), len(wire) - start)
        wire[start : start + length] = self.rng.bytes(length)
        self.send(bytes(wire))

    def do_cut_off(self):
        wire = self.request().encode()
        self.send(wire[: self.draw(1, len(wire) - 1)])
        if self.rng.random() < 0.5:
            self.pause(self.draw(LONG, 2 * LONG))

    def do_lost_byte(self):
        wire = self.request().encode()
        place = self.draw(0, len(wire) - 1)
        self.send(wire[:place] + wire[place + 1 :])

    def do_doubled_byte(self):
        wire = self.request().encode()
        place = self.draw(0, len(wire) - 1)
        self.send(wire[:place] + wire[place : place + 1] + wire[place:])

    def do_bytes_behind(self):
        self.send(self.request().encode() + self.rng.bytes(self.draw(1, 40)))

    def do_one_frame_within_another(self):
        outer, inner = self.request().encode(), self.request().encode()
        place = self.draw(1, len(outer) - 1)
        self.send(outer[:place])
        self.send(inner)
        self.raw(outer[place:])

    def do_two_frames_by_turns(self):
        one, other = self.request().encode(), self.request().encode()
        mixed = b"".join(one[k : k + 1] + other[k : k + 1] for k in range(max(len(one), len(other))))
        self.frames += 1
        self.send(mixed)

    def do_wrong_length(self):
        right = self.referee.lengths
        kind = list(right)[self.draw(0, len(right) - 1)]
        due = right[kind]
        near = (0, 1, due - 1, due + 1, 2 * due, due + 256, self.draw(0, 40))
        length = near[self.draw(0, len(near) - 1)]
        length = due + 1 if length in (due, -1) else length
        self.quiet()
        self.send(self.frame(kind, self.rng.bytes(length)).encode())

    def do_length_that_never_comes(self):
        header = bytearray(self.image().encode()[:HEADER_BYTES])
        header[4:7] = self.draw(1000, MAX_LENGTH).to_bytes(3, "little")
        header[7] = crc8(bytes(header[2:7]))
        self.send(bytes(header) + self.rng.bytes(self.draw(0, 20)))
        self.pause(LONG)

    def do_unknown_command(self):
        kind = (
            (set(range(256)) - set(self.referee.lengths)).pop()
            if self.rng.random() < 0.1
            else self.draw(5, 255)
        )
        payload = self.image().encode() if self.rng.random() < 0.3 else self.rng.bytes(self.draw(0, 30))
        self.send(self.frame(kind, payload).encode())

    def do_bytes_without_stop_bits(self):
        wire = self.request().encode()
        start = self.draw(0, len(wire) - 1)
        end = min(start + self.draw(1, 4), len(wire))
        self.send(wire[:start])
        self.raw(wire[start:end], broken=True)
        self.raw(wire[end:])

    def do_break(self):
        wire = self.request().encode()
        place = self.draw(0, len(wire))
        self.send(wire[:place])
        long = self.rng.random() < 0.3
        bits = self.draw(2 * LONG, 4 * LONG) if long else self.draw(12, 24)
        self.part.items += [Break(bits), Pause(2)]
        self.referee.byte(0, broken=True)
        self.now += bits + 2
        if long:
            self.referee.time_out()
        self.raw(wire[place:])

    def do_glitch(self):
        """A pulse of a quarter of a bit."""
        self.part.items += [Rate(4), Break(1), Rate(1), Pause(self.draw(1, SHORT))]
        self.now += SHORT
        self.send(self.request().encode())

    def do_other_rate(self):
        frame = self.request().encode()
        self.part.items.append(Rate(1 + self.rng.uniform(-0.02, 0.02)))
        self.send(frame)
        self.part.items.append(Rate(1))

    def do_rate_far_off(self):
        """At rates that the board does not understand; so the referee is told nothing."""
        self.quiet()
        slow = self.rng.random() < 0.5
        rate = self.rng.uniform(0.2, 0.85) if slow else self.rng.uniform(1.2, 4)
        wire = self.request().encode() if self.rng.random() < 0.5 else self.rng.bytes(self.draw(1, 30))
        self.frames += 1
        self.part.items += [Rate(rate), wire, Rate(1)]
        self.pause(2 * LONG)

    def do_pause_within(self):
        wire = self.request().encode()
        place = self.draw(1, len(wire) - 1)
        self.send(wire[:place])
        self.pause(self.draw(1, SHORT) if self.rng.random() < 0.7 else self.draw(LONG, 2 * LONG))
        self.raw(wire[place:])

    def do_set_for_another_build(self):
        self.rewritten(self.draw(0, LAYOUT_BYTES - 1))

    def do_damaged_set(self):
        self.rewritten(self.draw(LAYOUT_BYTES, self.referee.identity.set_bytes - 1))

    def rewritten(self, place: int) -> None:
        """A set that was damaged before it was sent: the CRC of its frame is right."""
        payload = bytearray(self.load().payload)
        payload[place] ^= self.draw(1, 255)
        self.send(self.frame(Command.LOAD, bytes(payload)).encode())

    def do_set_cut_off(self):
        wire = self.load().encode()
        self.send(wire[: self.draw(1, len(wire) - 1)])
        self.pause(LONG)

    def do_reset_within(self):
        wire = self.request().encode()
        self.quiet()
        self.send(wire[: self.draw(0, len(wire) - 1)])
        # else the last byte of a set's layout, which decides what becomes of the weights, races the button
        self.pause(TAKEN)
        self.press()

    def do_reset_while_answering(self):
        self.send(self.image().encode())
        self.pause(self.draw(0, LONG // 2))
        self.press()

    def press(self) -> None:
        """The reset button."""
        self.part.cut |= self.answered > self.now
        self.part.items += [Button(True), Pause(BOARD_LOST), Button(False), Pause(BOARD_LOST)]
        self.now += 2 * BOARD_LOST
        self.referee.reset()
