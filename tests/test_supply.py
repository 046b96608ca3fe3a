"""What comes from outside is data and nothing else: dependencies are bounded, and names stay names."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import Image

from hdl.devices.device import PORTABLE
from hdl.folding.net import Plan
from hdl.network import Accelerator
from hdl.parts.buffer import Buffer
from hdl.parts.chain import Chain
from model import classify, cli, describe, report
from model.files import artifact
from model.training.description import tomllib
from random_nets import NetDrawer
from sim.simulators.verilog import emit

ROOT = Path(__file__).parents[1]
FOLDERS = ("model", "hdl", "sim", "boards", "benchmarks")
HOSTILE = [
    "../../x", "/etc/x", "a;b", "a b", "a\nb", 'a"b', "a'b", "$(x)", "`x`", "\\x", "a|b", "é", "名",
    "x" * 5000, "", ".", "a.b", "a-b", "0", "_", "%s", "{0}", "a\0b", "endmodule //", "*/ endmodule",
]  # fmt: skip
KEYWORDS = ["module", "wire", "endmodule", "reg", "begin", "always"]


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def bounded(requirement: Requirement) -> bool:
    """Whether a new release cannot be too new."""
    return any(part.operator in ("<", "<=", "==", "~=") for part in requirement.specifier)


def test_every_dependency_has_an_upper_bound():
    found = requirements()
    assert len(found) > 10
    assert [str(one) for one in found if not bounded(one)] == []
    assert not bounded(Requirement("numpy>=2")) and bounded(Requirement("numpy>=2,<3"))


def test_the_wheel_holds_what_is_there(tmp_path):
    """No module that was renamed, no product of a build; all data."""
    files = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore")]
    for path in files:
        shutil.copy(path, tmp_path)
    expected = set()
    for folder in ("model", "hdl", "sim", "boards"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "build")
        )
        paths = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
        expected |= {path.relative_to(tmp_path).as_posix() for path in paths}
    for stale in (
        "build/lib/model/gone.py",
        "build/ulx3s/top.bit",
        "model/__pycache__/x.pyc",
        "dist/gone.py",
    ):
        (tmp_path / stale).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stale).touch()
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "wheels"]
    subprocess.run(words, cwd=tmp_path, capture_output=True, check=True)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected and "model/zoo/lenet.npz" in found and "sim/bench/bench.sv" in found


def faults_of(tree: ast.Module) -> list[str]:
    """What no module may do: unpickle, run text, or hand anything to a shell."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [name for name in names if name in ("pickle", "marshal", "shelve", "dill")]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in ("eval", "exec", "os.system", "os.popen"):
                found.append(name)
            found += [f"{word}=True" for word in ("shell", "allow_pickle") if given.get(word) == "True"]
            if name == "np.load" and given.get("allow_pickle") != "False":
                found.append("np.load")
    return found


def test_no_code_comes_out_of_files():
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "mailbox.py":
                continue  # between a process and its own helpers, never a file
            assert faults_of(ast.parse(path.read_text(encoding="utf-8"))) == [], path


@pytest.mark.parametrize(("text", "fault"), [
    ("import pickle", "pickle"), ("from shelve import open", "shelve"), ("eval('1')", "eval"),
    ("import os\nos.system(x)", "os.system"), ("run(x, shell=True)", "shell=True"), ("np.load(x)", "np.load"),
])  # fmt: skip
def test_mutants_fail(text, fault):
    assert fault in faults_of(ast.parse(text))


def saved(tmp_path, net):
    path = tmp_path / "net.npz"
    artifact.save(path, net)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_artifacts(name, tmp_path):
    """Of nets and of layers: what is more than a name is refused."""
    net = NetDrawer(1).net(2)
    hostile = replace(net.specs[0], name=name)
    for bad in (replace(net, name=name), replace(net, specs=(hostile, *net.specs[1:]))):
        with pytest.raises(ValueError, match="is not a letter followed by"):
            artifact.load(saved(tmp_path, bad))


@pytest.mark.parametrize("name", [name for name in HOSTILE if "/" not in name and "\0" not in name])
def test_names_of_descriptions(name, tmp_path, capsys):
    """A net is called as its file is."""
    path = tmp_path / f"{name[:60]}{'y' * 200 if len(name) > 60 else ''}.toml"
    try:
        path.write_text('layers = ["relu", {dense = 2}]\n')
    except OSError:
        return  # no file can be called so: the name is refused by the system
    assert cli.run(describe.main, [str(path)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and err.startswith("error: ")


def identifiers(text: str) -> set[str]:
    """What is escaped in Verilog, and the names of modules."""
    return {*re.findall(r"\\(\S+)", text), *re.findall(r"^module (\w+)", text, flags=re.M)}


def test_names_in_verilog():
    """Layers that never were in a file: no name gets into Verilog as it is."""
    names = [*HOSTILE, *KEYWORDS]
    text = emit(Chain([(name, Buffer(1, 2, PORTABLE)) for name in names], PORTABLE))
    found = identifiers(text)
    assert sum("buffer" in word for word in found) >= len(names)
    assert [word for word in found if not re.fullmatch(r"[\w.$\[\]:]+", word, flags=re.ASCII)] == []
    assert text.count("\nendmodule\n") == len(re.findall(r"^module ", text, flags=re.M))


def test_arrays_in_verilog():
    """What a plan calls its arrays is not in the hardware at all."""
    drawer = NetDrawer(5)
    net = drawer.net(2, inner=("conv",))
    plan = drawer.plan(net, shares=False)

    def shared(array):
        stages = {name: replace(stage, array=array) for name, stage in plan.stages.items()}
        return emit(Accelerator(net, Plan(stages)))

    assert shared("; endmodule") == shared("a")


SAID = [
    5, [], {}, "x", [5], {"quantised": "x", "images": 3}, {"quantised": 0.5},
    {"quantised": 0.5, "images": "x"},
    [{}], [{"layer": "a", "values": 1, "range": [None], "saturated": "x"}],
]  # fmt: skip


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("command", [describe.main, report.main, classify.main])
def test_what_an_artifact_says_of_itself(said, command, tmp_path, capsys):
    """It is shown if it is well-formed; else left out, or refused before anything is written."""
    net = NetDrawer(1).net(2)
    metadata = dict.fromkeys(("accuracy", "classes", "quantisation"), said)
    path, out = tmp_path / "net.npz", tmp_path / "out.json"
    artifact.save(path, replace(net, metadata=metadata))
    picture = tmp_path / "one.png"
    Image.new("L", (8, 8)).save(picture)
    argv = [str(path), *([str(picture), "--resize"] if command is classify.main else []), "--json", str(out)]
    status = cli.run(command, argv)
    assert status in (0, 2) and out.exists() == (status == 0)
    assert capsys.readouterr().err.count("\n") == (status == 2)
