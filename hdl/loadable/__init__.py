"""Weights that are written at run time."""
