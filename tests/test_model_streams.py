"""No character that a terminal or a redirect cannot take loses a result; every text file is UTF-8."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from boards.link.protocol import Result
from boards.link.shown import confused, scores
from idx import encode
from model.files import streams
from pty_board import IDENTITY, PtyBoard

ROOT = Path(__file__).parents[1]
ENCODINGS = ["ascii", "cp1252", "latin-1", "cp437", "koi8_r", "cp1251", "utf-8", "utf-16"]


def written(text: str, encoding: str) -> str:
    """What is read where a text was written."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors=streams.HANDLER, newline="")
    stream.write(text)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


@given(text=st.text(st.characters(exclude_categories=())), encoding=st.sampled_from(ENCODINGS))
def test_every_text_is_written(text, encoding):
    """File names that are no UTF-8 are halves of characters, which not even UTF-8 has."""
    said = written(text, encoding)
    for character in text:
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            shown = character.translate(streams.PLAIN)
            character = shown if shown.isascii() else character.encode("ascii", "backslashreplace").decode()
        head, found, said = said.partition(character)
        assert found and not head
    assert not said


def test_what_we_draw_stays_drawn():
    said = written("██▋ ·●○", "ascii")
    assert said == "### .*o"


def test_reading_is_not_touched():
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", errors=streams.HANDLER)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_answers_keep_their_form(encoding):
    """Line by line as in UTF-8, where the characters are others."""

    def drawn(encoding):
        file = io.TextIOWrapper(io.BytesIO(), encoding, errors=streams.HANDLER)
        console = Console(file=file, width=100, markup=False, highlight=False, emoji=False)
        console.print(scores("größe.png", Result(2, 40, (-5, 0, 300)), IDENTITY))
        console.print(confused(np.eye(3, dtype=int)))
        file.flush()
        return file.buffer.getvalue().decode(encoding)

    lines, whole = drawn(encoding).splitlines(), drawn("utf-8").splitlines()
    assert len(lines) == len(whole)
    assert [line.split()[:2] for line in lines[1:4]] == [line.split()[:2] for line in whole[1:4]]
    assert "#" * 40 in lines[3]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize("dataset", [False, True])
def test_class_that_a_board_answers_is_shown(encoding, dataset, tmp_path):
    with PtyBoard() as fake:
        words = [fake.port, "größe 名.png"]
        Image.new("L", (3, 2), 7).save(tmp_path / words[1])
        if dataset:
            words = [fake.port, "--dataset", "--data", str(tmp_path)]
            images = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
            (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode(images))
            (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode(np.zeros(10, np.uint8)))
        result = run(["boards.host", *words], encoding, tmp_path)
    assert result.returncode == 0 and not result.stderr
    assert "right: 0 of 10" in result.stdout if dataset else "class 2" in result.stdout


def run(words, encoding, folder):
    """A command, as a redirect of some encoding sees it."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding=encoding,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "encoding"), [("größe.png", "ascii"), ("名.png", "cp1252"), (os.fsdecode(b"\xff.png"), "utf-8")]
)
def test_picture_of_any_name_is_classified(name, encoding, tmp_path):
    try:
        Image.new("L", (28, 28)).save(tmp_path / "seven.png")
        os.rename(tmp_path / "seven.png", tmp_path / name)
    except OSError:
        pytest.skip("no file can be called so here")
    result = run(["model.classify", "lenet", name], encoding, tmp_path)
    assert (result.returncode, result.stderr) == (0, "") and result.stdout
    # and the line that says that there is none
    result = run(["model.classify", "lenet", f"no {name}"], encoding, tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1


def without_encoding(tree: ast.Module) -> list[str]:
    """Calls that read or write text as the locale has it."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        given = {word.arg for word in node.keywords}
        modes = [word.value for word in node.keywords if word.arg == "mode"] + node.args[1:2]
        binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)
        texts = name in ("read_text", "write_text") or (name == "open" and not binary)
        if ast.unparse(node.func) in ("Image.open", "os.open"):
            continue
        if texts and "encoding" not in given:
            found.append(ast.unparse(node))
        if given & {"text", "universal_newlines"}:
            found.append(ast.unparse(node))
        if name in ("run", "Popen") and "encoding" in given and "errors" not in given:
            found.append(ast.unparse(node))
    return found


def test_no_text_depends_on_the_locale():
    for folder in ("model", "hdl", "sim", "boards", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert without_encoding(ast.parse(path.read_text(encoding="utf-8"))) == [], path


@pytest.mark.parametrize(
    "text", ["p.read_text()", "p.write_text(x)", "open(p)", "open(p, 'w')", "run(c, text=True)"]
)
def test_mutants_fail(text):
    assert without_encoding(ast.parse(text))
