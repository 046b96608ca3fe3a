"""What all commands share: exit statuses, one-line errors, files written whole or not at all."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from model import cli
from model.files.whole import check_writable, clear, replacing

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "error, status, line",
    [
        (None, 0, ""),
        (ValueError("layer 'conv1': too wide"), 2, "error: layer 'conv1': too wide\n"),
        (ValueError("two\nlines"), 2, "error: two lines\n"),
        (ValueError(), 2, "error: ValueError\n"),
        (ValueError("a" + 9999 * "b" + "c"), 2, f"error: a{499 * 'b'} ... {499 * 'b'}c\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "error: [Errno 2] No such file: 'x'\n"),
        (cli.Failure("missed the clock"), 1, "error: missed the clock\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_statuses(error, status, line, capsys):
    def command(argv):
        assert argv == ["a"]
        if error:
            raise error

    assert cli.run(command, ["a"]) == status
    assert capsys.readouterr().err == line


def test_bugs_are_not_hidden():
    def command(argv):
        raise AssertionError

    with pytest.raises(AssertionError):
        cli.run(command, [])


def test_options_are_never_guessed(capsys):
    parser = cli.Parser(prog="command")
    parser.add_argument("--epochs")
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--epo", "3"])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.err.count("\n") == 1 and "--help" in printed.err


def test_json(tmp_path):
    cli.write_json(None, {})
    cli.write_json(tmp_path / "new" / "a.json", {"x": 1})
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"x": 1}
    with pytest.raises(TypeError):
        cli.write_json(tmp_path / "b.json", {"x": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_progress_is_silent_without_a_terminal(capsys):
    with cli.progress() as progress:
        progress.update(progress.add_task("work", total=2, note=""), advance=1)
    printed = capsys.readouterr()
    assert not printed.out and not printed.err


def test_names_are_printed_as_they_are(capsys):
    cli.console().print("[bold]x[/] :smile: 12")
    assert capsys.readouterr().out == "[bold]x[/] :smile: 12\n"


def test_replacing_leaves_nothing_behind(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a", "w") as file:
        file.write("new")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    with replacing(tmp_path / "a", "w") as file:
        file.write("new")
    assert (tmp_path / "a").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_what_a_kill_left_behind_is_cleared_away(tmp_path):
    path = tmp_path / "net[1].npz"
    code = """
import os, signal, sys
from model.files.whole import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, timeout=60)
    others = {".net1.npz.abc.part", "net[1].npz.part", ".net[1].npz.mine"}
    for name in others:
        (tmp_path / name).write_text("")
    assert len(list(tmp_path.iterdir())) == 4
    clear(path)
    assert {other.name for other in tmp_path.iterdir()} == others


def test_check_writable(tmp_path):
    (tmp_path / "file").write_text("")
    check_writable(None, tmp_path / "file", tmp_path / "new" / "folder" / "file", "relative")
    assert not (tmp_path / "new").exists()
    for bad in (tmp_path, tmp_path / "file" / "x", tmp_path / "file" / "x" / "y"):
        with pytest.raises(ValueError, match=str(bad)):
            check_writable(tmp_path / "fine", bad)


@pytest.mark.parametrize("text", ["-1", "1.0", "", "1e3", "٣", "1234567890", " 1"])
def test_whole_numbers(text):
    assert (cli.natural("0"), cli.natural("999999999"), cli.positive("1")) == (0, 999999999, 1)
    for kind in cli.natural, cli.positive:
        with pytest.raises(argparse.ArgumentTypeError, match="no whole number"):
            kind(text)
    with pytest.raises(argparse.ArgumentTypeError, match="from 1"):
        cli.positive("0")


def test_options_end_with_a_status(capsys):
    def command(argv):
        cli.Parser(prog="command").parse_args(argv)

    assert cli.run(command, ["--none"]) == 2 and capsys.readouterr().err.count("\n") == 1
    assert cli.run(command, ["--help"]) == 0 and "usage" in capsys.readouterr().out


def test_a_line_of_the_parser_is_one_line(capsys):
    """Whatever a file is called."""

    def command(argv):
        cli.Parser(prog="x").parse_args(argv)

    assert cli.run(command, ["a\nb", "c\r\nd"]) == 2
    assert capsys.readouterr().err == "x: error: unrecognized arguments: a b c d (--help shows how)\n"
