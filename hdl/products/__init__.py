"""Products with weights: multipliers in turns, and sums without any."""
