"""Messages between processes: short ones, long ones, to readers who sleep, and to none."""

import multiprocessing
import os
import time

import pytest

from model.training import mailbox
from model.training.mailbox import Mailbox

FORK = multiprocessing.get_context("fork")


def answered(messages, pause):
    """What a process that returns each message twice makes of them, with a pause before each."""
    near, far = FORK.Pipe()
    there, back = Mailbox(far, near), Mailbox(near, far)

    def echo():
        near.close()
        for _ in messages:
            back.post([there.take(parent)] * 2)

    parent = os.getpid()
    process = FORK.Process(target=echo, daemon=True)
    process.start()
    far.close()
    answers = []
    for message in messages:
        time.sleep(pause)
        there.post(message)
        answers.append(back.take())
    with pytest.raises(EOFError):  # the other side is gone
        back.take()
    process.join()
    return answers


@pytest.mark.parametrize("room", [0, 64, mailbox.ROOM])
@pytest.mark.parametrize("pause", [0, 5 * mailbox.SPIN])
def test_every_message_arrives_once_and_in_order(room, pause, monkeypatch):
    monkeypatch.setattr(mailbox, "ROOM", room)
    messages = [n if n % 3 else bytes(n * 5000) for n in range(40)]
    assert answered(messages, pause) == [[message] * 2 for message in messages]


def test_bells_for_a_reader_who_is_awake_are_passed_over(monkeypatch):
    near, far = FORK.Pipe()
    box = Mailbox(far, near)
    monkeypatch.setattr(mailbox, "ROOM", 64)
    for message in ("short", bytes(1000), "short again", bytes(2000)):
        box.words[mailbox.ASLEEP] = 1
        box.post(message)
        assert box.take() == message


def test_a_message_without_a_bell_is_found_all_the_same(monkeypatch):
    monkeypatch.setattr(mailbox, "PATIENCE", 20)
    near, far = FORK.Pipe()
    box = Mailbox(far, near)
    polled = box.bell

    class Late:
        """The writer looked before the reader lay down."""

        def poll(self, patience):
            box.words[mailbox.ASLEEP] = 0
            box.post("late")
            return polled.poll(patience)

    box.bell = Late()
    assert box.take() == "late"
