"""Training in NumPy, quantisation, and the integer golden model."""

from model import signals

signals.begin()
