"""How a board is found: rates that a port does not do, others that answer, several ports; words for it."""

import contextlib
import os
import pty
import select
import termios
import threading
import time
import tty

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

from boards import host
from boards.link import line, ports
from boards.link.client import Board
from boards.link.protocol import Error
from model import cli
from model.cli import Failure
from pty_board import IDENTITY, PtyBoard

SPEEDS = {1_000_000: termios.B1000000, 3_000_000: termios.B3000000, 115_200: termios.B115200}
TROUBLE = [
    ValueError("Failed to set custom baud rate"),
    OSError(22, "Invalid argument"),
    termios.error(22, "Invalid argument"),
    serial.SerialException("Cannot configure port"),
]
"""What pyserial raises for a rate, on one system or another."""


class AtRate:
    """Mishaps of a board that understands one rate only; it hears nothing at the others."""

    def __init__(self, fake, rate):
        self.fake, self.rate = fake, rate

    def get(self, number):
        return None if termios.tcgetattr(self.fake.slave)[5] == SPEEDS[self.rate] else "silent"


@contextlib.contextmanager
def refusing(rates, error):
    """An adapter that does not do some rates."""
    real = serial.Serial._reconfigure_port

    def reconfigure(self, force_update=False):
        if self._baudrate in rates:
            raise error
        real(self, force_update)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serial.Serial, "_reconfigure_port", reconfigure)
        yield patch


@settings(max_examples=12)
@given(rate=st.sampled_from(line.RATES), refused=st.sets(st.sampled_from(line.RATES)), data=st.data())
def test_rates_that_the_port_refuses_are_passed_over(rate, refused, data):
    with refusing(refused - {rate}, data.draw(st.sampled_from(TROUBLE))) as patch, PtyBoard() as fake:
        patch.setattr(line, "FIRST_WAIT", 0.1)
        fake.mishaps = AtRate(fake, rate)
        with Board(fake.port) as board:
            assert (board.identity, board.baud) == (IDENTITY, rate)


@pytest.mark.parametrize("error", TROUBLE)
def test_refused_rates_are_told(error, monkeypatch):
    monkeypatch.setattr(line, "SEARCH", 0.5)
    monkeypatch.setattr(line, "FIRST_WAIT", 0.1)
    with refusing({3_000_000}, error), PtyBoard({n: "silent" for n in range(99)}) as fake:
        told = []
        with pytest.raises(
            Failure, match=r"with 1,000,000 or 115,200 baud \(the port does not do 3,000,000\)"
        ):
            Board(fake.port, told=told.append)
        assert told[:2] == [f"{fake.port} at 1,000,000 baud", f"{fake.port} at 115,200 baud"]
    with refusing(set(line.RATES), error), PtyBoard() as fake, pytest.raises(ValueError, match="does not do"):
        Board(fake.port)
    with refusing({57_600}, error), PtyBoard() as fake, pytest.raises(ValueError, match="does not do 57,600"):
        Board(fake.port, 57_600)


@contextlib.contextmanager
def other(answer, period=0.005):
    """A port at which something else is: `answer` makes what it says of what it hears."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()
    os.set_blocking(master, False)

    def serve():
        while not ended.is_set():
            heard = os.read(master, 4096) if select.select([master], [], [], period)[0] else b""
            with contextlib.suppress(BlockingIOError):
                os.write(master, answer(heard))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda heard: b"", "nothing answers at"),
        (lambda heard: heard, "what is sent comes back"),
        (lambda heard: b"G1 X3\r\n", r"something else answers at .* says 'G1 X3\\x0d\\x0a"),
        (lambda heard: b"OK\n" if heard else b"", r"something else answers at .* says 'OK"),
        (lambda heard: os.urandom(2000), "something else answers at"),
        (lambda heard: b"\xa5\xc3" * 500, "something else answers at"),
    ],
)
@pytest.mark.parametrize("baud", [None, 9600])
def test_what_is_there_in_place_of_a_board_is_told_in_time(answer, words, baud, monkeypatch):
    monkeypatch.setattr(line, "SEARCH", 0.4)
    monkeypatch.setattr(line, "FIRST_WAIT", 0.05)
    with other(answer) as port:
        start = time.monotonic()
        with pytest.raises(Failure, match=words):
            Board(port, baud)
        assert time.monotonic() - start < 3  # far from a multiple of it, on a busy machine as well


def test_a_search_takes_ten_seconds():
    assert line.SEARCH <= 10


def test_a_refusal_does_not_end_it(monkeypatch):
    """Noise on the line is no reason to give up."""
    monkeypatch.setattr(line, "FIRST_WAIT", 0.05)
    with PtyBoard({0: Error.BAD_CRC, 1: Error.TIMEOUT, 3: Error.BUSY}) as fake, Board(fake.port) as board:
        assert board.identity == IDENTITY
    monkeypatch.setattr(line, "SEARCH", 0.3)
    with (
        PtyBoard({n: Error.BAD_CRC for n in range(99)}) as fake,
        pytest.raises(Failure, match="the board refused identify: bad crc"),
    ):
        Board(fake.port)


class Port:
    """As pyserial describes one."""

    def __init__(self, device, vid=1, pid=2, serial_number="3", location=None):
        self.device, self.vid, self.pid, self.description = device, vid, pid, "a bridge"
        self.serial_number, self.location = serial_number, location


def bridge(*devices):
    """The ports of one bridge."""
    return [Port(name, location=f"1-1.2:1.{index}") for index, name in enumerate(devices)]


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ([], "no USB serial port"),
        ([Port("/dev/ttyS0", None)], "no USB serial port"),
        (
            [Port("/dev/b", location="1-1"), Port("/dev/a", location="1-2")],
            r"several serial ports, name one: /dev/a \(a bridge\), /dev/b",
        ),
        ([*bridge("/dev/a", "/dev/b"), Port("/dev/c", 7)], "several serial ports, name one"),
        ([Port("/dev/a"), Port("/dev/b", serial_number="4")], "several serial ports, name one"),
    ],
)
def test_port_that_cannot_be_found(found, what, monkeypatch):
    monkeypatch.setattr(ports.list_ports, "comports", lambda: found)
    with pytest.raises(ValueError, match=what):
        ports.find_ports()


@pytest.mark.parametrize(
    ("found", "names"),
    [
        ([Port("/dev/ttyS0", None), Port("/dev/ttyUSB3")], ["/dev/ttyUSB3"]),
        (bridge("/dev/ttyUSB0", "/dev/ttyUSB1"), ["/dev/ttyUSB1", "/dev/ttyUSB0"]),
        (bridge("/dev/ttyUSB10", "/dev/ttyUSB9")[::-1], ["/dev/ttyUSB10", "/dev/ttyUSB9"]),
        (bridge("COM10", "COM9", "COM11", "COM8"), ["COM11", "COM10", "COM9", "COM8"]),
        ([Port("/dev/cu.usb-x0"), Port("/dev/cu.usb-x1")], ["/dev/cu.usb-x1", "/dev/cu.usb-x0"]),
    ],
)  # fmt: skip
def test_ports_of_one_device_are_all_tried(found, names, monkeypatch):
    monkeypatch.setattr(ports.list_ports, "comports", lambda: found)
    assert ports.find_ports() == names


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("trouble", ["silent", "busy", "gone"])
def test_board_is_at_one_of_two_ports(first, trouble, monkeypatch):
    monkeypatch.setattr(line, "SEARCH", 4.0)
    with PtyBoard() as fake, other(lambda heard: b"") as silent, contextlib.ExitStack() as stack:
        if trouble == "busy":
            stack.enter_context(serial.Serial(silent, exclusive=True))
        names = ["/dev/none-such" if trouble == "gone" else silent, fake.port]
        names = names[::-1] if first else names
        monkeypatch.setattr(ports, "find_ports", lambda: names)
        with Board() as board:
            assert (board.name, board.identity) == (fake.port, IDENTITY)


def test_ports_without_a_board_are_all_told(monkeypatch):
    monkeypatch.setattr(line, "SEARCH", 0.5)
    with other(lambda heard: b"") as silent, other(lambda heard: heard) as echo:
        monkeypatch.setattr(ports, "find_ports", lambda: [silent, echo])
        with pytest.raises(Failure, match=rf"nothing answers at {silent}.*; {echo} .*comes back"):
            Board()


def test_busy_port(capsys):
    with PtyBoard() as fake, Board(fake.port):
        assert cli.run(host.main, [fake.port]) == 2
    assert capsys.readouterr().err == (
        f"error: {fake.port} is in use by another program, such as a terminal or another host: end that\n"
    )


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/full", "/dev/fd"])
def test_what_is_no_serial_port(name, capsys):
    assert cli.run(host.main, [name]) == 2
    assert capsys.readouterr().err == f"error: {name} is no serial port\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (serial.SerialException(13, "could not open port: Permission denied"), "sudo usermod -aG"),
        (PermissionError(1, "Operation not permitted"), "sudo usermod -aG"),
        (serial.SerialException(2, "could not open port"), "there is no port"),
        (serial.SerialException("could not open port 'COM9': FileNotFoundError(2, 'x')"), "there is no port"),
        (serial.SerialException("could not open port 'COM9': PermissionError(13, 'Access')"), "in use"),
        (serial.SerialException(5, "Input/output error"), "cannot be opened"),
    ],
)  # fmt: skip
def test_why_a_port_cannot_be_opened(error, words, tmp_path, monkeypatch):
    monkeypatch.setattr(ports.grp, "getgrgid", lambda number: ports.grp.struct_group(("dialout", "", 20, [])))
    said = ports.reason(str(tmp_path), error)
    assert words in said and ("group dialout" in said) == ("usermod" in words)
    monkeypatch.setattr(ports.grp, "getgrgid", lambda number: ports.grp.struct_group(("root", "", 0, [])))
    assert ("udev" in ports.reason(str(tmp_path), error)) == ("usermod" in words)


def test_board_without_bench_says_which_have_it(capsys):
    identity = IDENTITY.__class__(**{**IDENTITY.__dict__, "bench": False})
    with PtyBoard(identity=identity) as fake:
        assert cli.run(host.main, [fake.port, "--bench"]) == 2
    said = capsys.readouterr().err
    assert "built without the command bench" in said and "ulx3s-12f" in said and "icebreaker" not in said


def test_images_that_came_too_early_are_not_called_sent_again():
    with PtyBoard({n: Error.BUSY for n in range(4, 12)}) as fake, Board(fake.port) as board:
        board.classify([[[[1], [2], [3]], [[4], [5], [6]]]] * 9)
        assert board.repeats == 0 and len(fake.requests) > 12
