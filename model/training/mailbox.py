"""Messages between a process and its fork, handed over in microseconds while the reader waits for them.

A message through a pipe, and waking its reader, takes some tens of microseconds, and a step of training only
a thousand. So messages lie in shared memory, and a reader looks there for a while; the pipe is the bell that
wakes it if nothing came, and takes what is too long.
"""

from __future__ import annotations

import mmap
import os
import pickle
import platform
import select
import time
from multiprocessing.connection import Connection

SPIN = 300e-6
"""Seconds for which a reader keeps looking: steps of training come every millisecond or two."""
PATIENCE = 1000
"""Milliseconds of sleep after which a reader looks whether its parent is still there: the pipe alone would
not tell, as another process may have inherited its end."""
ROOM = 1 << 16 if platform.machine() in ("x86_64", "AMD64") else 0
"""Bytes of a message that the shared memory holds. Other processors may show the count before the message."""
COUNT, LENGTH, ASLEEP, WORDS = range(4)
"""The words before a message: messages so far, bytes of the last one, whether its reader sleeps."""


class Mailbox:
    """One direction between two processes, made before the fork.

    It holds one message: the writer waits for an answer before it posts another. Messages are pickled, as
    both sides are this program.

    Parameters
    ----------
    reader, writer : Connection
        Ends of a pipe.
    """

    def __init__(self, reader: Connection, writer: Connection):
        self.reader, self.writer, self.taken = reader, writer, 0
        memory = memoryview(mmap.mmap(-1, 8 * WORDS + ROOM))
        self.words, self.room = memory[: 8 * WORDS].cast("q"), memory[8 * WORDS :]
        self.bell = select.poll()
        self.bell.register(reader, select.POLLIN)

    def post(self, message: object) -> None:
        """Leave a message. The reader's end may show only when an answer is waited for."""
        data, words = pickle.dumps(message, pickle.HIGHEST_PROTOCOL), self.words
        fits = len(data) <= ROOM
        if fits:
            self.room[: len(data)] = data
        words[LENGTH] = len(data)
        words[COUNT] += 1
        if not fits:
            self.writer.send_bytes(data)
        elif words[ASLEEP]:
            self.writer.send_bytes(b"")

    def take(self, parent: int | None = None) -> object:
        """Wait for the next message.

        Parameters
        ----------
        parent : int, optional
            The process that posts, if this one is its child.

        Raises
        ------
        EOFError
            If the writer is gone.
        """
        words, end = self.words, time.perf_counter() + SPIN
        while words[COUNT] == self.taken:
            if time.perf_counter() > end:
                self.sleep(parent)
        self.taken += 1
        length = words[LENGTH]
        data = self.room[:length] if length <= ROOM else b""
        while not data:
            data = self.reader.recv_bytes()  # behind bells that rang when this side was already awake
        return pickle.loads(data)

    def sleep(self, parent: int | None) -> None:
        """Wait for the bell."""
        self.words[ASLEEP] = 1
        while self.words[COUNT] == self.taken:
            # The writer may have looked just before this side lay down, so nobody sleeps for long.
            rung = self.bell.poll(PATIENCE)
            if self.words[COUNT] == self.taken:
                if rung:
                    self.reader.recv_bytes()
                elif parent not in (None, os.getppid()):
                    raise EOFError
        self.words[ASLEEP] = 0
