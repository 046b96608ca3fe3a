"""Simulation of the hardware against the golden model."""
