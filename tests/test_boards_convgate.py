"""``convgate``: every command under one name, in any folder."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from boards import convgate
from model import cli

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sysconfig.get_path("scripts")) / "convgate"


@pytest.fixture
def own_names(monkeypatch):
    """What `convgate` calls commands is forgotten again."""
    monkeypatch.setattr(cli, "NAMES", {})


@pytest.mark.parametrize("name", convgate.MODULES)
def test_each_command_is_the_one_of_its_module(name, own_names, capsys):
    assert convgate.main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: convgate {name}") and "python -m" not in said.replace("python -m pip", "")
    assert callable(convgate.command(name).parser)
    assert convgate.summary(convgate.MODULES[name])


def test_all_commands_are_there():
    found = {
        f"{folder}.{path.stem}"
        for folder in ("model", "hdl", "sim", "boards")
        for path in (ROOT / folder).glob("*.py")
        if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    assert found - {"boards.convgate", *convgate.INSTEAD.values()} == set(convgate.MODULES.values())


def test_errors_call_it_by_its_name(own_names, capsys):
    assert convgate.main(["build", "nowhere"]) == 2
    assert convgate.main(["build", "--nothing"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error: unknown board 'nowhere'")
    assert said[1].startswith("convgate build: error: ")
    assert convgate.main(["bild"]) == 2
    assert "invalid choice: 'bild'" in capsys.readouterr().err


def test_names_are_changed_as_whole_words():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "NAMES", {"python -m sim.fuzz": "convgate fuzz"})
        said = "python -m sim.fuzz, python -m sim.fuzzy and python -m sim.fuzz.x"
        assert cli.called(said) == "convgate fuzz, python -m sim.fuzzy and python -m sim.fuzz.x"


def test_without_a_command_it_lists_them(capsys):
    assert convgate.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in convgate.MODULES)


@pytest.mark.parametrize("shell", convgate.SHELLS)
def test_completion(shell, capsys):
    assert convgate.main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert "fuzz-board" in said and "--verilog-only" in said


def test_completion_needs_a_shell(capsys):
    assert convgate.main(["completion"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_bash_takes_the_completion(tmp_path):
    script = subprocess.run(
        [PROGRAM, "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    ask = "\nCOMP_WORDS=(convgate build --verilog-o) COMP_CWORD=2; _shtab_convgate; echo ${COMPREPLY[@]}"
    answer = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "--verilog-only"


@pytest.fixture
def shadows(tmp_path):
    """A folder with modules that are called as ours are."""
    for name in ("model.py", "sim.py", "boards.py", "hdl/__init__.py", "json.py", "frames.py", "cocotb.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the wrong module')\n")
    return tmp_path


def test_modules_of_the_users_are_left_alone(shadows):
    def run(*words):
        return subprocess.run([PROGRAM, *words], cwd=shadows, capture_output=True, text=True, check=False)

    for words in (["describe", "lenet"], ["build", "icebreaker", "--verilog-only"]):
        assert (result := run(*words)).returncode == 0, result.stderr
    # the simulator has a Python of its own
    result = run("verify", "--net", "tiny", "--frames", "3")
    assert result.returncode == 0, result.stderr
    # and without the console command they are what Python finds
    result = subprocess.run([sys.executable, "-m", "model.describe", "lenet"], cwd=shadows, check=False)
    assert result.returncode != 0
