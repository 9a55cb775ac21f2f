"""Density of lines that nothing explains yet: the chance that a line lies where it is looked for."""

import numpy as np
from scipy.ndimage import gaussian_filter

from ..arrays import BoolArray, FloatArray

__all__ = ["log_line_density"]

BIN_CM, BIN_DEX = 250.0, 0.1
SMOOTH_CM, SMOOTH_DEX = 750.0, 0.2
FLOOR = 0.02
"""Lines per bin that are added, so that an empty bin is not impossible."""


def log_line_density(wavenumber: FloatArray, log_intensity: FloatArray, free: BoolArray) -> FloatArray:
    """Natural logarithm of the density of free lines at the place of every line.

    A histogram over wavenumber and decimal logarithm of intensity, smoothed by a Gaussian.

    Parameters
    ----------
    wavenumber : array, (n_line,), in cm^-1
    log_intensity : array, (n_line,), in dex
    free : array of bool, (n_line,)
        Lines that are counted.

    Returns
    -------
    array, (n_line,)
        ln of lines per cm^-1 and dex.
    """
    x = ((wavenumber - wavenumber.min()) / BIN_CM).astype(np.int64)
    y = ((log_intensity - log_intensity.min()) / BIN_DEX).astype(np.int64)
    counts = np.zeros((int(x.max()) + 1, int(y.max()) + 1))
    np.add.at(counts, (x[free], y[free]), 1.0)
    smooth = gaussian_filter(counts, (SMOOTH_CM / BIN_CM, SMOOTH_DEX / BIN_DEX), mode="nearest") + FLOOR
    return np.asarray(np.log(smooth[x, y] / (BIN_CM * BIN_DEX)))
