"""Integers and arrays: formats, rounding, and the kernels that floats and integers share."""
