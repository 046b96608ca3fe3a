"""Threads that share the images of a batch in the golden model; training has `model.training.team`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

from model.arithmetic.chunks import CHUNK

MAX_THREADS = 64


@cache
def blas() -> ThreadpoolController:
    """The libraries that have threads of their own. To find them takes longer than a chunk of images."""
    return ThreadpoolController()


def chunks_of(images: int, chunk: int = CHUNK) -> list[slice]:
    """All of so many images in chunks of `chunk`, or of half of all if these are fewer.

    So a second thread finds work; and how many there are decides nothing.
    """
    chunk = min(chunk, max(-(-images // 2), CHUNK))
    return [slice(start, min(start + chunk, images)) for start in range(0, images, chunk)]


class Workers:
    """Threads that share the chunks of a batch, each with its own memory; BLAS keeps to one thread.

    Parameters
    ----------
    network : Network or QNetwork
        Its `new_caches` are a thread's memory.
    threads : int
        1 to 64.
    """

    def __init__(self, network, threads: int):
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"the number of threads lies between 1 and {MAX_THREADS}, not {threads}")
        self.caches = [network.new_caches() for _ in range(threads)]
        self.pool = ThreadPoolExecutor(threads)

    @classmethod
    @contextmanager
    def of(cls, network, threads: int = 1) -> Iterator[Workers]:
        """Workers for a while."""
        workers = cls(network, threads)
        with blas().limit(limits=1), workers.pool:
            yield workers

    def map(self, task: Callable, images: int, chunk: int = CHUNK) -> list:
        """``task(slice, caches)`` for each of `chunks_of` the images, the results in order."""
        chunks, threads = chunks_of(images, chunk), len(self.caches)

        def share(thread):
            return [task(chunk, self.caches[thread]) for chunk in chunks[thread::threads]]

        # The calling thread does a share itself.
        others = [self.pool.submit(share, thread) for thread in range(1, min(threads, len(chunks)))]
        try:
            shares = [share(0)]
        finally:
            others = [other.result() for other in others]
        results = [None] * len(chunks)
        for thread, part in enumerate(shares + others):
            results[thread::threads] = part
        return results
