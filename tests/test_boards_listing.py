"""The list of boards: every board, and nets that really fit."""

import json

from boards import build
from boards.catalogue import listing, targets
from hdl.devices.budget import lacking
from hdl.planning.fit import Fitter
from model import cli
from model.files import artifact


def test_the_list_shows_every_board_and_what_fits(capsys, tmp_path):
    assert cli.run(build.main, ["--list", "--json", str(tmp_path / "list.json")]) == 0
    out = capsys.readouterr().out
    rows = json.loads((tmp_path / "list.json").read_text())["boards"]
    assert [row["board"] for row in rows] == list(targets.TARGETS)
    for row in rows:
        target = targets.find(row["board"])
        assert row["board"] in out and row["serial"] in out
        assert target.net in row["nets"], f"{target.name} does not hold its own net"
        assert not target.wiring or f"{target.name}: {target.wiring}" in out
    chips = {row["chip"]: row["nets"] for row in rows}
    assert chips["LFE5U-85F"] == artifact.names()
    assert "large" not in chips["iCE40UP5K"] and "tiny" in chips["iCE40UP5K"]


def test_chips_of_a_family_are_judged_at_once(monkeypatch):
    """Whether a net fits is asked of each board; what its plans take is counted once a family."""
    asked, told = [], []

    def counted(net, family):
        asked.append((net.name, family.name))
        return Fitter(net, family)

    monkeypatch.setattr(listing, "Fitter", counted)
    monkeypatch.setattr(artifact, "names", lambda: ["tiny"])
    rows = listing.rows(lambda: told.append(1))
    assert len(asked) == len(set(asked)) <= 4 and len(told) == len(rows)
    for row in rows:
        target = targets.find(row["board"])
        fitting = [
            net.name
            for net in [artifact.load("tiny")]
            if not lacking(Fitter(net, target.family).smallest(target.budget).need, target.budget)
        ]
        assert row["nets"] == fitting


def test_boards_without_a_bridge_name_the_pins(capsys):
    wired = {"orangecrab-25f", "orangecrab-85f", "butterstick", "logicbone-45f", "logicbone-85f"}
    wired |= {"icebreaker-bitsy", "colorlight-5a75b"}
    for name, target in targets.TARGETS.items():
        assert ("its TX to" in target.wiring and "its RX to" in target.wiring) == (name in wired)


def test_serial_pins_are_those_that_are_built():
    assert listing.places(targets.find("logicbone")) == "rx A6, tx B8"
    assert listing.places(targets.find("ulx3s")) == "rx M1, tx L4"
