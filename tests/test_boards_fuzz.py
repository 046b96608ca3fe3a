"""Traffic of every kind on a simulated board's line, and a referee that notices a board that is wrong."""

import json
from dataclasses import replace

import pytest

from boards import fuzz
from boards.fuzz import Fuzzer, Wrong
from boards.link.protocol import SYNC, Decoder, Error, Frame
from boards.shell import frames, shell
from boards.shell.crc import SerialCrc
from boards.shell.uart import Receiver
from boards.simulated import traffic as damage
from model import cli


@pytest.fixture(scope="module")
def fuzzer() -> Fuzzer:
    return Fuzzer("ulx3s")


def test_whatever_is_sent_the_answers_are_right(fuzzer):
    tally = fuzzer.run(seed=1, batch=0, cases=400)
    assert tally.frames > 1600
    assert all(any(f"error {code}," in name for name in tally.answers) for code in Error)
    assert all(count > 0 for count in tally.kinds.values())
    assert len(tally.kinds) == len([name for name in dir(damage.Traffic) if name.startswith("do_")]) + 4


def test_whatever_is_sent_the_values_are_right():
    tally = Fuzzer("ulx3s", classifies=False).run(seed=4, batch=0, cases=200)
    assert tally.answers["classify"] > 100 and tally.answers["bench"] > 5


def test_runs_are_the_same_again(fuzzer):
    assert fuzzer.run(1, 3, cases=10) == fuzzer.run(1, 3, cases=10)
    assert fuzzer.run(1, 3, cases=10) != fuzzer.run(1, 4, cases=10)


class Forgiving(SerialCrc):
    """It takes every CRC for right."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.match_detected.eq(1)
        return m


class Careless(Receiver):
    """It does not look for stop bits."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.o.payload.error.eq(0)
        return m


@pytest.mark.parametrize(("module", "mutant"), [(frames, Forgiving), (shell, Careless)])
def test_mutants_of_the_board_are_caught(module, mutant, monkeypatch):
    monkeypatch.setattr(module, mutant.__base__.__name__, mutant)
    with pytest.raises(Wrong):
        Fuzzer("ulx3s").run(seed=2, batch=0, cases=100)


def lost(data: bytes) -> bytes:
    """Without its first answer."""
    return data[data.index(SYNC, 1) :] if SYNC in data[1:] else b""


def twice(data: bytes) -> bytes:
    """Its last answer again."""
    return data + data[data.rindex(SYNC) :]


def altered(data: bytes) -> bytes:
    """The last answer with another last byte, and the CRC that fits."""
    frame = Decoder().feed(data)[-1]
    payload = frame.payload[:-1] + bytes([frame.payload[-1] ^ 1])
    return data[: data.rindex(SYNC)] + Frame(frame.kind, frame.tag, payload).encode()


def noisy(data: bytes) -> bytes:
    """A byte between the answers."""
    return data + b"\0"


@pytest.mark.parametrize("tamper", [lost, twice, altered, noisy], ids=lambda tamper: tamper.__name__)
def test_answers_that_are_tampered_with_are_noticed(fuzzer, tamper, monkeypatch):
    honest = fuzzer.board.parts

    def parts(*args, **options):
        *found, last, end = honest(*args, **options)
        return [*found, replace(last, data=tamper(last.data)), end]

    monkeypatch.setattr(fuzzer.board, "parts", parts)
    with pytest.raises(Wrong):
        fuzzer.run(seed=3, batch=0, cases=2)


def test_a_failure_is_kept_and_told(fuzzer, tmp_path, monkeypatch, capsys):
    honest = fuzzer.board.parts
    monkeypatch.setattr(fuzz, "Fuzzer", lambda board, **_: fuzzer)
    monkeypatch.setattr(
        fuzzer.board,
        "parts",
        lambda *args, **options: [replace(part, data=b"") for part in honest(*args, **options)],
    )
    assert cli.run(fuzz.main, ["--batch", "5", "--out", str(tmp_path)]) == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "--seed 0 --batch 5" in text
    assert json.loads((tmp_path / "0-5.json").read_text())["answered"] == []


def test_counts_are_told_and_written(fuzzer, tmp_path, monkeypatch, capsys):
    tally = fuzzer.run(1, 7, cases=20)
    monkeypatch.setattr(fuzzer, "run", lambda seed, batch: tally)
    monkeypatch.setattr(fuzz, "Fuzzer", lambda board, **_: fuzzer)
    assert cli.run(fuzz.main, ["--batch", "7", "--json", str(tmp_path / "out.json")]) == 0
    assert f"{tally.frames} frames in 20 cases" in capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["kinds"], found["answers"]) == (tally.kinds, tally.answers)


@pytest.mark.parametrize("words", [["no-such-board"], ["--frames", "0"], ["--seed", "-1"], ["--batch", "-1"]])
def test_bad_input_is_one_line(words, capsys):
    status = cli.run(fuzz.main, words)
    assert (status, capsys.readouterr().err.count("\n")) == (2, 1)
