"""Measurements, each a command that prints its rows: ``python -m benchmarks.hardware`` and so on."""
