"""Standard output and error as they are: a terminal or a redirect of any encoding takes every character."""

from __future__ import annotations

import codecs
import sys

HANDLER = "convgate.shown"
PLAIN = str.maketrans({"·": ".", "●": "*", "○": "o", "…": "~"} | dict.fromkeys("█▉▊▋▌▍▎▏▐▕", "#"))
"""What is drawn where the stream lacks the character."""


def shown(error: UnicodeError) -> tuple[str, int]:
    """What stands in place of characters that an encoding lacks: others of ours, else their numbers."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(PLAIN)
    return lacking.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(HANDLER, shown)


def take_all() -> None:
    """Let standard output and error take every character from now on."""
    for stream in (sys.stdout, sys.stderr):
        # what stands in their place in a test or a notebook has its own ways
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)
