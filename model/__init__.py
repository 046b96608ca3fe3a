"""Training in NumPy, quantisation, and the integer golden model."""
