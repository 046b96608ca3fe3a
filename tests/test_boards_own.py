"""A board of the user's own: a few lines suffice, and every mistake in them is one line."""

import os
from pathlib import Path

import pytest

from boards import build
from boards.catalogue import own
from boards.catalogue.board import Pin
from boards.shell.design import Design
from boards.shell.trial import trial
from hdl.folding.net import Plan
from model import cli
from test_boards_top import tiny_net

BOARD = """
from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.resources import LEDResources, UARTResource


class MyPlatform(LatticeECP5Platform):
    device, package, speed = "LFE5U-25F", "BG256", "6"
    default_clk = "clk25"
    resources = [
        Resource("clk25", 0, Pins("P6", dir="i"), Clock(25e6), Attrs(IO_TYPE="LVCMOS33")),
        UARTResource(0, rx="A9", tx="B9", attrs=Attrs(IO_TYPE="LVCMOS33")),
        Resource("key", 0, Pins("B11", dir="i"), Attrs(IO_TYPE="LVCMOS33")),
        *LEDResources(pins="A11 A12", attrs=Attrs(IO_TYPE="LVCMOS33")),
    ]
    connectors = []
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the board's file, with changes; the working folder is the test's own."""
    monkeypatch.chdir(tmp_path)

    def put(more: str = "", old: str = "", new: str = "", name: str = "my_board.py") -> str:
        assert old in BOARD
        Path(name).write_text(BOARD.replace(old, new) + more)
        return f"{name}:MyPlatform"

    return put


def test_a_platform_without_another_word(write):
    target = own.find(write(), trial)
    assert (target.name, target.device, target.oscillator, target.oscillator_mhz) == (
        "my",
        "LFE5U-25F",
        "clk25",
        25,
    )
    assert target.lights == (Pin("led", 0), Pin("led", 1))
    assert target.reset is None and target.uart == Pin("uart")
    net = tiny_net()
    files = Design.of(target, net, Plan.serial(net)).prepare().files
    assert 'LOCATE COMP "uart_0__rx__io" SITE "A9"' in files["top.lpf"]
    assert own.find("my_board.py", trial).name == "my"


def test_all_that_can_be_said(write):
    settings = {
        "name": "mine",
        "oscillator": "clk25",
        "clock_mhz": 62.5,
        "baud": 4_000_000,
        "uart": "uart 0",
        "lights": ["led 1"],
        "reset": "key",
        "high": ["led 0"],
        "load": ["openFPGALoader", "--cable", "ft232"],
        "flash": ["openFPGALoader", "--write-flash"],
        "pll_pin": False,
        "net": "lenet",
    }
    target = own.find(write(f"    convgate = {settings!r}\n"), trial)
    assert (target.name, target.clock_mhz, target.baud, target.max_baud) == ("mine", 62.5, 4e6, 4e6)
    assert (target.lights, target.reset, target.high) == ((Pin("led", 1),), Pin("key"), (Pin("led"),))
    assert target.programmer.load == ("openFPGALoader", "--cable", "ft232")
    assert target.programmer.flash == ("openFPGALoader", "--write-flash")
    assert target.net == "lenet"


def test_the_file_may_import_what_stands_beside_it(write):
    Path("beside.py").write_text("MHZ = 40\n")
    name = write("    import beside\n    convgate = {'clock_mhz': beside.MHZ}\n")
    before = list(os.sys.path)
    assert own.find(name, trial).clock_mhz == 40
    assert os.sys.path == before


@pytest.mark.parametrize(
    ("more", "old", "new", "what"),
    [
        ("    convgate = {'clock': 5}", "", "", "convgate has no 'clock': it may have name, oscillator"),
        ("    convgate = {'baud': 'fast'}", "", "", "convgate['baud'] cannot be 'fast'"),
        ("    convgate = {'baud': True}", "", "", "convgate['baud'] cannot be True"),
        ("    convgate = {'lights': [1]}", "", "", "convgate['lights'] cannot be [1]"),
        ("    convgate = 5", "", "", "convgate is a dict, not 5"),
        ("    convgate = {'uart': 'uart 7'}", "", "", "uart#7 does not exist"),
        ("    convgate = {'uart': 'uart x'}", "", "", "a pin is 'resource', 'resource number'"),
        ("    convgate = {'uart': 'clk25'}", "", "", "clk25 has no part 'rx'"),
        ("    convgate = {'reset': 'button'}", "", "", "button#0 does not exist"),
        ("    convgate = {'lights': ['led 5']}", "", "", "led#5 does not exist"),
        ("    convgate = {'clock_mhz': 5000}", "", "", "a clock of 5000 MHz is impossible"),
        ("", "BG256", "BG999", "MyPlatform: UndefinedError: 'dict object' has no attribute 'BG999'"),
        ("", 'rx="A9"', 'rx="A11"', "already used by"),
        ("    convgate = {'oscillator': 'led'}", "", "", "resource 'led' has no Clock(...)"),
        ("    convgate = {'name': 'a/b'}", "", "", "name 'a/b' is not 1 to 16"),
        ("    convgate = {'name': 'x' * 17}", "", "", "is not 1 to 16"),
        ("", "LFE5U-25F", "LFE5U-99F", "chip 'LFE5U-99F' is not known: LFE5U-12F"),
        ("", '    default_clk = "clk25"\n', "    default_clk = None\n", "it has no default_clk"),
        ("", "LatticeECP5Platform", "XilinxPlatform", "is no platform of a chip that can be built for"),
        ("1 / 0\n", "", "", "my_board.py, line 17: ZeroDivisionError: division by zero"),
        ("", "dir=", "dri=", "my_board.py, line 11: TypeError: Pins.__init__() got"),
        ("    def __init__(self):\n        raise KeyError('oh')\n", "", "", "MyPlatform: KeyError: 'oh'"),
        ("(", "", "", "my_board.py: SyntaxError"),
        ("class Other(MyPlatform): pass", "MyPlatform", "Mine", "NameError"),
        ("", "MyPlatform", "Mine", "no platform 'MyPlatform': its platforms are Mine"),
    ],
)
def test_mistakes_are_one_line(write, capsys, more, old, new, what):
    name = write(more, old, new)
    assert cli.run(build.main, [name]) == 2
    err = capsys.readouterr().err
    assert what in err and err.count("\n") == 1 and err.startswith("error: my_board.py")


def test_a_missing_file_and_a_file_of_several(write, capsys):
    assert cli.run(build.main, ["none.py:X"]) == 2
    assert "none.py is no file" in capsys.readouterr().err
    write("class Other(MyPlatform): pass\n")
    assert cli.run(build.main, ["my_board.py"]) == 2
    assert "name one: its platforms are MyPlatform, Other" in capsys.readouterr().err
    Path("empty.py").write_text("")
    assert cli.run(build.main, ["empty.py"]) == 2
    assert "it defines no platform" in capsys.readouterr().err


def test_the_command_builds_for_it(write, capsys):
    """As far as Verilog, into a folder of its name."""
    name = write("    convgate = {'clock_mhz': 50}\n")
    assert cli.run(build.main, [name, "--net", "tiny", "--verilog-only"]) == 0
    assert capsys.readouterr().out == f"{Path('build/my/top.v')}\n"
    assert "module top(" in Path("build/my/top.v").read_text()


def test_the_example_of_the_documentation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(own.__file__).parents[2] / "docs" / "boards.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    Path("my_board.py").write_text(code)
    target = own.find("my_board.py:MyPlatform", trial)
    net = tiny_net()
    assert Design.of(target, net, Plan.serial(net)).prepare().files["top.lpf"]


@pytest.mark.parametrize("folder", ["a:b", "a.py:b", ":", "x y, 'z'", "a:b/c:d"])
def test_any_folder(write, folder):
    Path(folder).mkdir(parents=True)
    board = write(name=f"{folder}/my_board.py")
    assert own.is_own(board) and own.find(board, trial).name == "my"
    assert own.find(board.rpartition(":")[0], trial).name == "my"  # of one platform


@pytest.mark.parametrize("name", ["ulx3s", "a:b", "x.txt:A", "my.p/b:C"])
def test_what_is_no_file_of_ones_own(name):
    assert not own.is_own(name)
