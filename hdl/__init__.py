"""The hardware: one Amaranth component per kind of stage, the planner and the whole accelerator."""

from model import signals

signals.begin()
