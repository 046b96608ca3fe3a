"""Chips and boards as the planner knows them, and as the build does."""

import pytest

from boards.catalogue import targets
from hdl.devices import chips


def test_the_build_knows_the_same_boards():
    assert targets.TARGETS.keys() == chips.BOARDS.keys()
    for name, target in targets.TARGETS.items():
        chip = chips.find(name)
        assert (target.device, target.budget, target.family) == (chip.name, chip.budget, chip.device)
    for name in targets.names():
        assert targets.find(name).device == chips.find(name.upper()).name


def test_unknown_names():
    with pytest.raises(
        ValueError, match=r"unknown board or chip 'ulx3z' \(did you mean ulx3s\?\); the known"
    ):
        chips.find("ulx3z")
    assert chips.find("lfe5u-12f") is chips.find("ulx3s-12f")
