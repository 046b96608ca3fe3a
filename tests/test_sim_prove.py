"""The proofs that CI runs, that mutants are refuted, and that the checker tells truth from falsehood."""

import importlib
import json
import pkgutil

import pytest
from amaranth.hdl import Elaboratable, Module, Mux, Signal

import hdl
from hdl.network import Accelerator
from hdl.parts.pipe import Front, Pipe
from hdl.products.steps import Steps
from model import cli
from sim import prove
from sim.proofs import checker
from sim.proofs.bench import COUNTERS, INDEPENDENT, VALUES, Bench
from sim.proofs.catalogue import PROOFS
from sim.proofs.faults import ROOT, TABLES, Fault, mutated, read
from sim.proofs.proof import Proof

FAST = [proof for proof in PROOFS if proof.fast]


def wrong(rows):
    return [f"{row.stage}: {row.prop} {row.fault}: {row.result}" for row in rows if not row.right]


def test_fast_stages_hold():
    rows = prove.run([(proof, "", None) for proof in FAST])
    assert not wrong(rows)
    assert {row.stage for row in rows} == {proof.stage for proof in FAST}
    assert all(row.expected for row in rows)


def test_fast_mutants_are_refuted():
    rows = prove.run([asked for asked in prove.questions(FAST) if asked[2]])
    assert not wrong(rows)
    assert len(rows) == sum(len(proof.faults) for proof in FAST) > 40


def test_command(tmp_path):
    out = tmp_path / "proofs.json"
    assert cli.run(prove.main, ["--stage", "Narrow, 3", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert all(row["as_expected"] for row in rows)
    refuted = [row["property"] for row in rows if row["result"] == "refuted"]
    assert refuted == [prop for prop, _ in read(TABLES)["narrow"]]
    assert {row["depth"] for row in rows if row["result"] == "proved"} == {"all"}


def test_every_stage_has_a_mutant():
    named = {proof.group for proof in PROOFS if proof.group}
    assert named == read(TABLES).keys()
    kinds = {proof.stage.partition(" ")[0].rstrip(",") for proof in PROOFS}
    assert kinds == {proof.stage.partition(" ")[0].rstrip(",") for proof in PROOFS if proof.group}


def test_every_component_is_proved():
    """All that hdl is made of stands in some bench, but for bases and the whole; and has a mutant."""
    modules = [importlib.import_module(found.name) for found in pkgutil.walk_packages(hdl.__path__, "hdl.")]
    components = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Elaboratable) and kind.__module__ == module.__name__
    }
    proved = {type(part) for proof in PROOFS for part in proof.make().parts}
    assert components - proved == {Accelerator, Front, Pipe, Steps}
    mutated = {f"hdl.{fault.module}" for group in read(TABLES).values() for _, fault in group}
    assert {kind.__module__ for kind in components & proved} - mutated == set()


def test_every_fault_fits():
    for group in read(TABLES).values():
        for _, fault in group:
            assert fault.applied((ROOT / fault.path).read_text()) != ""


@pytest.mark.slow
def test_all():
    assert not wrong(prove.run(prove.questions(PROOFS), prove.JOBS))


class Counter(Elaboratable):
    """Counts to 5 and begins again, or a number too late."""

    def __init__(self, last):
        self.last, self.value = last, None

    def elaborate(self, platform):
        m = Module()
        self.value = Signal(range(6))
        m.d.sync += self.value.eq(Mux(self.value == self.last, 0, self.value + 1))
        return m


@pytest.mark.parametrize(("last", "bound", "holds", "depth"), [
    (5, None, True, None), (6, None, False, None), (5, 20, True, None), (6, 20, False, 6), (6, 6, True, None),
    (6, 7, False, 6),
])  # fmt: skip
def test_checker(last, bound, holds, depth, tmp_path):
    """Whatever a design's clock hangs on, its registers step; a bounded search sees as far as it is told."""
    bench = Bench(Counter(last))
    assert list(bench.always) == [COUNTERS]
    graph = checker.graph(bench.rtlil(), tmp_path, "counter")
    verdict = checker.check(graph, "bad_0", tmp_path, "one", bound, 60)
    assert verdict.holds is holds
    assert depth is None or verdict.depth == depth


def test_constant_properties_and_paths(tmp_path):
    bench = Bench(Counter(5))
    free, later = bench.any(1, "free"), Signal()
    bench.m.d.sync += later.eq(free)
    bench.hold("true", free | ~free)
    bench.hold("false", free & ~free)
    bench.apart += [(free, ~free & bench.dut.value[0]), (free, later)]
    graph = checker.graph(bench.rtlil(), tmp_path, "paths")
    assert [graph.constant(f"bad_{n}") for n in (1, 2)] == [False, True]
    assert checker.check(graph, "bad_1", tmp_path, "true", None, 9).holds
    assert checker.check(graph, "bad_2", tmp_path, "false", None, 9).holds is False
    assert [graph.reaches(free.name, f"apart_{n}") for n in (0, 1)] == [True, False]


def test_mutants_leave_nothing_behind():
    import hdl.parts.buffer

    before, modules = hdl.parts.buffer, hdl.parts.buffer.Buffer
    with mutated(Fault("parts.buffer", "latency = 2", "latency = 9", "a test")):
        assert hdl.parts.buffer.Buffer.latency == 9
    assert hdl.parts.buffer is before and hdl.parts.buffer.Buffer is modules
    gone = mutated(Fault("parts.buffer", "nothing", "", "gone"))
    with pytest.raises(ValueError, match=r"hdl/parts/buffer.py holds 'nothing' 0 times, not once"), gone:
        pass
    assert hdl.parts.buffer is before


def test_a_property_that_fails_is_told(capsys, monkeypatch):
    def make():
        bench = Bench(Counter(6))
        bench.hold(VALUES, bench.any(1, "free"))
        return bench

    monkeypatch.setattr(prove, "PROOFS", [Proof("broken", make)])
    assert cli.run(prove.main, []) == 1
    out, err = capsys.readouterr()
    assert "refuted, NOT AS EXPECTED" in out
    assert err == f"error: 2 of 2 are not as expected, first broken: {COUNTERS}\n"
    assert INDEPENDENT not in out


@pytest.mark.parametrize(("argv", "message"), [
    (["--stage", "nothing"], "error: --stage 'nothing' is in the name of no stage"),
    (
        ["--jobs", "0"],
        "python -m sim.prove: error: argument --jobs: '0' is no whole number from 1 to 999999999"
        " (--help shows how)",
    ),
])  # fmt: skip
def test_bad_input(argv, message, capsys):
    assert cli.run(prove.main, argv) == 2
    assert capsys.readouterr().err == f"{message}\n"
