"""Gradient-level parallelism: the chunks of a batch shared out, with a result that does not hang on how.

Where the system can fork, the helpers are processes. Python runs one thread at a time; NumPy lets others
run while it computes, but a chunk of images is hundreds of operations of some microseconds, and to hand over
after each costs more than a second core brings. Elsewhere the helpers are threads, with the same results.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np

from model.golden.workers import MAX_THREADS, blas, chunks_of
from model.net.network import Network
from model.training.mailbox import Mailbox

Work = Callable[[object, slice, list[dict]], object]
"""From a message, a chunk of the images it speaks of, and working memory, to a result."""
FORKS = sys.platform == "linux"
"""Elsewhere libraries that NumPy may use do not survive a fork."""
ENDED = "a helper process was ended from outside"


class Team:
    """The calling thread and its helpers, for a while.

    Parameters
    ----------
    network : Network
        Its `new_caches` are a member's memory. A helper process has its own copy of the net, and of all
        that the works know when the team is made.
    works : mapping of str to Work
        What there is to do, by name.
    members : int
        1 to 64.
    """

    def __init__(self, network: Network, works: Mapping[str, Work], members: int):
        if not 1 <= members <= MAX_THREADS:
            raise ValueError(f"the number of threads lies between 1 and {MAX_THREADS}, not {members}")
        self.works, self.caches = works, [network.new_caches() for _ in range(members)]
        self.chunk = network.chunk
        self.helpers: list[Process | Thread] = []

    @classmethod
    @contextmanager
    def of(cls, network: Network, works: Mapping[str, Work], members: int) -> Iterator[Team]:
        """A team for a while, in which BLAS keeps to one thread."""
        team = cls(network, works, members)
        with blas().limit(limits=1):
            try:
                for member in range(1, members):
                    team.helpers.append((Process if FORKS else Thread)(team, member))
                yield team
            finally:
                for helper in team.helpers:
                    helper.end()

    def share(self, member: int, name: str, message, chunks: Sequence[slice]) -> list:
        """One member's results."""
        return [self.works[name](message, chunk, self.caches[member]) for chunk in chunks]

    def map(self, name: str, message, images: int) -> list:
        """A work's results for each of `chunks_of` the images, in order."""
        chunks = chunks_of(images, self.chunk)
        members = min(len(self.caches), max(len(chunks), 1))
        helpers = self.helpers[: members - 1]
        for member, helper in enumerate(helpers, 1):
            helper.begin(name, message, chunks[member::members])
        results: list = [None] * len(chunks)
        try:
            results[::members] = self.share(0, name, message, chunks[::members])
        finally:  # nothing may be left in the pipes
            outcomes = [helper.outcome() for helper in helpers]
        for member, (problem, part) in enumerate(outcomes, 1):
            if problem:
                raise problem
            results[member::members] = part
        return results


class Thread:
    """A helper that shares the interpreter."""

    def __init__(self, team: Team, member: int):
        self.team, self.member, self.pool = team, member, ThreadPoolExecutor(1)

    def begin(self, *share) -> None:
        """Start on a share."""
        self.future = self.pool.submit(self.team.share, self.member, *share)

    def outcome(self) -> tuple[BaseException | None, list | None]:
        """What went wrong, or the results."""
        problem = self.future.exception()
        return problem, None if problem else self.future.result()

    def end(self) -> None:
        """Send the helper away."""
        self.pool.shutdown()


class Process:
    """A helper with an interpreter of its own."""

    def __init__(self, team: Team, member: int):
        context = multiprocessing.get_context("fork")
        self.pipe, far = context.Pipe()
        self.shares, self.answers = Mailbox(far, self.pipe), Mailbox(self.pipe, far)
        inherited = [self.pipe, *(helper.pipe for helper in team.helpers)]
        arguments = team, member, self.shares, self.answers, inherited, os.getpid()
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        with warnings.catch_warnings():
            # On forks beside other threads: ours takes no lock that one of them could hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        far.close()

    def begin(self, *share) -> None:
        """Start on a share."""
        try:
            self.shares.post(share)
        except BrokenPipeError:
            raise ChildProcessError(ENDED) from None

    def outcome(self) -> tuple[BaseException | None, list | None]:
        """What went wrong, or the results."""
        try:
            return self.answers.take()
        except (EOFError, ConnectionResetError):
            return ChildProcessError(ENDED), None

    def end(self) -> None:
        """Send the helper away, whatever it does."""
        self.pipe.close()
        self.process.terminate()
        self.process.join()


def serve(
    team: Team, member: int, shares: Mailbox, answers: Mailbox, inherited: list[Connection], parent: int
) -> None:
    """A helper process's life: shares come in, results go out, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C is the parent's affair
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for end in inherited:
        end.close()
    try:
        while True:
            share = shares.take(parent)
            try:
                answer = None, team.share(member, *share)
            except Exception as error:
                answer = error, None
            answers.post(answer)
    except (EOFError, OSError):
        return


def shared(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array that helper processes of a team made later share, with no bytes sent."""
    count = int(np.prod(shape))
    memory = mmap.mmap(-1, max(count * np.dtype(dtype).itemsize, 1))
    return np.frombuffer(memory, dtype, count).reshape(shape)
