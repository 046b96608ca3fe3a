"""Targets, builds and the host's side of the serial link."""

from model import signals

signals.begin()
