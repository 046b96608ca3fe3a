"""Threads that share chunks."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arithmetic.chunks import CHUNK
from model.golden.workers import Workers
from model.layers import Dense
from model.net.network import Network
from model.training.nets import NETS


@given(threads=st.integers(1, 5), count=st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_workers_share_every_chunk_once_and_keep_the_order(threads, count):
    network = Network([Dense(2)], (1, 1, 1), np.random.default_rng(0))
    owners = {}

    def task(chunk, caches):
        assert owners.setdefault(id(caches), threading.get_ident()) == threading.get_ident()
        return list(range(count))[chunk]

    with Workers.of(network, threads) as workers:
        parts = workers.map(task, count)
    assert [image for part in parts for image in part] == list(range(count))
    assert all(len(part) == CHUNK for part in parts[:-1])


def test_a_batch_has_two_chunks_at_least():
    network = Network([Dense(2)], (1, 1, 1), np.random.default_rng(0))
    with Workers.of(network, 1) as workers:
        sizes = [
            workers.map(lambda chunk, caches: chunk.stop - chunk.start, count, 2 * CHUNK)
            for count in (CHUNK, 3 * CHUNK, 4 * CHUNK, 5 * CHUNK)
        ]
    assert sizes == [[CHUNK], 2 * [3 * CHUNK // 2], 2 * [2 * CHUNK], [2 * CHUNK, 2 * CHUNK, CHUNK]]


def test_large_images_go_through_the_engine_in_small_numbers():
    sizes = [NETS[name].network((28, 28, 1), 10, np.random.default_rng(0)).chunk for name in NETS]
    assert dict(zip(NETS, sizes)) == {"large": 32, "lecture": 64, "lenet": 64, "record": 64, "tiny": 64}
    assert NETS["lenet"].network((200, 200, 3), 10, np.random.default_rng(0)).chunk == 32


@pytest.mark.parametrize("failing", [0, CHUNK])
def test_a_failing_chunk_is_reported(failing):
    network = Network([Dense(2)], (1, 1, 1), np.random.default_rng(0))

    def task(chunk, caches):
        if chunk.start == failing:
            raise FloatingPointError("in a chunk")

    with Workers.of(network, 2) as workers, pytest.raises(FloatingPointError):
        workers.map(task, 2 * CHUNK)


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_number_of_threads_is_checked(threads):
    with pytest.raises(ValueError, match="between 1 and 64"), Workers.of(None, threads):
        pass
