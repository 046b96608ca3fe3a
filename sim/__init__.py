"""Simulation of the hardware against the golden model."""

from model import signals

signals.begin()
