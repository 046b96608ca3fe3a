"""From floats to integers, after training and in it."""
