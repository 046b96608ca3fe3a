"""What cocotb runs inside the simulator: waits for the bench to end and hands its counters over."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

RESULT = "CONVGATE_RESULT"
"""Environment variable: the file to write."""


@cocotb.test()
async def frames(dut):
    """The bench moves every beat by itself; nothing happens here before it ends."""
    await RisingEdge(dut.done)
    names = ("fault", "cycle", "given", "taken", "others")
    counters = {name: int(getattr(dut, name).value) for name in names}
    Path(os.environ[RESULT]).write_text(json.dumps(counters), encoding="utf-8")
