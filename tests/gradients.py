"""Analytic derivatives held against central differences."""

import numpy as np

STEP = 1e-5


def differences(function, values):
    """Central differences of a function of an array, which is changed in place."""
    numerical = np.empty(values.shape)
    for index in np.ndindex(values.shape):
        kept, sums = values[index], []
        for step in (STEP, -STEP):
            values[index] = kept + step
            sums.append(function())
        values[index] = kept
        numerical[index] = (sums[0] - sums[1]) / (2 * STEP)
    return numerical


def relative_error(analytic, numerical):
    """Largest distance between two arrays, relative to the largest of their values."""
    assert analytic.shape == numerical.shape
    scale = max(np.abs(numerical).max(initial=0), np.abs(analytic).max(initial=0), 1e-2)
    return np.abs(numerical - analytic).max(initial=0) / scale
