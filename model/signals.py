"""Ctrl-C and SIGTERM: either ends a command, at whatever moment it comes, and leaves nothing half done."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

COMMAND = "convgate"
"""The console command's name."""
AGAIN = 0.01
"""Seconds after which an interrupt that was lost in a finaliser is given again."""
INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses: 128 and the number of the signal, as shells have it."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: what ends with Ctrl-C ends with it."""


RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


def begin() -> None:
    """Where a command of ours is about to be imported, end at Ctrl-C with one line in place of a traceback.

    Nothing is done yet that would have to be undone. For a program that merely imports us nothing changes.
    """
    first = sys.argv[0] if getattr(sys, "argv", None) else ""
    # Python calls itself so until it has found the module
    started = first == "-m" or os.path.basename(first).partition(".")[0] == COMMAND
    if started and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


def leave(number, frame) -> None:
    """End at once."""
    with contextlib.suppress(OSError):
        os.write(2, b"error: interrupted\n")
    os._exit(INTERRUPTED)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Meanwhile Ctrl-C raises KeyboardInterrupt, SIGTERM `Terminated`, and neither is lost.

    Python drops what is raised in a finaliser (``__del__``, or the callback of a weak reference); where the
    signal comes in one it comes again a moment later. What was ignored from the start, as by ``nohup``, is
    ignored on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner, lost = os.getpid(), sys.unraisablehook

    def handle(number, frame):
        if os.getpid() != owner:
            # a process that was forked has work of its own, and no command to end
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif finalising(frame):
            later(number)
        else:
            raise RAISED[number]

    def told(unraisable):
        for number, kind in RAISED.items():
            if unraisable.exc_type is kind:
                later(number)
                return
        lost(unraisable)

    def later(number):
        # no lock is taken, as threading does: the signal may have come while one is held
        _thread.start_new_thread(lambda: (time.sleep(AGAIN), os.kill(owner, number)), ())

    def finalising(frame) -> bool:
        """Whether an exception would be dropped, as far as that is known before."""
        while frame is not None:
            if frame.f_code is told.__code__ or frame.f_code.co_name == "__del__":
                return True
            frame = frame.f_back
        return False

    wanted = dict.fromkeys(RAISED, handle)
    before = {number: signal.getsignal(number) for number in wanted}
    for number, handler in wanted.items():
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    sys.unraisablehook = told
    try:
        yield
    finally:
        sys.unraisablehook = lost
        for number, handler in before.items():
            if handler is not None:  # as one is that does not come from Python
                signal.signal(number, handler)
