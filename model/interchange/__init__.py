"""Nets of other frameworks: a reader for each format, one description of layers, and specs made of it."""
