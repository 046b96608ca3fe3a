"""The build command: bad input, failures half-way, reports; with fake tools, and once with the true ones."""

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from boards import build
from boards.catalogue import toolchains
from boards.shell.design import Design
from boards.tools import flow, steps
from hdl.folding.net import Plan, beside
from model import cli
from model.arithmetic.qformat import QFormat
from model.files import artifact
from model.golden.qnetwork import QNetwork
from model.layers import DenseSpec
from sim.bench.accelerator import Figures
from test_boards_top import tiny_net

TOOL = """#!{python}
import json, os, sys
from pathlib import Path
tool, arguments = Path(sys.argv[0]).name, sys.argv[1:]
if arguments == ["--version"]:
    print(tool, os.environ.get("VERSION", "1"))
    sys.exit()
with open(os.environ["RUNS"], "a") as file:
    print(tool, file=file)
print(tool, "was here")
if os.environ.get("FAILING") == tool:
    print("Info: nothing yet\\nERROR: no such luck", file=sys.stderr)
    sys.exit(1)
if tool == "nextpnr-ecp5":
    cells = ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD")
    step = {{"delay": 1.5, "type": "clk-to-q", "from": {{"cell": "here"}}, "to": {{"cell": "there"}}}}
    Path(arguments[arguments.index("--report") + 1]).write_text(json.dumps({{
        "fmax": {{"clk": {{"achieved": float(os.environ.get("FMAX", "120.5")), "constraint": 100}}}},
        "utilization": {{cell: {{"used": n, "available": 99}} for n, cell in enumerate(cells)}},
        "critical_paths": [{{"from": "posedge clk", "to": "posedge clk", "path": [step]}}],
    }}))
if tool == "ecppack" and "LEAVING" not in os.environ:
    Path("top.bit").write_bytes(b"bits"), Path("top.svf").write_text("svf")
"""
STEPS = toolchains.TRELLIS.tools.values()
LINES = [f"ulx3s-85f: {step}" for step in ("elaborate", "synthesis", "place and route", "pack", "simulate")]
"""What a build says meanwhile where its output is no terminal."""
FIGURES = Figures(ii_cycles=40, latency_cycles=90, cycles_after_last_pixel=12, bound_cycles=30)


@pytest.fixture
def net(tmp_path, monkeypatch) -> str:
    """The file of a tiny net; the working folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    artifact.save("tiny.npz", tiny_net())
    return "tiny.npz"


@pytest.fixture(scope="module")
def prepared() -> dict:
    """What Amaranth made of designs, for tests that build the same ones."""
    return {}


@pytest.fixture
def fake(tmp_path_factory, monkeypatch, prepared) -> Path:
    """Tools that do nothing but leave their files; the file in which they tell that they ran."""
    folder = tmp_path_factory.mktemp("tools")
    prepare = Design.prepare

    def once(design, **options):
        key = design.target, design.build_hash, *options.values()
        if key not in prepared:
            prepared[key] = prepare(design, **options)
        return prepared[key]

    monkeypatch.setattr(Design, "prepare", once)
    monkeypatch.setenv("RUNS", str(folder / "runs"))
    for tool in (tool.name for tool in STEPS):
        path = folder / tool
        path.write_text(TOOL.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(flow, "program", lambda tool: str(folder / tool.name))
    monkeypatch.setattr(steps, "measure", lambda *arguments, **options: FIGURES)
    return folder / "runs"


def run(capsys, *arguments) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command."""
    status = cli.run(build.main, list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(capsys, *arguments) -> str:
    """The one line with which bad input is refused; nothing must have been written."""
    before = tree()
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert tree() == before
    return err


def tree() -> dict:
    """Every file of the working folder with its content."""
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(".") for name in names]
    folders = [folder for folder, *_ in os.walk(".")]
    return {**dict.fromkeys(folders), **{path: Path(path).read_bytes() for path in paths}}


def big_net() -> QNetwork:
    """3.3 Mbit of weights: more than a 12F's block RAM holds, though not an 85F's."""
    weights = np.random.default_rng(0).integers(-128, 128, (4096, 100))
    fields = dict(
        name="dense",
        in_shape=(64, 64, 1),
        src=QFormat(8, 8, False),
        weights=weights,
        weight_format=QFormat(8, 6),
        bias=np.zeros(100, int),
    )
    spec = DenseSpec(**fields, dst=QFormat(8, 0))
    return QNetwork("big", spec.src, (DenseSpec(**fields, dst=spec.accumulator),))


def test_unknown_board_lists_the_known(capsys, net):
    line = refused(capsys, "ulx4s", "--net", net)
    assert "unknown board 'ulx4s'" in line
    assert "ulx3s-12f, ulx3s-25f, ulx3s-45f, ulx3s-85f, orangecrab-25f" in line


def test_net_too_large_names_resource_need_and_budget(capsys, net):
    artifact.save("big.npz", big_net())
    line = refused(capsys, "ulx3s-12f", "--net", "big.npz")
    assert "'big' is too large for ulx3s-12f" in line
    assert "block RAMs of 56" in line


@pytest.mark.parametrize("clock", ["1000", "1", "nan", "-100", "0"])
def test_impossible_clock(capsys, net, clock):
    assert "clock of" in refused(capsys, "ulx3s", "--net", net, "--clock", clock)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--baud", "3000001"], "does 3,000,000 at most"),
        (["--baud", "3000000", "--clock", "20"], "too slow for 3000000 baud"),
        (["--baud", "-1"], "--baud: '-1' is no whole number from 1"),
        (["--net", "none.npz"], "none.npz"),
        (["--net", "plan.json"], "plan.json"),
        (["--plan", "plan.json"], "plan.json"),
        (["--plan", "none.json"], "none.json"),
        (["--clock", "fast"], "--clock"),
        (["--seed", "-1"], "--seed"),
        (["--out", "plan.json"], "plan.json is a file, not a folder"),
        (["--out", "plan.json", "--verilog-only"], "plan.json is a file, not a folder"),
        (["--out", "plan.json/x"], "plan.json is no folder"),
        (["--json", "."], "name a file to write"),
        (["--json", "plan.json/x"], "plan.json is no folder"),
        (["--program", "--verilog-only"], "--program"),
        (["--colour"], "--colour"),
    ],
)
def test_bad_options(capsys, net, options, what):
    Path("plan.json").write_text('{"stages": {"conv": {"input_lanes": 7}}}')
    assert what in refused(capsys, "ulx3s", "--net", net, *options)


def test_programmer_missing_is_told_first(capsys, net, monkeypatch):
    monkeypatch.setenv("PATH", "")
    line = refused(capsys, "ulx3s", "--net", net, "--program")
    assert "openFPGALoader" in line


def test_tool_missing_is_told_first(capsys, net, monkeypatch):
    monkeypatch.setenv("NEXTPNR_ECP5", "nowhere")
    assert "NEXTPNR_ECP5" in refused(capsys, "ulx3s", "--net", net)


def test_products_and_report(capsys, net, fake):
    status, out, err = run(capsys, "ulx3s", "--net", net, "--json", "copy.json")
    assert (status, err) == (0, "")
    assert "tiny on ulx3s-85f: 100 MHz met (120.5 possible)" in out and out.splitlines()[:5] == LINES
    assert sorted(os.listdir("build")) == [".ulx3s.lock", "cache", "ulx3s"]
    names = ["logs", "plan.json", "report.json", "report.md", "top.bit", "top.svf"]
    assert sorted(os.listdir("build/ulx3s")) == names
    report = json.loads(Path("build/ulx3s/report.json").read_text())
    assert report == json.loads(Path("copy.json").read_text())
    assert (report["board"], report["device"], report["net"]) == ("ulx3s-85f", "LFE5U-85F", "tiny")
    assert report["clock"] == {"target_mhz": 100.0, "fmax_mhz": 120.5, "met": True}
    assert report["resources"] == {
        "lut": {"used": 0, "available": 83640},
        "ff": {"used": 1, "available": 83640},
        "dsp": {"used": 2, "available": 156},
        "bram": {"used": 3, "available": 208},
    }
    assert [stage["name"] for stage in report["stages"]] == ["conv", "dense"]
    assert set(report["stages"][0]) >= {"name", "kind", "macs", "multipliers", "cycles", "bound_cycles"}
    assert report["throughput"] == {
        "ii_cycles": 40,
        "bound_cycles": 30,
        "efficiency": 0.75,
        "frames_per_second": 2_500_000,
        "latency_cycles": 90,
        "cycles_after_last_pixel": 12,
    }
    assert set(report["estimate"]) == {"lut", "ff", "dsp", "bram"}
    assert set(report["seconds"]) >= {"elaborate", "synthesis", "place_and_route", "pack"}
    assert report["caveats"] == []
    digest = hashlib.sha256(b"bits").hexdigest()
    assert report["bitstream"] == {"path": "top.bit", "sha256": digest}
    assert digest in Path("build/ulx3s/report.md").read_text()


def test_a_clock_that_multipliers_are_not_timed_at_is_not_just_met(capsys, net, fake, monkeypatch):
    monkeypatch.setenv("FMAX", "210")
    status, out, _ = run(capsys, "ulx3s", "--net", net, "--clock", "200")
    (caveat,) = json.loads(Path("build/ulx3s/report.json").read_text())["caveats"]
    assert status == 0 and "above 170 MHz they are unproven" in caveat
    assert caveat in out and caveat in Path("build/ulx3s/report.md").read_text()


@pytest.mark.parametrize("stated", [None, 5, {"quantised": 0.5}, {"float": 1, "quantised": "x", "images": 9}])
def test_metadata_of_another_form_do_not_spoil_a_build(capsys, net, fake, stated):
    artifact.save(net, dataclasses.replace(tiny_net(), metadata={"accuracy": stated}))
    assert run(capsys, "ulx3s", "--net", net)[0] == 0
    report = json.loads(Path("build/ulx3s/report.json").read_text())
    assert report["accuracy"] == {"float": None, "quantised": None, "images": None}


def test_missed_clock_fails_with_a_report_and_without_a_bitstream(capsys, net, fake, monkeypatch):
    run(capsys, "ulx3s", "--net", net)
    monkeypatch.setenv("FMAX", "99.9")
    monkeypatch.setenv("VERSION", "2")
    status, out, err = run(capsys, "ulx3s", "--net", net)
    assert status == 1 and set(out.splitlines()) <= set(LINES)
    assert "reaches 99.9 MHz, not 100: try --clock 99" in err
    assert err.count("\n") == 1
    report = json.loads(Path("build/ulx3s/report.json").read_text())
    assert report["clock"] == {"target_mhz": 100.0, "fmax_mhz": 99.9, "met": False}
    assert report["bitstream"] == {"path": None, "sha256": None}
    assert "MISSED" in Path("build/ulx3s/report.md").read_text()
    # the bitstream of the build before would belie the report
    assert not os.path.exists("build/ulx3s/top.bit")


@pytest.mark.parametrize(("tool", "step"), [(tool.name, tool.step) for tool in STEPS])
def test_failing_tool_leaves_the_old_output_and_its_log(capsys, net, fake, monkeypatch, tool, step):
    run(capsys, "ulx3s", "--net", net, "--out", "out")
    before = {name: content for name, content in tree().items() if "logs" not in name}
    monkeypatch.setenv("FAILING", tool)
    status, _, err = run(capsys, "ulx3s", "--net", net, "--out", "out", "--clock", "50")
    assert status == 1
    assert f"{step} failed: ERROR: no such luck" in err
    assert os.path.join("out", "logs", f"{step}.log") in err
    assert "was here" in Path(f"out/logs/{step}.log").read_text()
    assert {name: content for name, content in tree().items() if "logs" not in name} == before


def test_a_tool_that_leaves_nothing_has_failed(capsys, net, fake, monkeypatch):
    monkeypatch.setenv("LEAVING", "nothing")
    status, _, err = run(capsys, "ulx3s", "--net", net)
    assert (status, err) == (1, "error: pack failed: ecppack left no top.bit\n")
    assert os.listdir("build/ulx3s") == ["logs"] and os.listdir("build/cache") == []


def test_interrupted_build_leaves_the_old_output(capsys, net, fake, monkeypatch):
    run(capsys, "ulx3s", "--net", net)
    before = tree()

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "measure", interrupt)
    status, _, err = run(capsys, "ulx3s", "--net", net, "--clock", "50")
    assert (status, err) == (130, "error: interrupted\n")
    assert tree() == before


def test_the_same_build_is_answered_from_the_cache(capsys, net, fake):
    status, first, _ = run(capsys, "ulx3s", "--net", net)
    runs = fake.read_text()
    assert status == 0 and "cache" not in first
    before = json.loads(Path("build/ulx3s/report.json").read_text())
    status, again, _ = run(capsys, "ulx3s", "--net", net, "--out", "out")
    assert status == 0 and fake.read_text() == runs
    assert "from the cache: the same was built before" in again
    report = json.loads(Path("out/report.json").read_text())
    assert report["inputs"].pop("cached") and not before["inputs"].pop("cached")
    assert report == before
    assert report["inputs"]["tools"] == {
        "yosys": "yosys 1",
        "nextpnr-ecp5": "nextpnr-ecp5 1",
        "ecppack": "ecppack 1",
    }
    assert len(report["inputs"]["sha256"]) == 64
    assert sorted(os.listdir("out/logs")) == ["pack.log", "place_and_route.log", "synthesis.log"]
    run(capsys, "ulx3s", "--net", net, "--force")
    assert fake.read_text() == runs * 2


@pytest.mark.parametrize("change", ["--clock=50", "--seed=2", "--baud=500000", "VERSION"])
def test_another_build_is_not(capsys, net, fake, monkeypatch, change):
    run(capsys, "ulx3s", "--net", net)
    runs = fake.read_text()
    if change == "VERSION":
        monkeypatch.setenv("VERSION", "2")
        run(capsys, "ulx3s", "--net", net)
    else:
        run(capsys, "ulx3s", "--net", net, change)
    assert fake.read_text() == runs * 2


def test_the_seed(capsys, net, fake, monkeypatch):
    """The user's, else the plan's, else 1."""
    used = []
    options = toolchains.Toolchain.options
    monkeypatch.setattr(
        toolchains.Toolchain,
        "options",
        lambda self, clock, seed: used.append(seed) or options(self, clock, seed),
    )
    run(capsys, "ulx3s", "--net", net)
    Plan(Plan.serial(tiny_net()).stages, seed=5).save("tiny.plan.json")
    run(capsys, "ulx3s", "--net", net)
    run(capsys, "ulx3s", "--net", net, "--seed", "0")
    assert used == [1, 5, 0]
    Path("tiny.plan.json").write_text(Path("tiny.plan.json").read_text().replace('"seed": 5', '"seed": -5'))
    assert "seed must be a whole number from 0, not -5" in refused(capsys, "ulx3s", "--net", net)


def test_a_missed_clock_is_missed_again_from_the_cache(capsys, net, fake, monkeypatch):
    monkeypatch.setenv("FMAX", "99.9")
    for _ in range(2):
        status, _, err = run(capsys, "ulx3s", "--net", net)
        assert status == 1 and "reaches 99.9 MHz, not 100" in err
    assert len(fake.read_text().split()) == 3


@pytest.mark.parametrize("place", ["build/ulx3s", "build/cache", "build"])
def test_a_folder_that_may_not_be_written_is_told_first(capsys, net, fake, monkeypatch, place):
    os.makedirs(place)
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != Path(place).absolute() and access(path, mode)
    )
    assert "may not be written" in refused(capsys, "ulx3s", "--net", net)
    assert not fake.exists()


def test_a_full_disk_leaves_the_old_output(capsys, net, fake, monkeypatch):
    run(capsys, "ulx3s", "--net", net)
    before = {name: content for name, content in tree().items() if "cache" not in name}

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    status, out, err = run(capsys, "ulx3s", "--net", net, "--clock", "50")
    assert status == 1 and set(out.splitlines()) <= set(LINES)
    assert "no space left on the disk of" in err and err.count("\n") == 1
    assert {name: content for name, content in tree().items() if "cache" not in name} == before


def test_a_board_is_named_or_listed(capsys, net):
    assert "name a board, or --list them" in refused(capsys)


def test_loadable_weights(capsys, net, fake):
    status, _, err = run(capsys, "ulx3s", "--net", net, "--weights", "loadable")
    assert (status, err) == (0, "")
    report = json.loads(Path("build/ulx3s/report.json").read_text())
    plan = Plan.load("build/ulx3s/plan.json", tiny_net())
    assert plan.loadable
    identity = Design.of(build.targets.find("ulx3s"), tiny_net(), plan).identity
    assert report["weights"] == {
        "loadable": True,
        "set_bytes": identity.set_bytes,
        "layout": identity.layout.hex(),
    }
    assert report["build"] == identity.build.hex()
    assert f"writable, {identity.set_bytes:,} bytes" in Path("build/ulx3s/report.md").read_text()
    # a plan says where weights are, unless the option does
    for options, loadable in (([], True), (["--weights", "fixed"], False)):
        run(capsys, "ulx3s", "--net", net, "--plan", "build/ulx3s/plan.json", "--out", "out", *options)
        again = json.loads(Path("out/report.json").read_text())
        assert again["weights"]["loadable"] == loadable
        assert (again["build"] == report["build"]) == loadable


def test_loadable_layers_share_no_multipliers(capsys, net):
    stages = {
        name: dataclasses.replace(stage, array="a") for name, stage in Plan.serial(tiny_net()).stages.items()
    }
    Plan(stages).save("shared.json")
    message = refused(capsys, "ulx3s", "--net", net, "--plan", "shared.json", "--weights", "loadable")
    assert "layer 'conv': it shares its multipliers with 'dense'" in message
    plan = build.default_plan(tiny_net(), build.targets.find("ulx3s"), loadable=True)
    assert plan.loadable and all(len(names) == 1 for names in plan.arrays)


def test_weights_are_of_two_kinds(capsys, net):
    assert "--weights" in refused(capsys, "ulx3s", "--net", net, "--weights", "soft")


@pytest.mark.parametrize("works", [True, False])
def test_programming(capsys, net, fake, monkeypatch, works):
    Path("loader").write_text(
        f'#!/bin/sh\necho "$@" > called\n{"" if works else "echo no board >&2; exit 3"}\n'
    )
    os.chmod("loader", 0o755)
    monkeypatch.setenv("OPENFPGALOADER", os.path.abspath("loader"))
    status, _, err = run(capsys, "ulx3s", "--net", net, "--program")
    assert Path("called").read_text().split() == ["--board", "ulx3s", "build/ulx3s/top.bit"]
    assert (status, err) == ((0, "") if works else (1, "error: loader failed: no board\n"))


def test_verilog_only(capsys, net):
    status, *_ = run(capsys, "ulx3s", "--net", net, "--verilog-only", "--out", "v")
    assert (status, os.listdir("v")) == (0, ["top.v"])
    text = Path("v/top.v").read_text()
    assert "module top(" in text
    assert "EHXPLLL" in text


def test_the_plan_beside_a_net(capsys, net):
    """It is taken, with its clock, unless the user asks for others or the chip has no room for it."""
    stages = {**Plan.serial(tiny_net()).stages}
    stages["conv"] = dataclasses.replace(stages["conv"], input_lanes=2)
    own = Plan(stages, clock_mhz=60)
    own.save("tiny.plan.json")

    def clock(*options) -> float:
        run(capsys, "ulx3s", "--net", net, "--verilog-only", "--out", "v", *options)
        return float(re.search(r'FREQUENCY_PIN_CLKOS = "([\d.]+)"', Path("v/top.v").read_text()).group(1))

    assert beside(Path(net), tiny_net()) == own
    assert (clock(), clock("--clock", "75")) == (60, 75)
    Plan.serial(tiny_net()).save("other.json")
    assert clock("--plan", "other.json") == 100
    ulx3s = build.targets.find("ulx3s")
    assert build.default_plan(tiny_net(), ulx3s, own) == own
    chip = dataclasses.replace(ulx3s.chip, budget=dataclasses.replace(ulx3s.budget, dsp=1))
    small = dataclasses.replace(ulx3s, chip=chip)
    assert build.default_plan(tiny_net(), small, own) != own
    assert build.default_plan(tiny_net(), ulx3s, own, loadable=True).loadable
    Path("tiny.plan.json").write_text('{"stages": {}}')
    assert "cannot use plan tiny.plan.json" in refused(capsys, "ulx3s", "--net", net)


def test_default_plan_fits_the_chip():
    """Of each board's own net, and of all nets on a small chip and a large one."""
    boards = build.targets.TARGETS
    pairs = {(target.chip.name, target.net): target for target in boards.values()}
    for name in ("ulx3s-12f", "ulx3s-85f"):
        pairs |= {(boards[name].chip.name, net): boards[name] for net in artifact.names()}
    for (_, name), target in pairs.items():
        net = artifact.load(name)
        build.checked_fit(net, build.default_plan(net, target), target)


def test_true_tools(capsys, tmp_path):
    """A tiny net with yosys, nextpnr and ecppack."""
    net, plan, out = (tmp_path / name for name in ("tiny.npz", "plan.json", "out"))
    artifact.save(net, tiny_net())
    Plan.serial(tiny_net()).save(plan)
    options = ["--plan", str(plan), "--clock", "60", "--baud", "3000000", "--out", str(out)]
    status, _, err = run(capsys, "ulx3s-12f", "--net", str(net), *options)
    assert (status, err) == (0, "")
    report = json.loads((out / "report.json").read_text())
    assert report["device"] == "LFE5U-12F"
    assert report["clock"]["target_mhz"] == 60
    assert report["clock"]["fmax_mhz"] > 60
    assert 0 < report["resources"]["lut"]["used"] < report["resources"]["lut"]["available"]
    # weights of two bits, as those of the dense layer, need no multiplier of the chip
    assert report["resources"]["dsp"]["used"] == report["estimate"]["dsp"] == report["multipliers"] - 1
    bits = (out / "top.bit").read_bytes()
    assert b"LFE5U-12F" in bits[:200]
    assert report["bitstream"]["sha256"] == hashlib.sha256(bits).hexdigest()
    assert report["critical_path"]["levels"] > 0


@pytest.mark.slow
def test_the_shipped_lenet_on_the_ulx3s(capsys, tmp_path):
    """What the README's first command builds."""
    status, out, err = run(capsys, "ulx3s", "--out", str(tmp_path / "out"))
    assert (status, err) == (0, ""), out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["clock"]["met"] and report["clock"]["fmax_mhz"] >= report["clock"]["target_mhz"] >= 80
    assert report["resources"]["dsp"]["used"] == report["estimate"]["dsp"]
    assert report["throughput"]["efficiency"] > 0.9
    assert report["accuracy"]["images"] == 10_000
    assert all(row["used"] <= row["available"] for row in report["resources"].values())
